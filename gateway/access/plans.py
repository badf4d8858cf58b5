"""What a key may do. A plan is a row; a key names one. Pure.

The settings file changes the shipped rows (`[plan.free]`) and adds others, which are like `free`
but for what they say.
"""

import math
from collections.abc import Mapping
from typing import Annotated, Final, Literal

import msgspec

from gateway.access.grants import EVERYTHING, ChannelPatterns, Grant
from gateway.fanout.rates import RATES

OverLimit = Literal["reject", "kick_oldest"]
RateName = Literal["all", "latest", "50ms", "100ms", "200ms", "500ms", "1s", "2s", "5s"]

_Count = Annotated[int, msgspec.Meta(ge=1, le=1_000_000)]
_Limit = Annotated[int, msgspec.Meta(ge=0, le=1_000_000_000)]
_PerSecond = Annotated[float, msgspec.Meta(gt=0, le=10_000)]


class Plan(msgspec.Struct, frozen=True):
    """The limits of one key, over all its connections and all gateway processes, but where a line
    says otherwise. What a welcome tells is what is enforced. 0 is no limit."""

    name: str
    subscriptions_max: int
    """Of each connection."""
    commands_per_s: float
    commands_burst: int
    connections_max: int = 0
    messages_per_s: int = 0
    """To each connection. What is over it is conflated, or announced as a gap."""
    fastest_rate: RateName = "all"
    """Who asks for a faster one gets this one, and the ack says so."""
    channels: tuple[str, ...] = EVERYTHING
    history_max: int = 0
    """Messages of each channel that a resume may ask for."""
    rest_per_minute: int = 0
    rest_per_month: int = 0
    """Of the calendar, UTC."""
    over_limit: OverLimit = "reject"
    """What happens to a connection too many: it is refused, or the oldest one is ended for it."""
    connection_age_max_s: int = 0

    def told(self) -> dict[str, float]:
        """As the welcome tells it to the client: what isn't limited is left out."""
        limits = {
            "connections": self.connections_max,
            "subscriptions": self.subscriptions_max,
            "commands_per_s": self.commands_per_s,
            "commands_burst": self.commands_burst,
            "messages_per_s": self.messages_per_s,
        }
        return {name: limit for name, limit in limits.items() if limit}

    def served_rate(self, asked: str) -> str:
        """The rate that one who asks for `asked`, which is one of RATES, may have."""
        return RATES[max(RATES.index(asked), RATES.index(self.fastest_rate))]

    def grant(self, channels: tuple[str, ...] | None) -> Grant:
        """What a key of this plan, with these patterns of its own, may see."""
        return Grant(self.channels) if channels is None else Grant(self.channels, channels)


class PlanSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What the settings say of a plan; None: as shipped, or as `free` has it."""

    connections_max: _Limit | None = None
    """Connections of one key at a time; 0: no limit."""
    subscriptions_max: _Count | None = None
    """Channels that one connection may be subscribed to."""
    commands_per_s: _PerSecond | None = None
    """Commands of one key, on average."""
    commands_burst: _Count | None = None
    """Commands of one key at once."""
    messages_per_s: _Limit | None = None
    """Messages to one connection; more are conflated or announced as a gap; 0: no limit."""
    fastest_rate: RateName | None = None
    """all, latest, 50ms … 5s: who asks for a faster one gets this one."""
    channels: ChannelPatterns | None = None
    """Patterns like trade:kraken:*; all others are refused."""
    history_max: _Limit | None = None
    """Messages of each channel that a resume may ask for; 0: all that are kept."""
    rest_per_minute: _Limit | None = None
    """REST calls of one key within a minute; 0: no limit."""
    rest_per_month: _Limit | None = None
    """REST calls of one key within a calendar month, UTC; 0: no limit."""
    over_limit: OverLimit | None = None
    """A connection too many is refused (reject), or ends the oldest one (kick_oldest)."""
    connection_age_max_s: _Limit | None = None
    """Seconds after which a connection is asked to come back; 0: never."""


FALLBACK: Final = "free"
"""The plan of a key whose own is no longer in the settings."""

PLANS: Final[dict[str, Plan]] = {
    plan.name: plan
    for plan in (
        Plan(
            "free",
            connections_max=2,
            subscriptions_max=100,
            commands_per_s=5,
            commands_burst=20,
            messages_per_s=200,
            fastest_rate="1s",
            rest_per_minute=60,
            rest_per_month=10_000,
        ),
        Plan(
            "pro",
            connections_max=10,
            subscriptions_max=1_024,
            commands_per_s=20,
            commands_burst=100,
            messages_per_s=20_000,
            rest_per_minute=600,
            rest_per_month=1_000_000,
        ),
        Plan("unlimited", subscriptions_max=100_000, commands_per_s=1_000, commands_burst=5_000),
    )
}
"""As shipped."""


def plans_from(settings: Mapping[str, PlanSettings]) -> dict[str, Plan]:
    """All plans: the shipped ones, changed and added to."""
    plans = dict(PLANS)
    for name, said in settings.items():
        shipped = PLANS.get(name, PLANS[FALLBACK])
        fields = msgspec.structs.asdict(said).items()
        changes = {field: value for field, value in fields if value is not None}
        plans[name] = msgspec.structs.replace(shipped, name=name, **changes)
    return plans


def check_plan_name(name: str) -> None:
    """Raises ValueError. A plan's name stands in commands, files and claims."""
    if not (0 < len(name) <= 32 and name.isascii() and name.replace("_", "a").isalnum()):
        raise ValueError(f"a plan's name has up to 32 letters, digits and _, not {name[:64]!r}")


def share_of(limit: float, workers: int) -> float:
    """One worker's part of a limit while the workers can't ask each other: at least 1."""
    return max(1.0, limit / max(1, workers))


def share_of_count(limit: int, workers: int) -> int:
    """The same of a number of things."""
    return max(1, math.floor(limit / max(1, workers)))
