"""EDGE (websockets): ONE runtime for all venues. Holds on to a venue's sockets, whatever they do.

Connect, subscribe at a pace, hand frames to a fresh Parser and ticks to a sink, watch for silence,
reconnect with capped full-jitter backoff. A frame that can't be parsed never ends a connection,
and a fault of ours in one venue's adapter never ends another venue.
"""

import asyncio
import logging
from collections.abc import Callable, Iterable, Sequence
from random import Random
from typing import NamedTuple

from websockets.exceptions import ConnectionClosed

from feeds.backoff import Backoff, Silence
from feeds.cancelling import stop_if_cancelled
from feeds.errors import ConnectionLostError, VenueLeavingError, VenueSilentError
from feeds.feed import FeedCounts, TickSink
from feeds.health import Blame, VenueHealth
from feeds.market import Channel, Clock, Status, Tick
from feeds.settings import ConnectionSettings
from feeds.venue import Answer, Event, Leaving, ParseError, Parser, Refused, Subscription, Venue
from feeds.venue_socket import VenueSocket, lost, open_socket, send

_log = logging.getLogger(__name__)

FrameTap = Callable[[str | bytes, int], None]
"""Sees every frame and its receive time (nanoseconds UTC) before the parser does."""


def shares(
    subscriptions: Sequence[Subscription], per_connection_max: int
) -> list[Sequence[Subscription]]:
    """What each connection asks for, where a venue limits that."""
    starts = range(0, len(subscriptions), per_connection_max)
    return [subscriptions[start : start + per_connection_max] for start in starts]


class _Venue(NamedTuple):
    """What all connections to one venue have in common."""

    row: Venue
    url: str
    settings: ConnectionSettings
    sink: TickSink
    clock: Clock
    random: Random
    tap: FrameTap | None
    counts: FeedCounts
    health: VenueHealth
    changed: asyncio.Event


