"""EDGE (redis): all that is derived, as a Feed named `agg`, and the sink of all other feeds.

Ticks go on to the Publisher at once. What they come to follows, made by a task of its own: a fault
of a derivation ends that, and nobody else's feed, and it begins again from the streams. Of several
processes the one with the lease `agg` derives: from what is offered here, and what others publish.
"""

import asyncio
import contextlib
import logging
from collections import deque
from collections.abc import Callable, Collection, Iterable, Sequence
from pathlib import Path
from typing import Final

from redis.asyncio import Redis

from feeds.cancelling import stop_if_cancelled
from feeds.derived import Derived
from feeds.derived.candles import Candles
from feeds.derived.chain import Chain
from feeds.derived.foreseen import foreseen
from feeds.derived.settings import DerivedSettings
from feeds.deriving.bookkeeper import Bookkeeper
from feeds.deriving.clock_troubles import ClockTroubles
from feeds.deriving.heard import Heard
from feeds.deriving.past import Past
from feeds.deriving.teller import DerivedCounts, Teller
from feeds.deriving.wall_clock import SetBackError, WallClock
from feeds.deriving.whereabouts import MovedError, Whereabouts
from feeds.feed import Bus
from feeds.ledger.book import SEGMENT_BYTES_MAX
from feeds.market import AGGREGATE, Channel, Clock, Outcome, Signal, Status, Tick, Trade
from feeds.others.other_feeds import OtherFeeds
from feeds.others.presence import Presence
from feeds.recall import is_among

_log = logging.getLogger(__name__)

_HEARD_WHILE_STANDING_BY_US: Final = 5_000_000
"""What came shortly before the lease is ours is heard, too: venues' leases may come first."""
_TICKS_AT_ONCE: Final = 500
"""Before the event loop has a turn."""
_NAP_S: Final = 0.001
_LOOK_S: Final = 1.0
_BEGIN_AGAIN_S: Final = 1.0
_WITHHELD_MAX: Final = 10_000


class _OverrunError(Exception):
    """More was heard than could be derived from in time."""


