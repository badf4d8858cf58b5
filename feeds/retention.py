"""How many messages a channel's stream is told to keep: so many, or those of the last seconds where
these are more. Pure.

A pair with fifty trades a second has a thousand in 20 s: who was away for half a minute could not
come back to it. Within its bound it is never less than the seconds ask for, and at most twice that.
"""

from feeds.market import Channel
from feeds.settings import HistorySettings


class Retention:
    """Of one channel. Times are monotonic seconds, handed in."""

    __slots__ = ("_before", "_began_s", "_count", "_least", "_most", "_span_s")

    def __init__(self, least: int, most: int, span_s: float, now_s: float) -> None:
        self._least = least
        self._most = max(least, most)
        self._span_s = span_s
        self._began_s = now_s
        # What another process published before us may still be wanted.
        self._before = self._most if span_s else 0
        """Messages of the span before this one."""
        self._count = 0
        """Of this one, so far."""

    @classmethod
    def of(cls, channel: Channel, settings: HistorySettings, now_s: float) -> "Retention":
        span_s = settings.trade_s if channel.kind == "trade" else 0.0
        return cls(_least(channel, settings), settings.messages_max, span_s, now_s)

    def messages(self, more: int, now_s: float) -> int:
        """How many to keep, with so many that are published now."""
        if not self._span_s:
            return self._least
        passed_s = now_s - self._began_s
        if passed_s >= self._span_s:
            self._before = self._count if passed_s < 2 * self._span_s else 0
            self._count = 0
            self._began_s = now_s
        self._count += more
        return min(max(self._least, self._before + self._count), self._most)


def _least(channel: Channel, settings: HistorySettings) -> int:
    match channel.promises.name:
        case "trade":
            return settings.trade
        case "candle":
            return settings.candle
        case "signal" | "outcome":
            return settings.signal
        case "custom":
            return channel.promises.history_max
        case _:
            return settings.newest
