"""`tickgate record` and `tickgate replay`: a venue's messages into a file, and out of it again."""

import asyncio
import contextlib
import sys
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from random import Random
from typing import BinaryIO, Final

import click
from rich.console import Console
from rich.status import Status

from feeds.chosen import venue_feed, venue_row
from feeds.connection import FrameTap
from feeds.feed import TickSink
from feeds.market import SystemClock
from feeds.recordings.record import RecordProgress, record
from feeds.recordings.recording import Header, RecordingError, RecordingWriter, Row, read_rows
from feeds.recordings.replay import ReplayProgress
from feeds.run import run_replay
from feeds.venue_feed import VenueFeed
from gateway.commands.failure import STATUS_MISTAKE, CommandFailure
from gateway.commands.options import seconds_option, symbol_option, with_settings
from gateway.commands.redis_access import redis_url_of
from gateway.commands.settings import Settings
from gateway.commands.stopping import leave, stopping_event
from gateway.telemetry.logs import begin_log

_FLUSH_S: Final = 1.0
"""What a crash may cost of a recording."""


@click.command("record")
@click.argument("venue")
@click.option("-o", "--output", metavar="FILE", help="-: stdout. [VENUE-<time>.jsonl.gz]")
@seconds_option
@with_settings()
def record_command(
    settings: Settings, venue: str, output: str | None, seconds: float | None
) -> None:
    """Write down what a venue sends, with the times."""
    record_venue(settings, venue, output, seconds)


@click.command("replay")
@click.argument("file")
@click.option("--venue", help="Whose messages they are. [as the file says]")
@symbol_option
@click.option("--speed", default="1", show_default=True, metavar="N|max")
@with_settings()
def replay_command(
    settings: Settings, file: str, venue: str | None, symbol: str | None, speed: str
) -> None:
    """Play a recording into the running Tickgate, as venue `replay`, moved to now."""
    replay_file(
        settings,
        redis_url_of(settings),
        file,
        venue=venue,
        speed=speed_of(speed),
        symbol=symbol,
    )


def record_venue(settings: Settings, venue: str, output: str | None, seconds: float | None) -> None:
    """Until Ctrl-C, or for `seconds`. Without `output` a file is made, named after venue and time.

    Raises CommandFailure, also where nothing came, and FeedError.
    """
    begin_log(settings.logs, "record")
    venue_row(venue)
    with asyncio.Runner() as runner:
        _record_into(runner, settings, venue, output, seconds)
        leave()


def _record_into(
    runner: asyncio.Runner,
    settings: Settings,
    venue: str,
    output: str | None,
    seconds: float | None,
) -> None:
    name = output or f"{venue}-{datetime.now(UTC):%Y%m%dT%H%M%SZ}.jsonl.gz"
    with _created(name) as stream, _shown() as show:
        writer = RecordingWriter(stream, venue, SystemClock().now_ns(), gzip=name.endswith(".gz"))
        with writer:
            done = runner.run(_record(settings, venue, writer, seconds, show))
    if not done.frames:
        if name != "-":
            Path(name).unlink()
        raise CommandFailure(f"nothing came from {venue}: {done.reason or 'no message in time'}")
    _tell(f"{_recorded(done)}, to {'stdout' if name == '-' else name}")


def replay_file(
    settings: Settings,
    redis_url: str,
    file: str,
    *,
    venue: str | None,
    speed: float | None,
    symbol: str | None,
) -> None:
    """Until its end, or Ctrl-C. Raises CommandFailure and FeedError."""
    begin_log(settings.logs, "replay")
    path = Path(file)
    chosen = _venue_of(path, venue)

    async def play(show: Callable[[str], None]) -> ReplayProgress:
        return await run_replay(
            lambda: _rows(path),
            chosen,
            settings,
            redis_url,
            clock=SystemClock(),
            stopping=stopping_event(),
            speed=speed,
            symbol=symbol,
            progress=lambda progress: show(_played(progress)),
        )

    with _shown() as show:
        done = asyncio.run(play(show))
    _tell(_played(done))
    if done.parse_errors:
        raise CommandFailure(f"{done.parse_errors:,} lines could not be understood")


