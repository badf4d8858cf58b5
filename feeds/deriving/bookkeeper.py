"""EDGE (redis, disk): signals and outcomes: where their price stands, into the ledger, then out.

What is not in the ledger is not told: while that can't be written signals are withheld and counted,
and outcomes wait. Who derives hears what was withheld: it is as if it was never said. The track
records that follow from the ledger are kept in Redis for the gateways.
"""

import asyncio
import contextlib
import logging
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, Final

import msgspec
from redis.asyncio import Redis
from redis.exceptions import RedisError

from feeds.cancelling import stop_if_cancelled
from feeds.deriving.price_places import find_places
from feeds.errors import LedgerError
from feeds.feed import Bus
from feeds.ledger.book import SEGMENT_BYTES_MAX
from feeds.ledger.store import Ledger
from feeds.ledger.unpublished import tick_of, unpublished
from feeds.market import Clock, Outcome, Payload, Signal, TrackRecord
from feeds.market.bus_names import TRACK_RECORDS_KEY

_log = logging.getLogger(__name__)

_WAITING_MAX: Final = 10_000
_OPEN_AGAIN_S: Final = 5.0
_RECORDS_S: Final = 2.0
"""At least between two writings of track records."""
_ALL_RECORDS_S: Final = 10.0
"""So often all of them are written: a Redis that lost its memory has them again."""
_RECENT: Final = 500
"""Entries of the ledger that are looked for among what was published: a history keeps 1,000."""
_PLACE_LIMIT_S: Final = 3.0
"""How long a signal waits for its price to be published."""
_WITHHELD_MAX: Final = 10_000
"""Signals whose outcomes are not waited for: those of the newest are on their way at most."""

_encode: Final = msgspec.json.Encoder().encode


