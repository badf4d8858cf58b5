"""What a venue calls its instruments, to our channels. Pure; remembers, so that ticks build none.

Bounded: a venue that invents names without end empties this memory instead of filling ours.
"""

from collections.abc import Callable

from feeds.market import Channel, Instrument, InstrumentError

NATIVE_NAMES_MAX = 10_000


class Listing:
    """One venue's. `symbol` (ours) stands for what messages leave unnamed; None: nothing does."""

    def __init__(
        self, venue: str, instrument: Callable[[str], Instrument], symbol: str | None = None
    ) -> None:
        self._venue = venue
        self._instrument = instrument
        self._symbol = symbol
        self._trades: dict[str, Channel] = {}
        self._quotes: dict[str, Channel] = {}

    def trade(self, native: str) -> Channel:
        """The trade channel of a native name, blank where the message has none.

        Raises InstrumentError.
        """
        found = self._trades.get(native)
        return self._add(native)[0] if found is None else found

    def quote(self, native: str) -> Channel:
        """As `trade`, for quotes."""
        found = self._quotes.get(native)
        return self._add(native)[1] if found is None else found

    def _add(self, native: str) -> tuple[Channel, Channel]:
        symbol = self._instrument(native).symbol if native else self._symbol
        if symbol is None:
            raise InstrumentError("the message names no symbol: say which one it is")
        if len(self._trades) >= NATIVE_NAMES_MAX:
            self._trades.clear()
            self._quotes.clear()
        trade = self._trades[native] = Channel("trade", self._venue, symbol)
        quote = self._quotes[native] = Channel("quote", self._venue, symbol)
        return trade, quote
