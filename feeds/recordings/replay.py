"""A recording, played through its venue's parser and published under venue `replay`.

Kinds, symbols, order and digits are kept; times are moved to now, all of them by ONE map (see
`Timeline`). Waits for the bus, so nothing is dropped at any speed.
"""

import asyncio
import contextlib
import logging
from collections.abc import Callable, Iterator, Sequence

import msgspec

from feeds.feed import Bus
from feeds.market import Book, Channel, Clock, Payload, Quote, Status, Tick, Trade
from feeds.recordings.recording import BadLine, Frame, Row
from feeds.venue import ParseError, Parser

_log = logging.getLogger(__name__)

VENUE = "replay"

RecordedFrame = Frame

_DRAIN_TICKS = 1_000
"""Ticks offered before the bus is waited for: far fewer than the publisher holds."""
_YIELD_ROWS = 500
"""Rows read, bad ones too, before the event loop has a turn."""
_PROGRESS_S = 0.2


class Timeline:
    """Recorded times to times of playing: `played + (time - recorded) / speed`, rounded down.

    At 1x that is one constant offset: distances and latencies are the recorded ones. At Nx every
    distance shrinks N-fold, that of `t` to `rx` too: what shows 5 ms at 10x was 50 ms. Order is
    kept always, as the map never falls.
    """

    def __init__(self, recorded_us: int, played_us: int, speed: float = 1.0) -> None:
        self._recorded_us = recorded_us
        self._played_us = played_us
        self._speed = speed

    def played_us(self, recorded_us: int) -> int:
        return self._played_us + int((recorded_us - self._recorded_us) // self._speed)

    def moved(self, payload: Payload) -> Payload:
        """The same message, at its new times; a time that isn't there stays so."""
        if not isinstance(payload, Trade | Quote | Book):
            return payload
        venue_us, received_us = payload.venue_us, payload.received_us
        return msgspec.structs.replace(
            payload,
            venue_us=None if venue_us is None else self.played_us(venue_us),
            received_us=None if received_us is None else self.played_us(received_us),
        )


class ReplayProgress(msgspec.Struct):
    """How far it is."""

    frames: int = 0
    ticks: int = 0
    parse_errors: int = 0
    """Lines that are no row of a recording, or hold what the parser can't make sense of."""
    late_s: float = 0.0
    """How far behind its own pace; 0 as fast as possible."""


class ReplayFeed:
    """A Feed of one recording. `run` returns when it has been played and published.

    At a speed the first frame plays now and the others at their distance from it. As fast as
    possible nothing waits, and times get the offset that puts the LAST frame at now: recorded
    distances stay exact (candles come out right) and none is in the future.
    A frame without a receive time plays when its ticks' own times say, or else at once.
    """

    def __init__(
        self,
        read: Callable[[], Iterator[Row]],
        make_parser: Callable[[], Parser],
        bus: Bus,
        clock: Clock,
        *,
        speed: float | None = 1.0,
        progress: Callable[[ReplayProgress], None] = lambda _: None,
    ) -> None:
        """`read` starts the recording from its beginning: as fast as possible (`speed` None) it is
        called twice, as the last moment must be known first."""
        assert speed is None or speed > 0
        self.name = VENUE
        self.channels: list[Channel] = []
        self.changed = asyncio.Event()
        self.progress = ReplayProgress()
        self._read = read
        self._make_parser = make_parser
        self._bus = bus
        self._clock = clock
        self._speed = speed
        self._show = progress
        self._shown_s = 0.0
        self._undrained = 0
        self._targets: dict[Channel, Channel] = {}
        self._timeline: Timeline | None = None
        self._status = Status("waiting", clock.now_ns() // 1_000)

    def status(self) -> Status:
        return msgspec.structs.replace(self._status, received_us=self._clock.now_ns() // 1_000)

    async def run(self) -> None:
        if self._speed is None:
            newest_us = await self._newest_us()
            if newest_us is not None:
                self._timeline = Timeline(newest_us, self._clock.now_ns() // 1_000)
        self._turn(Status("live", self._clock.now_ns() // 1_000))
        await self._play()
        await self._bus.drain()
        self._show(self.progress)
        self._turn(
            Status("closed", self._clock.now_ns() // 1_000, "feed", "the recording has ended")
        )

    async def _play(self) -> None:
        start_s = self._clock.monotonic_s()
        parser = self._make_parser()
        first_us: int | None = None
        for number, row in enumerate(self._read()):
            ticks = self._parse(parser, row)
            recorded_us = _recorded_us(row, ticks)
            if self._speed is not None and recorded_us is not None:
                if first_us is None:
                    first_us, start_s = recorded_us, self._clock.monotonic_s()
                    now_us = self._clock.now_ns() // 1_000
                    self._timeline = Timeline(first_us, now_us, self._speed)
                await self._wait_until(start_s + (recorded_us - first_us) / 1e6 / self._speed)
            await self._publish(ticks)
            if number % _YIELD_ROWS == 0:
                await asyncio.sleep(0)

    async def _newest_us(self) -> int | None:
        """The recording's last moment, found by reading it all; None: it has no times."""
        parser = self._make_parser()
        newest_us: int | None = None
        for number, row in enumerate(self._read()):
            ticks: Sequence[Tick] = ()
            if isinstance(row, Frame) and row.received_ns is None:
                with contextlib.suppress(ParseError):  # `_play` meets it again, and tells of it.
                    ticks = _ticks(parser, row)
            recorded_us = _recorded_us(row, ticks)
            if recorded_us is not None:
                newest_us = recorded_us if newest_us is None else max(newest_us, recorded_us)
            if number % _YIELD_ROWS == 0:
                await asyncio.sleep(0)
        return newest_us

    def _parse(self, parser: Parser, row: Row) -> Sequence[Tick]:
        match row:
            case Frame():
                self.progress.frames += 1
                try:
                    return _ticks(parser, row)
                except ParseError as error:
                    self._bad(row.line, str(error))
            case BadLine(line, reason):
                self._bad(line, reason)
        return ()

    def _bad(self, line: int, reason: str) -> None:
        self.progress.parse_errors += 1
        if self.progress.parse_errors == 1:
            _log.warning("line %d is bad (%s); more are only counted", line, reason)

    async def _wait_until(self, due_s: float) -> None:
        wait_s = due_s - self._clock.monotonic_s()
        self.progress.late_s = max(0.0, -wait_s)
        if wait_s > 0:
            await asyncio.sleep(wait_s)

    async def _publish(self, ticks: Sequence[Tick]) -> None:
        if ticks:
            self._bus.offer([self._moved(tick) for tick in ticks])
            self.progress.ticks += len(ticks)
            self._undrained += len(ticks)
        if self._undrained >= _DRAIN_TICKS:
            self._undrained = 0
            await self._bus.drain()
        now_s = self._clock.monotonic_s()
        if now_s - self._shown_s >= _PROGRESS_S:
            self._shown_s = now_s
            self._show(self.progress)

    def _moved(self, tick: Tick) -> Tick:
        target = self._targets.get(tick.channel)
        if target is None:
            target = Channel(tick.channel.kind, VENUE, tick.channel.symbol)
            self._targets[tick.channel] = target
            self.channels.append(target)
            self._bus.register([target])
        timeline = self._timeline
        return Tick(target, tick.payload if timeline is None else timeline.moved(tick.payload))

    def _turn(self, status: Status) -> None:
        self._status = status
        self.changed.set()


def _ticks(parser: Parser, row: Frame) -> Sequence[Tick]:
    events = parser.feed(row.frame, row.received_ns)
    return [event for event in events if isinstance(event, Tick)]


def _recorded_us(row: Row, ticks: Sequence[Tick]) -> int | None:
    """When a frame came; where that isn't known, when the last thing in it happened."""
    if isinstance(row, Frame) and row.received_ns is not None:
        return row.received_ns // 1_000
    times = [
        tick.payload.venue_us
        for tick in ticks
        if isinstance(tick.payload, Trade | Quote | Book) and tick.payload.venue_us is not None
    ]
    return max(times, default=None)
