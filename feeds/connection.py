"""EDGE (websockets): one socket of a venue, from opening it to its end. ONE runtime for all venues.

Connect, subscribe at a pace, hand frames to a fresh Parser and ticks to a sink, watch for silence.
A frame that can't be parsed never ends a connection, and a fault of ours in one venue's adapter
never ends another venue. When to connect again is the Succession's.
"""

import asyncio
import logging
from collections.abc import Callable, Iterable, Sequence
from random import Random
from typing import NamedTuple

from websockets.exceptions import ConnectionClosed

from feeds.backoff import Silence
from feeds.errors import ConnectionLostError, VenueSilentError
from feeds.feed import FeedCounts, TickSink
from feeds.market import Channel, Clock, DigitsError, Tick
from feeds.overlap import Overlap
from feeds.settings import ConnectionSettings
from feeds.venue import (
    Answer,
    Event,
    Leaving,
    ParseError,
    Parser,
    Refused,
    Subscription,
    Torn,
    Venue,
)
from feeds.venue_socket import VenueSocket, lost, open_socket, send
from feeds.watching.health import Blame, VenueHealth
from feeds.watching.watches import Watches

_log = logging.getLogger(__name__)

_LOOK_S = 0.5
"""From one look after the channels to the next."""

FrameTap = Callable[[str | bytes, int], None]
"""Sees every frame and its receive time (nanoseconds UTC) before the parser does."""


class VenueAtWork(NamedTuple):
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
    watches: Watches
    changed: asyncio.Event