def speed_of(text: str) -> float | None:
    """`2`, `2x` or `max` (None). Raises CommandFailure."""
    if text == "max":
        return None
    try:
        speed = float(text.removesuffix("x"))
    except ValueError:
        speed = 0.0
    if not 0 < speed < float("inf"):
        message = f"--speed {text}: a number of more than 0, or max"
        raise CommandFailure(message, STATUS_MISTAKE)
    return speed


async def _record(
    settings: Settings,
    venue: str,
    writer: RecordingWriter,
    seconds: float | None,
    show: Callable[[str], None],
) -> RecordProgress:
    clock = SystemClock()
    flushed_s = clock.monotonic_s()

    def make_feed(sink: TickSink, tap: FrameTap) -> VenueFeed:
        return venue_feed(venue, settings, sink, clock=clock, random=Random(), tap=tap)  # noqa: S311

    def progress(so_far: RecordProgress) -> None:
        nonlocal flushed_s
        if clock.monotonic_s() - flushed_s >= _FLUSH_S:
            flushed_s = clock.monotonic_s()
            writer.flush()
        show(_recorded(so_far))

    return await record(
        make_feed,
        _Frames(writer),
        clock=clock,
        stopping=stopping_event(),
        duration_s=seconds,
        progress=progress,
    )


class _Frames:
    """The recorder's view of a file: frames received, and nothing else."""

    def __init__(self, writer: RecordingWriter) -> None:
        self._writer = writer

    def write(self, frame: str | bytes, received_ns: int) -> None:
        """A frame too long to be read back is told and left out: it is one, and a tape goes on."""
        try:
            self._writer.received(frame, received_ns)
        except RecordingError as error:
            _tell(str(error))


@contextlib.contextmanager
def _created(name: str) -> Iterator[BinaryIO]:
    """`-` is stdout. A recording can't be made again: an old one is not overwritten."""
    if name == "-":
        yield sys.stdout.buffer
        return
    try:
        stream = Path(name).open("xb")  # noqa: SIM115 - closed below
    except FileExistsError:
        raise CommandFailure(f"{name} exists already", STATUS_MISTAKE) from None
    except OSError as error:
        raise CommandFailure(f"{name} can't be written: {error.strerror}", STATUS_MISTAKE) from None
    with stream:
        yield stream


def _venue_of(path: Path, named: str | None) -> str:
    with _opened(path) as stream:
        first = next(read_rows(stream), None)
    match first, named:
        case None, _:
            raise CommandFailure(f"{path} is empty", STATUS_MISTAKE)
        case Header(venue=venue), None:
            return venue
        case Header(venue=venue), _ if venue != named:
            message = f"{path} is a recording of {venue}, not of {named}"
            raise CommandFailure(message, STATUS_MISTAKE)
        case _, str():
            return named
    raise CommandFailure(f"{path} does not say of which venue it is: use --venue", STATUS_MISTAKE)


def _rows(path: Path) -> Iterator[Row]:
    with _opened(path) as stream:
        yield from read_rows(stream)


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[BinaryIO]:
    try:
        with path.open("rb") as stream:
            yield stream
    except OSError as error:
        raise CommandFailure(f"{path} can't be read: {error.strerror}", STATUS_MISTAKE) from None


@contextlib.contextmanager
def _shown() -> Iterator[Callable[[str], None]]:
    """One line that moves, on a terminal; nothing elsewhere."""
    console = Console(stderr=True, highlight=False, markup=False)
    if not console.is_terminal:
        yield lambda _: None
        return
    with Status("waiting", console=console) as status:
        yield status.update


def _recorded(progress: RecordProgress) -> str:
    text = (
        f"{progress.frames:,} messages, {progress.ticks:,} ticks,"
        f" {progress.frame_bytes / 1e6:,.1f} MB in {progress.elapsed_s:,.0f} s"
    )
    return f"{text} ({progress.reason})" if progress.reason else text


def _played(progress: ReplayProgress) -> str:
    text = f"{progress.frames:,} messages, {progress.ticks:,} ticks published"
    return f"{text}, {progress.late_s:.1f} s late" if progress.late_s >= 1 else text


def _tell(line: str) -> None:
    click.echo(line, err=True)
