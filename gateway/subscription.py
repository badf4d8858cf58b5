"""What a session wants of one channel. Pure."""

from typing import NamedTuple

from feeds.market.channel import OnLag
from gateway.rates import ALL


class Subscription(NamedTuple):
    """How often it is sent the channel, and what happens when it reads too slowly."""

    rate: str
    on_lag: OnLag

    @property
    def is_conflated(self) -> bool:
        """Whether the newest is all that is wanted of what waits."""
        return self.rate != ALL
