"""The `tickgate` command: a table of commands and options. What they do is in `gateway.commands`.

Whatever goes wrong that a user or the world can cause is one line on stderr, never a traceback;
exit status 2: what was typed or set can't work; 1: something that is needed isn't there now.
"""

import asyncio
import os
import sys
from collections.abc import Callable
from functools import wraps
from typing import Final

import click
from redis.exceptions import RedisError

from feeds.chosen import check_venues
from feeds.decode import decode as decode_files
from feeds.errors import FeedError, SettingError
from gateway.commands import keys as key_commands
from gateway.commands import processes, recordings, run
from gateway.commands.bench import bench
from gateway.commands.failure import (
    STATUS_INTERRUPTED,
    STATUS_MISTAKE,
    STATUS_WORLD,
    CommandFailure,
)
from gateway.commands.parameters import duration, patterns
from gateway.commands.redis_access import gateway_url_of, redis_url_of
from gateway.commands.settings import (
    Settings,
    certificate_of,
    check_tokens,
    settings_from,
    write_settings_help,
)
from gateway.configuration import SettingsError
from gateway.listening import AddressError
from gateway.measure.run import CONNECTIONS_MAX
from gateway.readiness import READY_VARIABLE
from gateway.running import DataDirectoryError
from gateway.supervisor import SupervisorError
from gateway.watch import watch

__all__ = ["Settings", "main"]

_MISTAKES: Final = (SettingsError, SettingError)
_WORLD: Final = (FeedError, AddressError, DataDirectoryError, RedisError, OSError)


def main() -> None:
    """The console script."""
    try:
        status = tickgate.main(prog_name="tickgate", standalone_mode=False)
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


class _CommandWithSettings(click.Command):
    """Its help tells every setting."""

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        write_settings_help(formatter)
        super().format_epilog(ctx, formatter)


