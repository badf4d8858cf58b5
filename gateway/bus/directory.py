"""Which channels there are: the table that a name is looked up in before it becomes a Redis key.

Pure: filled by the worker from the set `tickgate:channels`.
"""

import difflib
from collections.abc import Iterable, Mapping

from feeds.market import Channel, ChannelError
from gateway.errors import CommandError


class Directory:
    """The known channels, and what to say of the others."""

    def __init__(self) -> None:
        self._channels: dict[str, Channel] = {}
        self._symbols: dict[tuple[str, str], list[str]] = {}
        """By kind and venue, sorted: what a wildcard stands for."""
        self.refreshed_s = float("-inf")

    def __len__(self) -> int:
        return len(self._channels)

    def __contains__(self, name: str) -> bool:
        return name in self._channels

    def fill(self, names: Iterable[str], now_s: float) -> None:
        """Replaces the contents. Names that are no channels are left out: anyone may SADD."""
        self.refreshed_s = now_s
        channels: dict[str, Channel] = {}
        for name in names:
            try:
                channel = Channel.parse(name)
            except ChannelError:
                continue
            if not channel.is_wildcard:
                channels[name] = channel
        self._channels = channels
        self._symbols = {}
        for channel in sorted(channels.values()):
            self._symbols.setdefault((channel.kind, channel.venue), []).append(channel.symbol)

    @property
    def channels(self) -> Mapping[str, Channel]:
        """All, by name. Replaced when it is filled again, never changed."""
        return self._channels

    def of_kind(self, kind: str) -> list[Channel]:
        """All of a kind, as channels spell it; by venue and symbol."""
        return [
            Channel(known, venue, symbol)
            for (known, venue), symbols in self._symbols.items()
            for symbol in symbols
            if known == kind
        ]

    def knows(self, name: str) -> bool:
        """Whether `named` would find something."""
        kind, _, rest = name.partition(":")
        venue, _, symbol = rest.partition(":")
        return name in self._channels or (symbol == "*" and (kind, venue) in self._symbols)

    def named(self, name: str) -> list[Channel]:
        """The channels that a name stands for: itself, or all that match its `*`.

        Raises CommandError: bad_channel, unknown_venue, unknown_symbol.
        """
        known = self._channels.get(name)
        if known is not None:
            return [known]
        try:
            channel = Channel.parse(name)
        except ChannelError as error:
            raise CommandError("bad_channel", str(error)) from error
        symbols = self._symbols.get((channel.kind, channel.venue))
        if symbols is None:
            venues = sorted({venue for kind, venue in self._symbols if kind == channel.kind})
            there = f"of this kind there are {', '.join(venues)}" if venues else "nor by any other"
            raise CommandError(
                "unknown_venue", f"no {channel.kind} channels by {channel.venue}; {there}"
            )
        if channel.is_wildcard:
            return [Channel(channel.kind, channel.venue, symbol) for symbol in symbols]
        raise CommandError(
            "unknown_symbol", f"{channel.venue} has no {channel.kind} of {channel.symbol}"
        )

    def hint(self, name: str) -> str | None:
        """The known symbol nearest to a wrong one."""
        kind, _, rest = name.partition(":")
        venue, _, symbol = rest.partition(":")
        symbols = self._symbols.get((kind, venue), [])
        near = difflib.get_close_matches(symbol.upper(), symbols, n=1, cutoff=0.5)
        return near[0] if near else None