class Connection:
    """One socket, from opening it to its end: a Line. What outlives it is not here."""

    def __init__(
        self,
        venue: VenueAtWork,
        number: int,
        subscriptions: Sequence[Subscription],
        turned: asyncio.Event,
    ) -> None:
        """Sets `turned` as a Line does."""
        self.overlap: Overlap | None = None
        self.leads = True
        self.leaving: str | None = None
        self.has_ended = False
        self._venue = venue
        self._number = number
        self._subscriptions = subscriptions
        self._turned = turned
        symbols = {each.symbol for each in subscriptions}
        self._only_symbol = symbols.pop() if len(symbols) == 1 else None
        self._began_s = venue.clock.monotonic_s()
        self._parser: Parser
        self._silence: Silence
        self._is_live = False
        self._has_asked = False
        self._complained = False
        self._end: tuple[Blame, str] = ("venue", "ended")

    @property
    def gives_data(self) -> bool:
        return self._is_live and self._has_asked

    @property
    def is_steady(self) -> bool:
        lasted_s = self._venue.clock.monotonic_s() - self._began_s
        return self._is_live and lasted_s >= self._venue.settings.steady_after_s

    async def run(self) -> None:
        """Until its end, however it came; `complain` tells of it."""
        try:
            await self._converse()
        except* ConnectionLostError as group:
            self._end = "venue", str(_first(group))
        except* Exception:
            # A supervisor's policy: a fault of ours ends this connection only, is logged whole and
            # counted, and is met with the same backoff. The other venues go on.
            self._venue.counts.crashes += 1
            _log.exception("a fault of ours ended a connection venue=%s", self._venue.row.name)
            self._end = "feed", "met a fault of ours (it is in the log)"
        finally:
            self.has_ended = True
            self._turned.set()

    def lead(self) -> None:
        overlap, self.overlap, self.leads = self.overlap, None, True
        if self._is_live:
            self._went_live()
        rest = overlap.rest() if overlap is not None else ()
        if rest:
            self._offer(rest, self._venue.clock.monotonic_s())

    def complain(self) -> None:
        blame, reason = self._end
        if self.leaving is not None and blame == "venue":
            reason = f"ends the connection ({self.leaving})"
        now_us = self._venue.clock.now_ns() // 1_000
        self._tell(self._venue.health.lost(self._number, blame, reason, now_us))

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
            group.create_task(self._look_after(opened), name=f"{row.name}-{self._number}-look")
            await self._listen(opened)

    async def _speak(self, opened: VenueSocket) -> None:
        """Subscribes at the venue's pace, then pings where it wants that."""
        row, limit_s = self._venue.row, self._venue.settings.send_limit_s
        for frame in row.subscribe_frames(self._subscriptions):
            await send(opened, frame, limit_s)
            await asyncio.sleep(row.subscribe_pace_s)
        self._has_asked = True
        self._turned.set()
        while row.ping_frame is not None:
            await asyncio.sleep(row.ping_interval_s)
            await send(opened, row.ping_frame, limit_s)

    async def _look_after(self, opened: VenueSocket) -> None:
        """Asks again, at the venue's pace, for channels that are dead or torn beside others.

        Raises VenueSilentError where all of them are dead.
        """
        venue, row, limit_s = self._venue, self._venue.row, self._venue.settings.send_limit_s
        by_channel = {Channel(one.kind, row.name, one.symbol): one for one in self._subscriptions}
        while True:
            await asyncio.sleep(_LOOK_S)
            if not (self.leads and self._has_asked):
                continue
            now_s, now_us = venue.clock.monotonic_s(), venue.clock.now_ns() // 1_000
            due = venue.watches.look(by_channel, now_s, now_us)
            if venue.watches.are_all_silent(by_channel):
                raise VenueSilentError("sends no data any more (only heartbeats)")
            for channel in due:
                assert row.renew_frames is not None
                for frame in row.renew_frames(by_channel[channel]):
                    await asyncio.sleep(row.subscribe_pace_s)
                    await send(opened, frame, limit_s)
                venue.watches.renewed(channel, venue.clock.monotonic_s())

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
        self._silence.data_came(now_s)
        if (self.overlap is not None or not self.leads) and not self._is_to_pass_on(ticks):
            return
        venue = self._venue
        venue.counts.ticks += len(ticks)
        passed = venue.watches.pass_on(ticks, now_s, venue.clock.now_ns() // 1_000)
        if passed:
            venue.sink.offer(passed)
            if not self._is_live:
                self._went_live()

    def _is_to_pass_on(self, ticks: Sequence[Tick]) -> bool:
        """While there are two sockets for the same; neither leads nor waits: one that was left."""
        if self.overlap is not None and self.leads:
            self.overlap.old_said(ticks)
        elif self.overlap is not None:
            self.overlap.new_said(ticks)
            if not self._is_live or self.overlap.is_full:
                self._is_live = True
                self._turned.set()
        return self.leads

    def _take_others(self, events: Sequence[Event]) -> list[str]:
        """What is no data."""
        answers: list[str] = []
        for event in events:
            match event:
                case Answer(frame):
                    answers.append(frame)
                case Refused(reason):
                    self._venue.counts.refusals += 1
                    self._tell(self._venue.health.refused(self._number, reason))
                case Torn(channel, reason):
                    now_us = self._venue.clock.now_ns() // 1_000
                    now_s = self._venue.clock.monotonic_s()
                    self._venue.watches.tear(channel, reason, now_s, now_us)
                case Leaving(reason):
                    self.leaving = reason
                    self._turned.set()
                case _:
                    pass
        return answers

    def _unparsable(self, error: ParseError) -> None:
        self._venue.counts.parse_errors += 1
        if isinstance(error.__cause__, DigitsError):
            now_s = self._venue.clock.monotonic_s()
            self._venue.watches.refused(error.__cause__.fault, self._venue.row.name, now_s)
        if not self._complained:
            self._complained = True
            _log.warning(
                "%s sent what can't be parsed (%s); more of this connection's are only counted",
                self._venue.row.name,
                error,
            )

    def _went_live(self) -> None:
        self._is_live = True
        now_s, now_us = self._venue.clock.monotonic_s(), self._venue.clock.now_ns() // 1_000
        self._tell(self._venue.health.went_live(self._number, now_s, now_us))

    def _tell(self, sentence: str | None) -> None:
        """The operator once per incident, subscribers each time."""
        if sentence is not None:
            _log.warning("%s", sentence)
        self._venue.changed.set()


def _first(group: BaseExceptionGroup[ConnectionLostError]) -> ConnectionLostError:
    inner = group.exceptions[0]
    return _first(inner) if isinstance(inner, BaseExceptionGroup) else inner