class Bookkeeper:
    """Between the derivations and the Publisher. Nothing waits for it."""

    def __init__(
        self,
        path: Path | None,
        bus: Bus,
        redis: Redis,
        clock: Clock,
        *,
        simulated: bool,
        segment_bytes_max: int = SEGMENT_BYTES_MAX,
    ) -> None:
        """`path`: of the ledger; None: there is none, and no signal is told."""
        self.trouble: str | None = "no ledger is set" if path is None else None
        """Why signals are withheld; None: they are not."""
        self.on_trouble: Callable[[], None] = lambda: None
        """Hears of it, and of its end."""
        self.on_withheld: Callable[[Signal | Outcome], None] = lambda _: None
        """Hears of each signal that is not told, and of an outcome that was on its way by then."""
        self.withheld = 0
        """Signals that were not told."""
        self.entries = 0
        """Signals and outcomes that went into the ledger."""
        self._path = path
        self._simulated = simulated
        self._segment_bytes_max = segment_bytes_max
        self._bus = bus
        self._redis = redis
        self._clock = clock
        self._ledger: Ledger | None = None
        self._waiting: deque[Signal | Outcome] = deque()
        self._withheld_ids: dict[str, None] = {}
        """Oldest first."""
        self._withheld_before: int | None = None
        """How many were by the beginning of an incident; None: there is none."""
        self._woken = asyncio.Event()
        self._records_due_s = self._all_records_due_s = 0.0
        self._opened = asyncio.Event()

    def take(self, payloads: Sequence[Signal | Outcome]) -> None:
        """What is to be told. Never blocks; bounded."""
        for payload in payloads:
            if isinstance(payload, Signal) and self.trouble is not None:
                self._withhold([payload], self.trouble)
            elif len(self._waiting) < _WAITING_MAX:
                self._waiting.append(payload)
            elif isinstance(payload, Signal):
                self._withhold([payload], "too many wait to be entered")
        if self._waiting:
            self._woken.set()

    @property
    def is_open(self) -> bool:
        return self._opened.is_set()

    async def open_within(self, limit_s: float) -> bool:
        """Whether the ledger is open, perhaps a moment later."""
        if self.trouble is None:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(limit_s):
                    await self._opened.wait()
        return self.is_open

    async def complete(self, histories: dict[str, list[Payload]]) -> None:
        """Adds to what is published what the ledger has beside that, and publishes the newest of
        it: a crash may have come between the two."""
        ledger = self._ledger
        if ledger is None:
            return
        try:
            recent = await ledger.recent(_RECENT)
        except LedgerError as error:
            self._tell_trouble(str(error))
            return
        now_us = self._clock.now_ns() // 1_000
        self._bus.offer(unpublished(recent, histories, now_us))
        for payload in (*await ledger.open_signals(), *recent):
            its = histories.setdefault(tick_of(payload).channel.name, [])
            if payload not in its:
                its.append(payload)

    async def run(self) -> None:
        """Until cancelled."""
        while self._path is not None:
            try:
                self._ledger = await Ledger.open(
                    self._path,
                    simulated=self._simulated,
                    clock=self._clock,
                    segment_bytes_max=self._segment_bytes_max,
                )
            except LedgerError as error:
                self._tell_trouble(str(error))
                self._withhold_waiting(str(error))
                await asyncio.sleep(_OPEN_AGAIN_S)
                continue
            try:
                self._opened.set()
                await self._look_for_an_end(self._ledger)
                await self._keep(self._ledger)
            finally:
                self._opened.clear()
                ledger, self._ledger = self._ledger, None
                await ledger.close()

    async def _keep(self, ledger: Ledger) -> None:
        while True:
            stop_if_cancelled()
            wait_s = _OPEN_AGAIN_S if self.trouble is not None else _RECORDS_S
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(wait_s):
                    await self._woken.wait()
            self._woken.clear()
            await self._enter(ledger)
            await self._keep_records(ledger)

    async def _enter(self, ledger: Ledger) -> None:
        """All that waits, and what could not be written before."""
        if not self._waiting and self.trouble is None:
            return
        waiting = [*self._waiting]
        self._waiting.clear()
        placed = await self._placed(waiting)
        try:
            added = await ledger.append(placed)
        except LedgerError as error:
            self._tell_trouble(str(error))
            self._withhold(placed, str(error))
            return
        self.entries += len(added)
        ticks = [tick_of(one) for one in added]
        self._bus.register([tick.channel for tick in ticks])
        self._bus.offer(ticks)
        if self.trouble is None and any(isinstance(one, Signal) for one in added):
            self._end_incident()
        await self._look_for_an_end(ledger)

    async def _look_for_an_end(self, ledger: Ledger) -> None:
        """Of trouble: it is over when something was written, not when there was nothing to be."""
        if self.trouble is not None:
            try:
                await ledger.try_writing()
            except LedgerError as error:
                self._tell_trouble(str(error))
            else:
                self._tell_trouble(None)

    async def _placed(self, waiting: Sequence[Signal | Outcome]) -> list[Signal | Outcome]:
        """With the positions of their prices; a signal whose price nobody can find is withheld."""
        wanted = {one.reference for one in waiting if one.reference is not None}
        found = await find_places(self._redis, wanted, _PLACE_LIMIT_S)
        placed: list[Signal | Outcome] = []
        for one in waiting:
            reference = None if one.reference is None else found.get(one.reference)
            if isinstance(one, Outcome) and one.signal in self._withheld_ids:
                self.on_withheld(one)
            elif reference is not None:
                placed.append(msgspec.structs.replace(one, reference=reference))
            elif isinstance(one, Outcome):
                placed.append(one)
            else:
                self._withhold([one], "their prices are not published")
        return placed

    def _withhold(self, payloads: Iterable[Signal | Outcome], why: str) -> None:
        """The signals of these, and what came of them; other outcomes are not lost."""
        for one in payloads:
            if isinstance(one, Signal):
                self._begin_incident(logging.WARNING, why)
                self.withheld += 1
                self._withheld_ids[one.id] = None
                if len(self._withheld_ids) > _WITHHELD_MAX:
                    del self._withheld_ids[next(iter(self._withheld_ids))]
            elif one.signal not in self._withheld_ids:
                continue
            self.on_withheld(one)

    def _withhold_waiting(self, why: str) -> None:
        """The signals that came before it was known that there is no ledger: entered when there is
        one again they would be told long after they were made."""
        waiting = [*self._waiting]
        self._waiting = deque(one for one in waiting if not isinstance(one, Signal))
        self._withhold([one for one in waiting if isinstance(one, Signal)], why)

    async def _keep_records(self, ledger: Ledger) -> None:
        now_s = self._clock.monotonic_s()
        if now_s < self._records_due_s:
            return
        is_all = now_s >= self._all_records_due_s
        self._records_due_s = now_s + _RECORDS_S
        records = await (ledger.records() if is_all else ledger.changed_records())
        if is_all:
            self._all_records_due_s = now_s + _ALL_RECORDS_S
        if not records:
            return
        try:
            async with asyncio.timeout(_RECORDS_S):
                await self._redis.hset(TRACK_RECORDS_KEY, mapping=_by_field(records))
        except (RedisError, OSError, TimeoutError):
            # The publisher tells of a Redis that is away. Soon all are written again.
            self._all_records_due_s = 0.0

    def _tell_trouble(self, trouble: str | None) -> None:
        if trouble == self.trouble:
            return
        self.trouble = trouble
        if trouble is not None:
            self._begin_incident(logging.ERROR, trouble)
        else:
            self._end_incident()
        self.on_trouble()

    def _begin_incident(self, level: int, why: str) -> None:
        """Told once, whatever else goes wrong until its end."""
        if self._withheld_before is None:
            self._withheld_before = self.withheld
            _log.log(level, "signals are not told: %s", why)

    def _end_incident(self) -> None:
        before, self._withheld_before = self._withheld_before, None
        if before is not None:
            _log.warning("signals are told again; withheld=%d", self.withheld - before)


def _by_field(records: Sequence[TrackRecord]) -> dict[Any, Any]:
    """`<model>`, or `<model>:<PAIR>`, to JSON: the newest version's, which comes last."""
    return {
        one.model if one.pair is None else f"{one.model}:{one.pair}": _encode(one)
        for one in records
    }
