"""What a seed decides before anything happens: sizes, limits, faults and their times."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from random import Random
from typing import Final
from unittest.mock import patch

from feeds.market import Channel
from feeds.settings import PublisherSettings
from gateway.fanout import comeback, history
from gateway.settings import GatewaySettings
from tests.simulation.venue import CHANNELS, LATE

FAULTS: Final = (
    "cut",
    "cut",
    "block",
    "half open",
    "restart",
    "restart without memory",
    "restart with an older memory",
    "flush all",
    "trim",
    "lossy",
    "lossy",
    "late",
    "chops",
    "new gateway",
    "drain",
    "behind",
    "behind",
)
_LOSING: Final = ("lossy", "restart with an older memory")
_FORGETTING: Final = ("restart without memory", "flush all")
_PARTING: Final = ("cut", "block", "half open", "late", "restart", "new gateway", "drain", "behind")
"""What came while the gateway was away from Redis is lost for good if Redis forgets it then."""


class Chances:
    """Of one simulation."""

    def __init__(self, seed: int) -> None:
        random = Random(seed)
        self.random = random
        self.active_s = random.uniform(1.0, 3.0)
        self.clients = random.randint(1, 3)
        self.channels: list[Channel] = random.sample(CHANNELS, random.randint(1, 3))
        self.workers = random.choice((1, 2))
        """Behind one port."""
        self.late: list[tuple[float, Channel]] = []
        """Channels that begin later, and when; clients want all of their kind."""
        if random.random() < 0.25:
            self.late = [(random.uniform(0.1, self.active_s), channel) for channel in LATE]
            self.late.sort(key=lambda row: row[0])
        self.pause_s = random.choice((0.03, 0.06, 0.2))
        """Between two offers."""
        count = random.choice((0, 1, 2, 3, 5))
        self.faults = sorted(
            (random.uniform(0.2, self.active_s), random.choice(FAULTS)) for _ in range(count)
        )
        faults = {fault for _, fault in self.faults}
        self.ends_with_ticks = random.random() < 0.5 or (
            not faults.isdisjoint(_LOSING)
            or not (faults.isdisjoint(_FORGETTING) or faults.isdisjoint(_PARTING))
        )
        """What was lost last is only noticed with what comes next."""
        self.gateway = GatewaySettings(
            heartbeat_ms=1_000,
            channel_linger_s=random.choice((0.5, 3.0)),
            join_window_ms=random.choice((0.0, 2.0, 20.0)),
            outbox_messages_max=random.choice((6, 30, 2_000)),
            outbox_bytes_max=random.choice((3_000, 20_000, 1_048_576)),
            outbox_age_max_s=random.choice((0.5, 5.0)),
            slow_limit_s=random.choice((1.0, 10.0)),
        )
        self.publisher = PublisherSettings(
            batch_ticks_max=random.choice((3, 200)),
            buffer_ticks_max=random.choice((20, 100_000)),
            answer_limit_s=2.0,
        )
        self._ring_max = random.choice((4, 16, 128))
        self._bridge_max = random.choice((20, 2_000))
        self._replayed_max = random.choice((12, 5_000))

    @contextmanager
    def limits(self) -> Iterator[None]:
        """The product's own limits, so small that they are met."""
        with ExitStack() as stack:
            for module, name, value in (
                (history, "RING_MAX", self._ring_max),
                (history, "_BRIDGE_MAX", self._bridge_max),
                (comeback, "MESSAGES_MAX", self._replayed_max),
            ):
                stack.enter_context(patch.object(module, name, value))
            yield
