"""What a seed of the feeds decides beforehand: the venue, how many processes, faults, times."""

from collections.abc import Iterator
from contextlib import contextmanager
from random import Random
from typing import Final
from unittest.mock import patch

from feeds.derived.settings import DerivedChoices
from feeds.market import Channel
from feeds.settings import ConnectionSettings, FeedSettings, PublisherSettings
from feeds.venues import VENUES
from feeds.watching.trade_ids import Promise
from tests.simulation.exchange import Exchange
from tests.simulation.venue_side import NAME

VENUE_FAULTS: Final = (
    "hole", "hole", "late", "repeat", "poison", "cut", "cut one", "mute socket", "announced",
    "announced", "refuses",
)  # fmt: skip
SILENCES: Final = ("quiet", "mute", "all quiet")
FEED_FAULTS: Final = ("kill", "pause", "pause", "stop")
BUS_FAULTS: Final = (
    "cut", "block", "half open", "restart", "restart without memory",
    "restart with an older memory", "flush all", "late", "chops",
)  # fmt: skip
WARM_S: Final = 28.0
"""So long until rhythms are known."""


class FeedsChances:
    """Of one simulation."""

    def __init__(self, seed: int) -> None:
        self.random = random = Random(seed)
        self.processes = random.choice((1, 2, 2))
        self.lease_s = random.choice((2.0, 6.0))
        watches_silence = random.random() < 0.25
        self.active_s = random.uniform(6.0, 14.0)
        count = random.choice((0, 1, 2, 3, 4))
        kinds: list[tuple[str, ...]] = [
            VENUE_FAULTS,
            VENUE_FAULTS,
            FEED_FAULTS if self.processes > 1 else VENUE_FAULTS,
        ]
        if random.random() < 0.5:
            kinds.append(BUS_FAULTS)
        self.faults = [
            (random.uniform(3.0, self.active_s), random.choice(random.choice(kinds)))
            for _ in range(count)
        ]
        if watches_silence:
            at_s = WARM_S + random.uniform(0.0, 4.0)
            self.faults.append((at_s, random.choice(SILENCES)))
            self.active_s = max(self.active_s, at_s + 1.0)
        self.faults.sort()
        paces = [random.choice((0.4, 0.8)) for _ in range(3)]
        symbols = ("BTC-USD", "ETH-USD")[: random.choice((1, 1, 2))]
        channels = [Channel(kind, NAME, one) for one in symbols for kind in ("trade", "quote")]
        self.channels = list(zip(channels, [*paces, paces[0]], strict=False))
        self._ids: Promise = random.choice(("consecutive", "consecutive", "unique"))
        self.numbers_ids = self._ids == "consecutive"
        self._per_connection = random.choice((100, 100, 2))
        self.lifetime_s = random.choice((None, None, 40.0))
        self.resent = random.choice((0, 3, 10))
        self.feeds = FeedSettings(
            venues=(NAME,),
            connection=ConnectionSettings(
                backoff_max_s=2.0, steady_after_s=5.0, data_silence_limit_s=30.0
            ),
            publisher=PublisherSettings(answer_limit_s=2.0, lease_s=self.lease_s),
            derived=DerivedChoices(enabled=False),
        )

    @contextmanager
    def limits(self, exchange: Exchange) -> Iterator[None]:
        """The venue among the product's own."""
        row = exchange.row(self._ids, self._per_connection)
        with patch.dict(VENUES, {NAME: row}):
            yield
