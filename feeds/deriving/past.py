"""EDGE (redis, disk): what the derivations go on from: what is published, what the ledger has, and
how far other feeds processes were heard.

Nothing is lost between that and what is heard from then on; what comes twice is known.
"""

from collections.abc import Collection, Mapping
from typing import Final, NamedTuple

from redis.asyncio import Redis

from feeds.derived import Derived
from feeds.derived.chain import Chain
from feeds.derived.outcomes import Outcomes
from feeds.derived.settings import DerivedSettings
from feeds.derived.voices import interval
from feeds.deriving.bookkeeper import Bookkeeper
from feeds.deriving.heard import Heard
from feeds.market import Clock, Payload, Trade
from feeds.others.other_feeds import OtherFeeds
from feeds.recall import Recalled, recall_histories, trades_of

_LEDGER_LIMIT_S: Final = 0.5
"""A long ledger takes longer to open: candles don't wait for it."""
_OTHERS_LIMIT_S: Final = 1.5
"""Other processes tell a status each second: so long they are waited for, where there are any."""


class Restored(NamedTuple):
    """What is known of what was read."""

    trades: set[tuple[str, Trade]]
    """Those that may be heard again."""
    overheard: set[str]
    """Venues that other processes publish, of which nothing is missing."""


class Past:
    """Read anew each time that the derivations begin."""

    def __init__(
        self,
        settings: DerivedSettings,
        venues: Collection[str],
        redis: Redis,
        *,
        books: Bookkeeper,
        heard: Heard,
        others: OtherFeeds | None,
        clock: Clock,
    ) -> None:
        """`venues`: those whose ticks are offered here."""
        self._settings = settings
        self._venues = frozenset(venues)
        self._redis = redis
        self._books = books
        self._heard = heard
        self._others = others
        self._clock = clock

    async def restore(self, chain: Chain, rows: Collection[Derived]) -> Restored:
        """`rows`: those that the chain is made of."""
        others: Collection[str] = ()
        if self._others is not None:
            others = await self._others.begin(_OTHERS_LIMIT_S)
        own = self._venues.difference(others)
        since_us = self._heard.since_us(own, self._now_us())
        histories, places = await self._histories(rows, others)
        await self._books.open_within(_LEDGER_LIMIT_S)
        await self._books.complete(histories)
        overheard: set[str] = set()
        if self._others is not None:
            overheard = self._others.tell_whole(histories, self._now_us())
        chain.restore(histories, since_us)
        if self._others is not None:
            self._others.go_on(places)
        return Restored(trades_of(histories), overheard)

    async def add_late(self, chain: Chain, late: Mapping[int, Derived]) -> None:
        """Those that had to be waited for, by their place in the chain."""
        histories, _ = await self._histories(late.values())
        for place, row in late.items():
            chain.add(row, place, histories)

    async def recall_open(self, chain: Chain) -> None:
        """The ledger was opened late: what is still open in it is heard of now."""
        histories: dict[str, list[Payload]] = {}
        await self._books.complete(histories)
        for one in chain.derivations:
            if isinstance(one, Outcomes):
                one.restore(histories, self._now_us())

    async def _histories(self, rows: Collection[Derived], others: Collection[str] = ()) -> Recalled:
        return await recall_histories(
            self._redis,
            {kind for row in rows for kind in row.history},
            self._venues.union(others),
            f"candle.{interval(self._settings)}",
            # What is added late, as it had to be loaded first, are the models.
            is_for_models=all(row.load is not None for row in rows),
            is_enough=self._is_nearly_full,
        )

    def _is_nearly_full(self) -> bool:
        """Of ticks that wait to be derived from: what waits longer would be forgotten."""
        others = self._others
        return self._heard.is_nearly_full or (others is not None and others.is_nearly_full)

    def _now_us(self) -> int:
        return self._clock.now_ns() // 1_000
