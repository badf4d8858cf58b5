"""EDGE (terminal): `tickgate watch`: a live table; into a pipe, one JSON message a line."""

import asyncio
import os
import sys
from collections.abc import Sequence
from typing import Final

import msgspec
from rich.console import Console
from rich.live import Live
from rich.text import Text

from feeds.market import Clock, Moment, SystemClock, moment
from gateway.client import Stream, StreamError, connect
from gateway.commands.failure import NO_KEY, STATUS_MISTAKE, STATUS_WORLD
from gateway.commands.stopping import stopping_event
from gateway.consumer.client_socket import place_of, stream_url
from gateway.watch.board import Board, printable
from gateway.watch.table import Layout

DEFAULT_URL: Final = "ws://127.0.0.1:8787/v1/stream"

_REDRAW_S: Final = 0.1
_DRAWING_SHARE: Final = 0.2
"""Of the time, at most: a table of many rows is drawn less often rather than delay messages."""


async def watch(
    channels: Sequence[str],
    url: str = DEFAULT_URL,
    key: str | None = None,
    *,
    seconds: float | None = None,
    count: int | None = None,
) -> int:
    """Until Ctrl-C, for `seconds`, or for `count` messages of channels; the exit status.

    What goes wrong is one line on stderr.
    """
    if not key:
        return _fail(NO_KEY, STATUS_MISTAKE)
    stopping = stopping_event()
    async with asyncio.TaskGroup() as group:
        watching = group.create_task(_watch(channels, url, key, count))
        stop = group.create_task(stopping.wait())
        await asyncio.wait((watching, stop), timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        watching.cancel()
        stop.cancel()
    return 0 if watching.cancelled() else watching.result()


async def _watch(channels: Sequence[str], url: str, key: str, count: int | None) -> int:
    try:
        async with connect(url, key) as stream:
            ack = await stream.subscribe(*channels)
            if sys.stdout.isatty():
                clock = SystemClock()
                board = Board()
                board.hear(ack, moment(clock))
                screen = _Screen(board, place_of(stream_url(url)))
                await _draw(stream, board, screen, clock, count)
            else:
                await _print(stream, count)
    except StreamError as error:
        return _fail(str(error), STATUS_MISTAKE if error.next == "stop" else STATUS_WORLD)
    except BrokenPipeError:
        # `| head` has seen enough; nothing is left to be flushed at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return 0


async def _print(stream: Stream, count: int | None) -> None:
    out, left = sys.stdout.buffer, count
    async for message in stream:
        out.write(msgspec.json.encode(message) + b"\n")
        out.flush()
        if left is not None and isinstance(message, dict):
            left -= 1
            if left <= 0:
                return


async def _draw(
    stream: Stream, board: Board, screen: "_Screen", clock: Clock, count: int | None
) -> None:
    """Raises the StreamError that ended the stream, after the last drawing."""
    failure: StreamError | None = None
    with screen.live:
        async with asyncio.TaskGroup() as group:
            drawing = group.create_task(_keep_drawing(screen, clock))
            try:
                await _fill(board, stream, clock, count)
            except StreamError as error:
                failure = error
            finally:
                drawing.cancel()
                screen.draw(moment(clock))
    if failure is not None:
        raise failure


async def _fill(board: Board, stream: Stream, clock: Clock, count: int | None) -> None:
    async for message in stream:
        board.hear(message, moment(clock))
        if count is not None and board.messages >= count:
            return


async def _keep_drawing(screen: "_Screen", clock: Clock) -> None:
    while True:
        began_s = clock.monotonic_s()
        screen.draw(moment(clock))
        took_s = clock.monotonic_s() - began_s
        await asyncio.sleep(max(_REDRAW_S, took_s / _DRAWING_SHARE))


class _Screen:
    def __init__(self, board: Board, place: str) -> None:
        self._board = board
        self._place = place
        self._layout = Layout()
        self._console = Console(highlight=False, markup=False, emoji=False)
        self.live = Live(console=self._console, auto_refresh=False, vertical_overflow="crop")

    def draw(self, at: Moment) -> None:
        width, height = self._console.size
        lines = self._layout.lines(self._board, at, self._place, width, height)
        self.live.update(Text("\n").join(lines), refresh=True)


def _fail(told: str, status: int) -> int:
    line = " ".join(printable(word, 1_000) for word in told.split())
    print(f"tickgate watch: {line}", file=sys.stderr)  # noqa: T201 - it is what a command says
    return status
