"""The `tickgate` command: joins what is in `gateway.commands`; alone reads the environment.

Whatever goes wrong that a user or the world can cause is one line on stderr, never a traceback;
exit status 2: what was typed or set can't work; 1: something that is needed isn't there now.
"""

import os
import sys
from importlib import import_module
from typing import Final

import click

from feeds.errors import FeedError, SettingError
from gateway.commands.failure import (
    STATUS_INTERRUPTED,
    STATUS_MISTAKE,
    STATUS_WORLD,
    CommandFailure,
)
from gateway.configuration import SettingsError
from gateway.processes.listening import AddressError
from gateway.processes.running import DataDirectoryError
from gateway.processes.supervisor import SupervisorError

__all__ = ["main"]

_COMMANDS: Final = {
    "backtest": "backtest:backtest_command",
    "bench": "bench:bench_command",
    "decode": "decode:decode_command",
    "feeds": "starting:feeds_command",
    "gateway": "gateway:gateway_command",
    "keys": "keys:keys_group",
    "ledger": "ledger:ledger_group",
    "record": "recordings:record_command",
    "replay": "recordings:replay_command",
    "run": "starting:run_command",
    "verify": "verify:verify_command",
    "watch": "watch:watch_command",
}
"""Modules of `gateway.commands`, and names in them: each is loaded when it is called, as all
together take half a second of a core."""
_MISTAKES: Final = (SettingsError, SettingError)
_WORLD: Final = (FeedError, AddressError, DataDirectoryError, OSError)


def main() -> None:
    """The console script."""
    try:
        status = tickgate.main(prog_name="tickgate", standalone_mode=False, obj=os.environ)
    except click.exceptions.NoArgsIsHelpError as error:
        click.echo(error.format_message())
        sys.exit(STATUS_MISTAKE)
    except BrokenPipeError:  # `| head` has seen enough.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(STATUS_WORLD)
    except (click.Abort, KeyboardInterrupt):
        sys.exit(STATUS_INTERRUPTED)
    except Exception as error:
        status = _told(error)
        if status is None:
            raise  # A fault of ours: its traceback is what we need.
    sys.exit(status if isinstance(status, int) else 0)


def _told(error: BaseException) -> int | None:
    """Says a failure in one line; its exit status. None: it is none of a user or the world."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    name = "tickgate"
    message = str(error)
    match error:
        case click.UsageError(ctx=click.Context() as context):
            name, message, status = context.command_path, error.format_message(), STATUS_MISTAKE
        case click.ClickException():
            message, status = error.format_message(), STATUS_MISTAKE
        case CommandFailure() | SupervisorError():
            status = error.status
        case _ if isinstance(error, _MISTAKES):
            status = STATUS_MISTAKE
        case _ if isinstance(error, _WORLD) or _is_of_redis(error):
            status = STATUS_WORLD
        case _:
            return None
    click.echo(f"{name}: {' '.join(message.split())}", err=True)
    return status


def _is_of_redis(error: BaseException) -> bool:
    if "redis" not in sys.modules:  # It is none of a library that isn't loaded.
        return False
    from redis.exceptions import RedisError  # noqa: PLC0415 - it takes 0.2 s

    return isinstance(error, RedisError)


class _Commands(click.Group):
    """Those of the table."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in _COMMANDS:
            return None
        module, _, name = _COMMANDS[cmd_name].partition(":")
        command = getattr(import_module(f"gateway.commands.{module}"), name)
        assert isinstance(command, click.Command)
        return command


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="tickgate", message="tickgate %(version)s")
def tickgate() -> None:
    """A streaming gateway for prices and signals: exchanges, Redis, WebSocket subscribers.

    `tickgate run --help` tells all settings. Exit status 2: what was typed or set can't work;
    1: something that is needed isn't there just now.
    """


if __name__ == "__main__":
    main()
