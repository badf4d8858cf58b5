"""What the toy venue says: message n of run r is a function of both, so that anybody can check it.

Pure. Within an epoch `seq` and `n` of one run go side by side: their difference is the same in
every message that every client gets, or somebody has numbered, lost or repeated in silence.
"""

from collections.abc import Mapping
from typing import Any, Final, NamedTuple

from feeds.market import Channel, Quote, Tick, Trade

VENUE: Final = "toy"
TRADES: Final = tuple(f"trade:{VENUE}:{name}-USD" for name in ("A", "B", "C", "D"))
QUOTES: Final = tuple(f"quote:{VENUE}:{name}-USD" for name in ("A", "B"))
CHANNELS: Final = (*TRADES, *QUOTES)


class Said(NamedTuple):
    """Which message it is: the n-th of a channel since the feed was started for the r-th time."""

    run: int
    n: int


def tick(channel: Channel, said: Said, now_us: int) -> Tick:
    price = price_of(said)
    if channel.kind == "trade":
        told = Trade(price, "1", "buy", f"{said.run}-{said.n}", now_us, now_us)
        return Tick(channel, told)
    return Tick(channel, Quote(price, price, str(said.n), str(said.run), now_us, now_us))


def said_in(data: Mapping[str, Any]) -> Said | None:
    """What was said, as subscribers and the bus get it; None for what was never said."""
    if "id" in data:
        run, _, n = data["id"].partition("-")
        price = data["px"]
    else:
        run, n, price = data["ask_sz"], data["bid_sz"], data["bid"]
    said = Said(int(run), int(n))
    return said if price == price_of(said) else None


def price_of(said: Said) -> str:
    return f"{10_000 + (said.n * 7_919 + said.run * 104_729) % 90_000}.50"
