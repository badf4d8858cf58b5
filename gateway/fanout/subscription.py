"""What a session wants of one channel. Pure."""

from typing import NamedTuple

from feeds.market import Kind
from feeds.market.channel import OnLag
from gateway.fanout.rates import ALL, served
from gateway.protocol import Subscribe


class Subscription(NamedTuple):
    """How often it is sent the channel, and what happens when it reads too slowly."""

    rate: str
    on_lag: OnLag

    @property
    def is_conflated(self) -> bool:
        """Whether the newest is all that is wanted of what waits."""
        return self.rate != ALL


def subscription_to(kind: Kind, command: Subscribe) -> Subscription:
    """What a command means for a kind of channel.

    At a rate nothing is lost by overwriting, so there is nothing to announce as a gap; and what is
    never conflated isn't when its reader is slow, either.
    """
    rate, on_lag = served(kind, command.rate), command.on_lag or kind.on_lag
    if rate != ALL and on_lag == "gap":
        on_lag = "conflate"
    elif kind.conflation is None and on_lag == "conflate":
        on_lag = "gap"
    return Subscription(rate, on_lag)