def _with_settings(**keys: str) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Hands a command its Settings: `keys` are the settings that its options change."""

    def decorate(command: Callable[..., None]) -> Callable[..., None]:
        @click.option("--config", metavar="FILE", help="The TOML file. [./tickgate.toml if there]")
        @click.option("--data-dir", metavar="DIR", help="Where API keys are kept. [.tickgate]")
        @click.option("--redis-url", metavar="URL", help="A Redis to use. [one of its own]")
        @wraps(command)
        def with_settings(config: str | None, **given: object) -> None:
            options = {key: given.pop(name) for name, key in _COMMON_KEYS.items()}
            options |= {key: given.pop(name) for name, key in keys.items()}
            command(settings_from(os.environ, config, options), **given)

        return with_settings

    return decorate


_COMMON_KEYS: Final = {"data_dir": "data_dir", "redis_url": "redis_url"}
_LISTENING: Final = {
    "host": "gateway.host",
    "port": "gateway.port",
    "workers": "gateway.workers",
    "tls_cert": "tls.cert",
    "tls_key": "tls.key",
}


def _listening_options(command: Callable[..., None]) -> Callable[..., None]:
    for option in (
        click.option("--tls-key", metavar="FILE", help="Its key (PEM)."),
        click.option("--tls-cert", metavar="FILE", help="The certificate (PEM). [no TLS]"),
        click.option("--workers", metavar="N", help="Gateway processes sharing the port. [1]"),
        click.option("--port", metavar="PORT", help="0: any free one. [8787]"),
        click.option("--host", metavar="HOST", help="0.0.0.0: for everyone. [127.0.0.1]"),
    ):
        command = option(command)
    return command


_venues_option = click.option(
    "--venues", metavar="NAMES", help="Comma separated, e.g. kraken,sim. [all]"
)


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="tickgate", message="tickgate %(version)s")
def tickgate() -> None:
    """A streaming gateway for prices and signals: exchanges, Redis, WebSocket subscribers.

    `tickgate run --help` tells all settings. Exit status 2: what was typed or set can't work;
    1: something that is needed isn't there just now.
    """


@tickgate.command("run", cls=_CommandWithSettings)
@_listening_options
@_venues_option
@_with_settings(**_LISTENING, venues="venues")
def run_command(settings: Settings) -> None:
    """Everything in one: Redis (its own, if none is set), feeds, gateway.

    Prints where it listens, a demo key, and commands to paste. Ctrl-C ends it, with status 0.
    """
    check_venues(settings)
    check_tokens(settings.token)
    certificate_of(settings.tls)
    run.run_all(settings, os.environ)


@tickgate.command("feeds")
@_venues_option
@_with_settings(venues="venues")
def feeds_command(settings: Settings) -> None:
    """Only the feeds: from the venues to Redis."""
    check_venues(settings)
    processes.feeds_process(settings, redis_url_of(settings))


@tickgate.command("gateway")
@_listening_options
@_with_settings(**_LISTENING)
def gateway_command(settings: Settings) -> None:
    """Only the gateway: from Redis to subscribers."""
    if "TICKGATE_SETTINGS" in os.environ:
        processes.gateway_process(settings, os.environ.get(READY_VARIABLE, ""))
    else:
        check_tokens(settings.token)
        certificate_of(settings.tls)
        run.run_gateway(settings, redis_url_of(settings), os.environ)


@tickgate.group("keys")
def keys_group() -> None:
    """API keys: who may subscribe."""


@keys_group.command("create")
@click.option("--label", default="", metavar="TEXT", help="Whose it is; for you to recognise it.")
@click.option("--plan", default="pro", show_default=True, metavar="PLAN")
@click.option("--expires", metavar="TIME", callback=duration, help="e.g. 90d. [never]")
@click.option(
    "--channels", metavar="PATTERNS", callback=patterns, help="e.g. trade:kraken:*. [the plan's]"
)
@_with_settings()
def keys_create(
    settings: Settings,
    label: str,
    plan: str,
    *,
    expires: int | None,
    channels: tuple[str, ...] | None,
) -> None:
    """Make a key. It is printed once, alone on stdout; only its hash is kept."""
    key_commands.create_key(
        settings, os.environ, label, plan, expires_in_s=expires, channels=channels
    )


@keys_group.command("list")
@_with_settings()
def keys_list(settings: Settings) -> None:
    """List all keys."""
    key_commands.list_keys(settings, os.environ)


@keys_group.command("revoke")
@click.argument("key_id", metavar="ID")
@_with_settings()
def keys_revoke(settings: Settings, key_id: str) -> None:
    """Make a key invalid. Its connections end within seconds."""
    key_commands.revoke_key(settings, os.environ, key_id)


@keys_group.command("rotate")
@click.argument("key_id", metavar="ID")
@click.option(
    "--overlap",
    metavar="TIME",
    callback=duration,
    default="24h",
    show_default=True,
    help="How long the key of now stays good; 0s: not at all.",
)
@_with_settings()
def keys_rotate(settings: Settings, key_id: str, overlap: int) -> None:
    """Make a new key under the same id. It is printed once, alone on stdout."""
    key_commands.rotate_key(settings, os.environ, key_id, overlap)


@keys_group.command("usage")
@click.argument("key_id", metavar="ID")
@_with_settings()
def keys_usage(settings: Settings, key_id: str) -> None:
    """What a key has used in this month (UTC), as JSON."""
    key_commands.show_usage(settings, os.environ, key_id)


@tickgate.command("watch")
@click.argument("channels", nargs=-1, required=True, metavar="CHANNEL...")
@click.option("--url", help="The gateway's. [the running Tickgate's]")
@click.option(
    "--key", metavar="KEY", help="An API key. [TICKGATE_KEY, which other users can't see]"
)
@click.option("--seconds", type=click.FloatRange(min=0, min_open=True), help="[until Ctrl-C]")
@click.option("--count", type=click.IntRange(min=1), help="Messages to wait for. [until Ctrl-C]")
@_with_settings()
def watch_command(
    settings: Settings,
    channels: tuple[str, ...],
    *,
    url: str | None,
    key: str | None,
    seconds: float | None,
    count: int | None,
) -> None:
    """Show channels live: `quote:sim:*`. Into a pipe: one JSON message a line."""
    url = url or gateway_url_of(settings)
    key = key or os.environ.get("TICKGATE_KEY")
    status = asyncio.run(watch(channels, url, key, seconds=seconds, count=count))
    click.get_current_context().exit(status)


@tickgate.command("bench")
@click.argument("url", required=False)
@click.option(
    "--key", metavar="KEY", help="An API key. [TICKGATE_KEY, which other users can't see]"
)
@click.option(
    "--channels", multiple=True, metavar="NAMES", help="Comma separated. [all trades and quotes]"
)
@click.option(
    "--seconds", type=click.FloatRange(min=0, min_open=True), default=10.0, show_default=True
)
@click.option(
    "--connections", type=click.IntRange(1, CONNECTIONS_MAX), default=1, show_default=True
)
@click.option(
    "--rate", default="all", show_default=True, metavar="RATE", help="all, latest, 100ms, 1s …"
)
@click.option("--json", "as_json", is_flag=True, help="One object; also into a pipe.")
@_with_settings()
def bench_command(
    settings: Settings,
    url: str | None,
    *,
    key: str | None,
    channels: tuple[str, ...],
    seconds: float,
    connections: int,
    rate: str,
    as_json: bool,
) -> None:
    """Measure a gateway as its clients see it. URL: the running Tickgate's, or any other.

    Delays by hop, rates, what is lost or late, how far the gateway's clock is off. Ctrl-C ends it
    early. Status 1 when messages were lost without a gap, out of order, or a connection ended.
    """
    status = bench(
        url or gateway_url_of(settings),
        key or os.environ.get("TICKGATE_KEY"),
        channels,
        rate=rate,
        connections=connections,
        seconds=seconds,
        as_json=as_json,
    )
    click.get_current_context().exit(status)


@tickgate.command("decode")
@click.argument("venue")
@click.argument("files", nargs=-1, metavar="[FILE]...")
@click.option("--symbol", help="Ours (BTC-USD), for messages that don't name it.")
@click.pass_context
def decode_command(ctx: click.Context, venue: str, files: tuple[str, ...], symbol: str) -> None:
    """Turn a venue's raw messages (a line each) into what subscribers get.

    Without FILE, or where it is -, from stdin. Status 1 when a line was bad.
    """
    ctx.exit(decode_files(venue, files, symbol, sys.stdout.buffer, sys.stderr))


@tickgate.command("record")
@click.argument("venue")
@click.option("-o", "--output", metavar="FILE", help="-: stdout. [VENUE-<time>.jsonl.gz]")
@click.option("--seconds", type=click.FloatRange(min=0, min_open=True), help="[until Ctrl-C]")
@_with_settings()
def record_command(
    settings: Settings, venue: str, output: str | None, seconds: float | None
) -> None:
    """Write down what a venue sends, with the times."""
    recordings.record_venue(settings, venue, output, seconds)


@tickgate.command("replay")
@click.argument("file")
@click.option("--venue", help="Whose messages they are. [as the file says]")
@click.option("--symbol", help="Ours (BTC-USD), for messages that don't name it.")
@click.option("--speed", default="1", show_default=True, metavar="N|max")
@_with_settings()
def replay_command(
    settings: Settings, file: str, venue: str | None, symbol: str | None, speed: str
) -> None:
    """Play a recording into the running Tickgate, as venue `replay`, moved to now."""
    recordings.replay_file(
        settings,
        redis_url_of(settings),
        file,
        venue=venue,
        speed=recordings.speed_of(speed),
        symbol=symbol,
    )


if __name__ == "__main__":
    main()