class DerivedFeed:
    """A Feed and a Bus. Before it runs, and while it doesn't, ticks are only passed on."""

    def __init__(
        self,
        rows: Sequence[Derived],
        settings: DerivedSettings,
        venues: Collection[str],
        bus: Bus,
        redis: Redis,
        *,
        clock: Clock,
        ledger: Path | None = None,
        segment_bytes_max: int = SEGMENT_BYTES_MAX,
    ) -> None:
        """`venues`: those whose ticks are going to be offered here; `ledger`: where signals are
        entered before they are told, a file of it as large as `segment_bytes_max`."""
        self.name = AGGREGATE
        self.channels: list[Channel] = []
        self.changed = asyncio.Event()
        self.counts = DerivedCounts()
        self.books = Bookkeeper(
            ledger, bus, redis, clock, simulated=settings.simulated,
            segment_bytes_max=segment_bytes_max,
        )  # fmt: skip
        self.books.on_trouble = self.changed.set
        self._teller = Teller(bus, self.books, self.counts)
        self._withheld: deque[Signal | Outcome] = deque(maxlen=_WITHHELD_MAX)
        """What is not told, and the derivations have not heard of."""
        self.books.on_withheld = self._withheld.append
        self._rows = rows
        self._settings = settings
        self._venues = frozenset(venues)
        self._bus = bus
        self._redis = redis
        self._clock = clock
        self._wall_clock = WallClock(clock)
        self._loaded = asyncio.Event()
        self._heard = Heard()
        self._clock_troubles = ClockTroubles(settings.candle.behind_max_ms * 1_000)
        self._others: OtherFeeds | None = None
        self._whereabouts = Whereabouts()
        self._is_deriving = False
        self._woken = asyncio.Event()
        self._caught_up = asyncio.Event()
        """Nothing is heard that is to be derived from."""
        self._caught_up.set()
        self._status = Status("waiting", self._now_us())

    @property
    def waiting_ticks(self) -> int:
        """Heard and not yet derived from."""
        return self._heard.ticks if self._is_deriving else 0

    @property
    def held_ticks(self) -> int:
        """Heard, and kept: also while it stands by."""
        return self._heard.ticks

    def hear_others(self, is_own: Callable[[str], bool]) -> None:
        """What other processes publish is derived from, too. `is_own`: whether a venue is
        published here now."""
        presence = Presence(is_own, simulated=self._settings.simulated)
        others = OtherFeeds(self._redis, presence, self._overhear, self._clock)
        others.on_channels = lambda heard: self._bus.register(foreseen(heard, self._settings))
        self._others = others

    def foresee(self, heard: Iterable[Channel]) -> None:
        """Which channels are going to be offered: what is made of them is known by that."""
        self.channels = foreseen(heard, self._settings)

    def status(self) -> Status:
        now_us = self._now_us()
        one = self._status
        if one.state != "live":
            return Status(one.state, one.since_us, one.by, one.reason, now_us)
        lacks = [*self._clock_troubles.sentences]
        set_back = self._wall_clock.lack(now_us)
        if set_back is not None:
            lacks.append(set_back)
        if self.books.trouble is not None:
            lacks.append(f"signals are not told: {self.books.trouble}")
        if self._others is not None and self._others.presence.passed_over:
            venues = ", ".join(sorted(self._others.presence.passed_over))
            lacks.append(f"made of simulated markets only, not of {venues}")
        if not lacks:
            return Status("live", one.since_us, received_us=now_us)
        return Status("live", one.since_us, "feed", "; ".join(lacks), now_us)

    def offer(self, ticks: Iterable[Tick]) -> None:
        """Takes ticks for the Publisher, and to derive from. Never blocks; bounded."""
        some = ticks if isinstance(ticks, list | tuple) else list(ticks)
        self._bus.offer(some)
        if some:
            self._whereabouts.here.add(some[0].channel.venue)
            self._add(some)

    def _overhear(self, ticks: Sequence[Tick]) -> None:
        """Takes what another process has published."""
        new = {tick.channel.venue for tick in ticks} - self._whereabouts.elsewhere
        if new:
            self._whereabouts.elsewhere |= new
            names = ", ".join(sorted(new))
            _log.warning("derived from as well, as another process publishes it: %s", names)
        self._add(ticks)

    def _add(self, ticks: Sequence[Tick]) -> None:
        now_us = self._now_us()
        self._heard.add(now_us, ticks)
        if self._is_deriving:
            self._caught_up.clear()
        else:
            self._heard.forget_before(now_us - _HEARD_WHILE_STANDING_BY_US)
        self._woken.set()

    def register(self, channels: Iterable[Channel]) -> None:
        self._bus.register(channels)

    async def drain(self) -> None:
        """Returns when all was derived from, and all is published."""
        await self._caught_up.wait()
        await self._bus.drain()

    async def load(self) -> None:
        """What some derivations need, in a thread: models load libraries of a second or two. The
        others don't wait for it."""
        for row in self._rows:
            if row.load is not None:
                await asyncio.to_thread(row.load, self._settings)
        self._loaded.set()

    async def run(self) -> None:
        """Derives until cancelled. A derivation that fails is not the end: all begin again."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self.books.run(), name="ledger")
            group.create_task(self._keep_deriving(), name="derivations")
            if self._others is not None:
                group.create_task(self._others.run(), name="other-feeds")

    async def _keep_deriving(self) -> None:
        while True:
            try:
                await self._derive()
            except _OverrunError:
                _log.error("derivations can't keep up; they begin again from what is published")
            except (MovedError, SetBackError) as error:
                _log.warning("%s; derivations begin again from what is published", error)
            except Exception:
                _log.exception("derivations failed; they begin again from what is published")
            finally:
                self._is_deriving = False
                self._caught_up.set()
            self.counts.restarts += 1
            self._turn(Status("stale", self._now_us(), "feed", "derivations begin again"))
            await asyncio.sleep(_BEGIN_AGAIN_S)

    async def _derive(self) -> None:
        self._is_deriving = True
        self._wall_clock.begin()
        self._heard.set_back(self._now_us())
        self._heard.overran = False
        self._whereabouts.begin(self._heard.venues())
        rows: Sequence[Derived] = [
            row for row in self._rows if row.load is None or self._loaded.is_set()
        ]
        chain = Chain(rows, self._settings)
        self._withheld.clear()
        past = Past(
            self._settings, self._venues, self._redis,
            books=self.books, heard=self._heard, others=self._others, clock=self._clock,
        )  # fmt: skip
        doubled, overheard = await past.restore(chain, rows)
        self._whereabouts.elsewhere |= overheard
        has_ledger = self.books.is_open
        too_late_before = self.counts.too_late
        while True:
            stop_if_cancelled()
            if self._heard.overran:
                raise _OverrunError
            self._whereabouts.expect_unmoved()
            self._wall_clock.expect_onward()
            if len(rows) < len(self._rows) and self._loaded.is_set():
                late = {at: row for at, row in enumerate(self._rows) if row not in rows}
                await past.add_late(chain, late)
                rows = self._rows
            if not has_ledger and self.books.is_open:
                has_ledger = True
                await past.recall_open(chain)
            while self._withheld:
                chain.withhold(self._withheld.popleft())
            self._hear(chain, doubled)
            if not self._heard.ticks:
                doubled = set()
                self._caught_up.set()
            # Never ahead of what was not heard yet: nothing is to be final before its time.
            self._tell(chain.wake(self._heard.next_us or self._now_us()))
            self.counts.too_late = too_late_before + _too_late(chain)
            self._look_at_clocks(chain)
            await self._rest(chain)

    def _look_at_clocks(self, chain: Chain) -> None:
        """Now and then: what the stamps of venues tell of them."""
        now_s = self._clock.monotonic_s()
        if now_s >= self._clock_troubles.look_from_s:
            for one in chain.derivations:
                if isinstance(one, Candles):
                    for sentence in self._clock_troubles.look(one.stamped_us(), now_s):
                        _log.warning("%s", sentence)

    def _hear(self, chain: Chain, doubled: set[tuple[str, Trade]]) -> None:
        """What was offered since the last time, or a part of it."""
        for now_us, some in self._heard.take(_TICKS_AT_ONCE):
            # Published before the streams were read, and so in them already.
            new = [tick for tick in some if not is_among(tick, doubled)] if doubled else some
            self._tell(chain.take(new, now_us))

    async def _rest(self, chain: Chain) -> None:
        """Until there is something to hear, or something is due."""
        if self._heard.ticks:
            await asyncio.sleep(0)
            return
        self._woken.clear()
        due_us = chain.next_us()
        due_s = _LOOK_S if due_us is None else (due_us - self._now_us()) / 1e6
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(min(_LOOK_S, max(_NAP_S, due_s))):
                await self._woken.wait()

    def _tell(self, ticks: Sequence[Tick]) -> None:
        if not ticks:
            return
        self._teller.tell(ticks)
        if self._status.state != "live":
            self._turn(Status("live", self._now_us()))

    def _turn(self, status: Status) -> None:
        self._status = status
        self.changed.set()

    def _now_us(self) -> int:
        return self._clock.now_ns() // 1_000


def _too_late(chain: Chain) -> int:
    return sum(one.too_late for one in chain.derivations if isinstance(one, Candles))
