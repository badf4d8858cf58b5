"""The `tickgate` command: joins what is in `gateway.commands`; alone reads the environment.

Whatever goes wrong that a user or the world can cause is one line on stderr, never a traceback;
exit status 2: what was typed or set can't work; 1: something that is needed isn't there now.
"""

import os
import sys
from typing import Final

import click
from redis.exceptions import RedisError

from feeds.chosen import check_venues
from feeds.errors import FeedError, SettingError
from gateway.commands import processes, run
from gateway.commands.backtest import backtest_command
from gateway.commands.bench import bench_command
from gateway.commands.decode import decode_command
from gateway.commands.failure import (
    STATUS_INTERRUPTED,
    STATUS_MISTAKE,
    STATUS_WORLD,
    CommandFailure,
)
from gateway.commands.keys import keys_group
from gateway.commands.ledger import ledger_group
from gateway.commands.options import (
    LISTENING,
    CommandWithSettings,
    environment,
    listening_options,
    venues_option,
    with_settings,
)
from gateway.commands.recordings import record_command, replay_command
from gateway.commands.redis_access import redis_url_of
from gateway.commands.settings import Settings, certificate_of, check_tokens, check_traces
from gateway.commands.verify import verify_command
from gateway.commands.watch import watch_command
from gateway.configuration import SettingsError
from gateway.processes.listening import AddressError
from gateway.processes.readiness import READY_VARIABLE
from gateway.processes.running import DataDirectoryError
from gateway.processes.supervisor import SupervisorError

__all__ = ["Settings", "main"]

_MISTAKES: Final = (SettingsError, SettingError)
_WORLD: Final = (FeedError, AddressError, DataDirectoryError, RedisError, OSError)


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
        case _ if isinstance(error, _WORLD):
            status = STATUS_WORLD
        case _:
            return None
    click.echo(f"{name}: {' '.join(message.split())}", err=True)
    return status


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="tickgate", message="tickgate %(version)s")
def tickgate() -> None:
    """A streaming gateway for prices and signals: exchanges, Redis, WebSocket subscribers.

    `tickgate run --help` tells all settings. Exit status 2: what was typed or set can't work;
    1: something that is needed isn't there just now.
    """


@tickgate.command("run", cls=CommandWithSettings)
@listening_options
@venues_option
@with_settings(**LISTENING, venues="venues")
def run_command(settings: Settings) -> None:
    """Everything in one: Redis (its own, if none is set), feeds, gateway.

    Prints where it listens, a demo key, and commands to paste. Ctrl-C ends it, with status 0.
    """
    check_venues(settings)
    check_traces(settings.traces)
    check_tokens(settings.token)
    certificate_of(settings.tls)
    run.run_all(settings, environment())


@tickgate.command("feeds")
@venues_option
@with_settings(venues="venues")
def feeds_command(settings: Settings) -> None:
    """Only the feeds: from the venues to Redis."""
    check_venues(settings)
    check_traces(settings.traces)
    processes.feeds_process(settings, redis_url_of(settings))


@tickgate.command("gateway")
@listening_options
@with_settings(**LISTENING)
def gateway_command(settings: Settings) -> None:
    """Only the gateway: from Redis to subscribers."""
    if "TICKGATE_SETTINGS" in environment():
        processes.gateway_process(settings, environment().get(READY_VARIABLE, ""))
    else:
        check_traces(settings.traces)
        check_tokens(settings.token)
        certificate_of(settings.tls)
        run.run_gateway(settings, redis_url_of(settings), environment())


for _command in (
    backtest_command,
    bench_command,
    decode_command,
    keys_group,
    ledger_group,
    record_command,
    replay_command,
    verify_command,
    watch_command,
):
    tickgate.add_command(_command)


if __name__ == "__main__":
    main()