class VenueFeed:
    """A Feed: all connections to one venue, their health and counts in common."""

    def __init__(
        self,
        venue: Venue,
        subscriptions: Sequence[Subscription],
        settings: ConnectionSettings,
        sink: TickSink,
        *,
        clock: Clock,
        random: Random,
        url: str | None = None,
        tap: FrameTap | None = None,
    ) -> None:
        """`url` replaces the venue's own; `tap` sees each frame."""
        self.name = venue.name
        self.channels = [Channel(each.kind, venue.name, each.symbol) for each in subscriptions]
        self.changed = asyncio.Event()
        self.counts = FeedCounts()
        self._clock = clock
        parts = shares(subscriptions, venue.subscriptions_per_connection_max)
        self._health = VenueHealth(
            venue.name, len(parts), settings.backoff_max_s, clock.now_ns() // 1_000
        )
        common = _Venue(
            venue,
            url or venue.url,
            settings,
            sink,
            clock,
            random,
            tap,
            self.counts,
            self._health,
            self.changed,
        )
        self._connections = [_Connection(common, number, part) for number, part in enumerate(parts)]

    def status(self) -> Status:
        return self._health.status(self._clock.now_ns() // 1_000)

    async def run(self) -> None:
        """Until cancelled; then the sockets are closed, within `close_limit_s`."""
        async with asyncio.TaskGroup() as group:
            for number, connection in enumerate(self._connections):
                group.create_task(connection.run(), name=f"{self.name}-{number}")


class _Connection:
    """One socket after the other, for one share of a venue's subscriptions."""

    def __init__(self, venue: _Venue, number: int, subscriptions: Sequence[Subscription]) -> None:
        self._venue = venue
        self._number = number
        self._subscriptions = subscriptions
        settings = venue.settings
        self._backoff = Backoff(settings.backoff_first_s, settings.backoff_max_s, venue.random)
        symbols = {each.symbol for each in subscriptions}
        self._only_symbol = symbols.pop() if len(symbols) == 1 else None
        self._parser: Parser
        self._silence: Silence
        self._is_live = False
        self._complained = False

    async def run(self) -> None:
        """Until cancelled."""
        # A venue's sockets open one after the other, as its subscribe frames do.
        await asyncio.sleep(self._number * self._venue.row.subscribe_pace_s)
        while True:
            began_s = self._venue.clock.monotonic_s()
            ending = await self._hold_one()
            stop_if_cancelled()
            lasted_s = self._venue.clock.monotonic_s() - began_s
            steady = self._is_live and lasted_s >= self._venue.settings.steady_after_s
            if steady:
                self._backoff.reset()
            # Make before break hooks in here: a venue that leaves in order is met again at once.
            if not (steady and isinstance(ending, VenueLeavingError)):
                await asyncio.sleep(self._backoff.next_pause_s())
            self._venue.counts.reconnects += 1

    async def _hold_one(self) -> ConnectionLostError | None:
        """One socket, from opening it to its end, which is returned; None: by a fault of ours."""
        ending: ConnectionLostError | None = None
        self._is_live = self._complained = False
        try:
            await self._converse()
        except* ConnectionLostError as group:
            ending = _first(group)
            self._lost("venue", str(ending))
        except* Exception:
            # A supervisor's policy: a fault of ours ends this connection only, is logged whole and
            # counted, and is met with the same backoff. The other venues go on.
            self._venue.counts.crashes += 1
            _log.exception("a fault of ours ended a connection venue=%s", self._venue.row.name)
            self._lost("feed", "met a fault of ours (it is in the log)")
        return ending

    async def _converse(self) -> None:
        """Never returns: raises what ended the conversation, perhaps in a group."""
        row, settings = self._venue.row, self._venue.settings
        url = row.connect_url(self._venue.url, self._subscriptions)
        async with open_socket(url, settings) as opened, asyncio.TaskGroup() as group:
            self._venue.health.opened(self._number)
            self._venue.changed.set()
            self._parser = row.parser(self._only_symbol)
            self._silence = Silence(
                row.silence_limit_s,
                settings.data_silence_limit_s,
                self._venue.clock.monotonic_s(),
            )
            group.create_task(self._speak(opened), name=f"{row.name}-{self._number}-speak")
            await self._listen(opened)

    async def _speak(self, opened: VenueSocket) -> None:
        """Subscribes at the venue's pace, then pings where it wants that."""
        row, limit_s = self._venue.row, self._venue.settings.send_limit_s
        for frame in row.subscribe_frames(self._subscriptions):
            await send(opened, frame, limit_s)
            await asyncio.sleep(row.subscribe_pace_s)
        while row.ping_frame is not None:
            await asyncio.sleep(row.ping_interval_s)
            await send(opened, row.ping_frame, limit_s)

    async def _listen(self, opened: VenueSocket) -> None:
        """Every frame, until there are none: raises ConnectionLostError.

        One timeout spans many frames, as one per frame costs more than parsing it; when it runs
        out, `Silence` says whether it was silent.
        """
        now_s = self._venue.clock.monotonic_s
        while (left_s := self._silence.left_s(now_s())) > 0:
            try:
                async with asyncio.timeout(left_s):
                    while True:
                        for answer in self._take(await opened.messages()):
                            await send(opened, answer, self._venue.settings.send_limit_s)
            except TimeoutError:
                continue
            except ConnectionClosed as error:
                raise lost(error) from error
        raise VenueSilentError(self._silence.complaint(now_s()))

    def _take(self, frames: Sequence[str | bytes]) -> Iterable[str]:
        """The frames of one read to ticks; returns what the venue wants to be answered."""
        venue, feed = self._venue, self._parser.feed
        received_ns, now_s = venue.clock.now_ns(), venue.clock.monotonic_s()
        venue.counts.frames += len(frames)
        self._silence.frame_came(now_s)
        ticks: list[Tick] = []
        others: list[Event] = []
        try:
            for frame in frames:
                if venue.tap is not None:
                    venue.tap(frame, received_ns)
                try:
                    events = feed(frame, received_ns)
                except ParseError as error:
                    self._unparsable(error)
                    continue
                for event in events:
                    if isinstance(event, Tick):
                        ticks.append(event)
                    else:
                        others.append(event)
        finally:
            # Also of a read in which a fault of ours was met: what came before it is good.
            if ticks:
                self._offer(ticks, now_s)
        return self._take_others(others) if others else ()

    def _offer(self, ticks: Sequence[Tick], now_s: float) -> None:
        self._venue.counts.ticks += len(ticks)
        self._silence.data_came(now_s)
        self._venue.sink.offer(ticks)
        if not self._is_live:
            self._went_live()

    def _take_others(self, events: Sequence[Event]) -> list[str]:
        """What is no data. Raises VenueLeavingError."""
        answers: list[str] = []
        for event in events:
            match event:
                case Answer(frame):
                    answers.append(frame)
                case Refused(reason):
                    self._venue.counts.refusals += 1
                    self._tell(self._venue.health.refused(self._number, reason))
                case Leaving(reason):
                    raise VenueLeavingError(f"ends the connection ({reason})")
                case _:
                    pass
        return answers

    def _unparsable(self, error: ParseError) -> None:
        self._venue.counts.parse_errors += 1
        if not self._complained:
            self._complained = True
            _log.warning(
                "%s sent what can't be parsed (%s); more of this connection's are only counted",
                self._venue.row.name,
                error,
            )

    def _went_live(self) -> None:
        self._is_live = True
        now_us = self._venue.clock.now_ns() // 1_000
        self._tell(self._venue.health.went_live(self._number, now_us))

    def _lost(self, blame: Blame, reason: str) -> None:
        now_us = self._venue.clock.now_ns() // 1_000
        self._tell(self._venue.health.lost(self._number, blame, reason, now_us))

    def _tell(self, sentence: str | None) -> None:
        """The operator once per incident, subscribers each time."""
        if sentence is not None:
            _log.warning("%s", sentence)
        self._venue.changed.set()


def _first(group: BaseExceptionGroup[ConnectionLostError]) -> ConnectionLostError:
    inner = group.exceptions[0]
    return _first(inner) if isinstance(inner, BaseExceptionGroup) else inner
