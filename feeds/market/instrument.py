"""What is traded: a base priced in a quote. Symbols are `BASE-QUOTE`, upper case, one per meaning.

A symbol is checked here before it may become part of a Redis key, a label or a log line.
"""

import re
from collections.abc import Iterable
from typing import Self

import msgspec

SYMBOL_PATTERN = re.compile(r"[A-Z0-9][A-Z0-9._-]{0,31}\Z")

_ALIASES = {"XBT": "BTC", "XDG": "DOGE"}
"""Venues' own names for an asset, to the name that everyone uses (Kraken, BitMEX)."""


class InstrumentError(ValueError):
    """A symbol that names no instrument."""


class Instrument(msgspec.Struct, frozen=True, order=True):
    """`BTC-USDT`, or `BTC-USDT-PERP` where a contract and not the asset itself is traded."""

    base: str
    quote: str
    contract: str = ""

    @property
    def symbol(self) -> str:
        return "-".join(part for part in (self.base, self.quote, self.contract) if part)

    @classmethod
    def of(cls, base: str, quote: str, contract: str = "") -> Self:
        """The instrument of two assets in a venue's spelling. Raises InstrumentError."""
        base, quote = base.upper(), quote.upper()
        made = cls(_ALIASES.get(base, base), _ALIASES.get(quote, quote), contract)
        is_ambiguous = "-" in base or "-" in quote
        if not base or not quote or is_ambiguous or not SYMBOL_PATTERN.match(made.symbol):
            raise InstrumentError(f"not a pair of assets: {base[:40]!r}, {quote[:40]!r}")
        return made

    @classmethod
    def parse(cls, symbol: str) -> Self:
        """The instrument named by one of our own symbols. Raises InstrumentError."""
        base, _, rest = symbol.partition("-")
        quote, _, contract = rest.partition("-")
        if not (base and quote and SYMBOL_PATTERN.match(symbol)) or symbol.endswith("-"):
            raise InstrumentError(f"not a symbol like BTC-USDT: {symbol[:40]!r}")
        return cls(base, quote, contract)

    @classmethod
    def split(cls, joined: str, quotes: Iterable[str]) -> Self:
        """The instrument of a venue's joined spelling (`BTCUSDT`, `btcusd`).

        The longest of `quotes` (upper case) that ends it wins: `BTCTUSD` is BTC in TUSD,
        not BTCT in USD. Raises InstrumentError where none does.
        """
        name = joined.upper()
        ends = [quote for quote in quotes if name.endswith(quote) and len(quote) < len(name)]
        if not ends:
            raise InstrumentError(f"no known quote asset ends {joined[:40]!r}")
        quote = max(ends, key=len)
        return cls.of(name[: -len(quote)], quote)
