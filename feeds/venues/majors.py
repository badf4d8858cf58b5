"""The assets that are on by default at every venue that has them: a price needs several venues."""

from typing import Final

_MAJORS: Final = ("BTC", "ETH", "SOL", "XRP", "DOGE", "ADA", "LTC")


def majors_in(quote: str) -> tuple[str, ...]:
    """Their symbols, ours: `BTC-USD` and so on."""
    return tuple(f"{asset}-{quote}" for asset in _MAJORS)
