"""`tickgate bench`: measures a gateway, and shows a person a table, a program a JSON object."""

import asyncio
import sys
from collections.abc import Sequence
from typing import Final

import click
import msgspec
import uvloop
from rich.console import Console
from rich.live import Live
from rich.text import Text

from feeds.market import SystemClock
from feeds.recordings.replay import VENUE as REPLAY
from feeds.venues import VENUES
from gateway.client import StreamError
from gateway.commands.failure import (
    NO_KEY,
    STATUS_INTERRUPTED,
    STATUS_MISTAKE,
    STATUS_WORLD,
    CommandFailure,
)
from gateway.commands.options import (
    chosen_gateway,
    end_with,
    key_option,
    ten_seconds_option,
    with_settings,
)
from gateway.commands.settings import SIMULATED, Settings
from gateway.commands.stopping import on_stop
from gateway.measure.report import Report
from gateway.measure.report_table import progress, write_report
from gateway.measure.run import CONNECTIONS_MAX, Measurement, Wanted
from gateway.watch.board import printable

_PROGRESS_S: Final = 0.25


@click.command("bench")
@click.argument("url", required=False)
@key_option
@click.option(
    "--channels", multiple=True, metavar="NAMES", help="Comma separated. [all trades and quotes]"
)
@ten_seconds_option
@click.option(
    "--connections", type=click.IntRange(1, CONNECTIONS_MAX), default=1, show_default=True
)
@click.option(
    "--rate", default="all", show_default=True, metavar="RATE", help="all, latest, 100ms, 1s …"
)
@click.option("--json", "as_json", is_flag=True, help="One object; also into a pipe.")
@with_settings()
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
    url, key = chosen_gateway(settings, url, key)
    status = bench(
        url,
        key,
        channels,
        rate=rate,
        connections=connections,
        seconds=seconds,
        as_json=as_json,
    )
    end_with(status)


def bench(
    url: str,
    key: str | None,
    channels: Sequence[str],
    *,
    rate: str,
    connections: int,
    seconds: float,
    as_json: bool,
) -> int:
    """The exit status: 1 where something was lost in silence, came out of order, or broke off.

    Raises CommandFailure where there is nothing to report.
    """
    if not key:
        raise CommandFailure(NO_KEY, STATUS_MISTAKE)
    named = tuple(name for text in channels for name in text.split(",") if name)
    wanted = Wanted(url, key, named or default_channels(), not named, rate, connections, seconds)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        report = runner.run(_measured(wanted))
    if report is None:
        return STATUS_INTERRUPTED
    if as_json or not sys.stdout.isatty():
        click.echo(msgspec.json.format(msgspec.json.encode(report)))
    else:
        write_report(report, Console(highlight=False, markup=False, emoji=False))
    return STATUS_WORLD if report.faults.broke_a_promise or report.ended else 0


def default_channels() -> tuple[str, ...]:
    """All trades and quotes of all venues that there may be."""
    kinds = {name: row.kinds for name, row in VENUES.items()}
    kinds |= dict.fromkeys((SIMULATED, REPLAY), ("trade", "quote"))
    return tuple(f"{kind}:{venue}:*" for venue, some in kinds.items() for kind in some)


async def _measured(wanted: Wanted) -> Report | None:
    """None: the user had enough before anything was measured. Raises CommandFailure."""
    measurement = Measurement(wanted, SystemClock())
    try:
        async with asyncio.TaskGroup() as group:
            measuring = group.create_task(measurement.run())
            on_stop(lambda: _enough(measurement, measuring))
            if sys.stderr.isatty():
                showing = group.create_task(_show_progress(measurement, wanted.seconds))
                measuring.add_done_callback(lambda _: showing.cancel())
    except BaseExceptionGroup as errors:
        raise _failure(errors) from None
    return None if measuring.cancelled() else measuring.result()


def _enough(measurement: Measurement, measuring: asyncio.Task[Report]) -> None:
    if measurement.is_listening:
        measurement.stop()
    else:
        measuring.cancel()


async def _show_progress(measurement: Measurement, seconds: float) -> None:
    console = Console(stderr=True, highlight=False, markup=False, emoji=False)
    with Live(Text(), console=console, auto_refresh=False, transient=True) as live:
        while True:
            line = progress(measurement.messages, measurement.elapsed_s(), seconds)
            live.update(line, refresh=True)
            await asyncio.sleep(_PROGRESS_S)


def _failure(error: BaseException) -> BaseException:
    """One of a group is told: the others are mostly the same."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    if not isinstance(error, StreamError):
        return error
    told = " ".join(printable(word, 1_000) for word in str(error).split())
    return CommandFailure(told, STATUS_MISTAKE if error.next == "stop" else STATUS_WORLD)
