"""What `tickgate watch` knows of each channel: prices, rates, delays, states, what is missing.

Pure: messages and times in. Bounded whatever comes: a row keeps sums of the last seconds only.
"""

from bisect import bisect_left
from collections import deque
from itertools import accumulate, pairwise
from typing import Final, Literal, NamedTuple

from feeds.market import Moment
from gateway.consumer.positions import Missed
from gateway.consumer.subscriber import Data, Message, Reconnecting
from gateway.protocol import Ack, By, Gap, Reset, State, StateName, Welcome

HOPS: Final = ("venue", "feed", "bus", "client")
"""A message's way: from `t` to `rx`, to `tx`, to `gw`, to here."""

_RATE_S: Final = 5
_WINDOW_S: Final = 5.0
_COUNT_EVERY_S: Final = 0.5
_DELAY_MAX_US: Final = 2**40
_TEXT_CHARS: Final = 24

Direction = Literal[-1, 0, 1]


class Rate:
    """Messages a second, over the last 5 s."""

    def __init__(self) -> None:
        self._began_s: float | None = None
        self._seconds: deque[list[int]] = deque(maxlen=_RATE_S + 1)

    def add(self, now_s: float) -> None:
        second = int(now_s)
        if self._began_s is None:
            self._began_s = now_s
        if not self._seconds or self._seconds[-1][0] != second:
            self._seconds.append([second, 0])
        self._seconds[-1][1] += 1

    def per_s(self, now_s: float) -> float:
        if self._began_s is None:
            return 0.0
        first = int(now_s) - _RATE_S
        messages = sum(number for second, number in self._seconds if second >= first)
        # One message says nothing of a rate before a second has passed.
        return messages / max(1.0, now_s - max(self._began_s, first))


class Delays:
    """How long a hop took, over the last 5 to 10 s: counts in buckets at most 1/16 wide."""

    def __init__(self) -> None:
        self._recent: dict[int, int] = {}
        self._before: dict[int, int] = {}
        self._since_s = 0.0
        self._counted_s = float("-inf")
        self._quantiles: tuple[float, float] | None = None

    def add(self, delay_us: int, now_s: float) -> None:
        """A negative delay (two clocks that disagree) counts as none."""
        self._turn(now_s)
        bounded = min(max(delay_us, 0), _DELAY_MAX_US)
        shift = max(0, bounded.bit_length() - 5)
        bucket = (shift << 5) + (bounded >> shift)
        self._recent[bucket] = self._recent.get(bucket, 0) + 1

    def quantiles(self, now_s: float) -> tuple[float, float] | None:
        """The median and the 99th percentile, microseconds; at most half a second old.

        Counting buckets anew for each drawing would be most of its cost.
        """
        if now_s - self._counted_s >= _COUNT_EVERY_S:
            self._turn(now_s)
            self._counted_s, self._quantiles = now_s, self._count()
        return self._quantiles

    def _count(self) -> tuple[float, float] | None:
        counts = dict(self._recent)
        for bucket, number in self._before.items():
            counts[bucket] = counts.get(bucket, 0) + number
        if not counts:
            return None
        buckets = sorted(counts)
        below = list(accumulate(counts[bucket] for bucket in buckets))
        half, most = (bisect_left(below, part * below[-1]) for part in (0.5, 0.99))
        return _middle_us(buckets[half]), _middle_us(buckets[most])

    def _turn(self, now_s: float) -> None:
        if now_s - self._since_s >= _WINDOW_S:
            is_old = now_s - self._since_s >= 2 * _WINDOW_S
            self._before, self._recent = {} if is_old else self._recent, {}
            self._since_s = now_s


def _middle_us(bucket: int) -> float:
    shift = max(0, bucket // 32)
    low = (bucket - (shift << 5)) << shift
    return low + ((1 << shift) - 1) / 2


class Figure:
    """A price as it is shown: with the decimals that this channel needs, and where it moved."""

    def __init__(self) -> None:
        self.text = ""
        self.direction: Direction = 0
        """Of its last change."""
        self._value: float | None = None
        self._decimals = 2

    def show(self, digits: object) -> None:
        text = printable(digits)
        whole, dot, fraction = text.partition(".")
        try:
            value = float(text)
        except ValueError:
            self.text = text
            return
        needed = len(fraction.rstrip("0"))
        self._decimals = max(self._decimals, needed)
        self.text = f"{whole}{dot}{fraction[: self._decimals]}"
        if self._value is not None and value != self._value:
            self.direction = 1 if value > self._value else -1
        self._value = value


class Row:
    """One channel."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.kind, _, rest = name.partition(":")
        self.venue, _, self.symbol = rest.partition(":")
        self.figures: list[Figure] = []
        """One price, or bid and ask."""
        self.size = ""
        self.rate = Rate()
        self.hops = tuple(Delays() for _ in HOPS)
        self.last_s: float | None = None
        self.seq_before = 0
        """Where the channel was at subscription: what comes from before then is no live delay."""
        self.state: StateName = "waiting"
        self.by: By | None = None
        self.gaps = 0
        self.missed = 0
        """Messages, of all gaps together."""
        self.resets = 0

    def hear(self, told: Data, now_s: float) -> None:
        self.last_s = now_s
        self.rate.add(now_s)
        prices, self.size = _told(told)
        if len(self.figures) != len(prices):
            self.figures = [Figure() for _ in prices]
        for figure, price in zip(self.figures, prices, strict=True):
            figure.show(price)

    def lose(self, messages: int) -> None:
        self.gaps += 1
        self.missed += messages

    def age_s(self, now_s: float) -> float | None:
        return None if self.last_s is None else now_s - self.last_s


def _told(told: Data) -> tuple[list[object], str]:
    """The prices and the size of a message; of one without either, whatever it says."""
    match told:
        case {"bid": bid, "ask": ask}:
            sizes = [printable(told[name]) for name in ("bid_sz", "ask_sz") if name in told]
            return [bid, ask], " ".join(map(_shorter, sizes))
        case {"px": price} | {"close": price}:
            return [price], _shorter(printable(told.get("sz", told.get("volume", ""))))
        case {"state": str() as state}:
            return [" ".join((state, str(told.get("reason", "")))).strip()], ""
        case _:
            own = (f"{k}={v}" for k, v in told.items() if k not in ("ch", "seq", "rx", "tx", "gw"))
            return [" ".join(own)], ""


def _shorter(digits: str) -> str:
    return digits.rstrip("0").rstrip(".") if "." in digits else digits


def printable(told: object, chars_max: int = _TEXT_CHARS) -> str:
    """Text for a terminal: a publisher's own may hold what moves the cursor."""
    text = str(told)[:chars_max]
    return text if text.isprintable() else "".join(c if c.isprintable() else "?" for c in text)


class Totals(NamedTuple):
    """Of all channels."""

    channels: int
    per_s: float
    waiting: int
    troubled: int
    """Neither live nor waiting."""
    missed: int


class Board:
    """All rows."""

    def __init__(self) -> None:
        self.rows: dict[str, Row] = {}
        self.hops = tuple(Delays() for _ in HOPS)
        """Of all channels together."""
        self.messages = 0
        self.reconnecting: Reconnecting | None = None
        self.returns_s = 0.0
        """When the next connection is tried, monotonic."""

    def hear(self, message: Message, at: Moment) -> None:
        match message:
            case dict():
                self._hear_data(message, at)
            case Ack():
                for told in message.ok:
                    row = self._row(told.ch)
                    row.state, row.seq_before = told.state or "waiting", told.seq or 0
            case State():
                row = self._row(message.ch)
                row.state, row.by = message.state, message.by
            case Gap() | Missed():
                self._row(message.ch).lose(message.last - message.first + 1)
            case Reset():
                row = self._row(message.ch)
                row.resets, row.seq_before = row.resets + 1, message.seq
            case Reconnecting():
                self.reconnecting = message
                self.returns_s = at.monotonic_s + message.wait_s
                for row in self.rows.values():
                    # What was last heard is no news of now; the ack that follows tells again.
                    row.state, row.by = "stale", "gateway"
            case Welcome():
                self.reconnecting = None

    def totals(self, now_s: float) -> Totals:
        rows = self.rows.values()
        waiting = sum(row.state == "waiting" for row in rows)
        return Totals(
            len(rows),
            sum(row.rate.per_s(now_s) for row in rows),
            waiting,
            sum(row.state != "live" for row in rows) - waiting,
            sum(row.missed for row in rows),
        )

    def in_order(self) -> list[Row]:
        return sorted(self.rows.values(), key=lambda row: (row.venue, row.kind, row.symbol))

    def _hear_data(self, told: Data, at: Moment) -> None:
        self.messages += 1
        row, now_s = self._row(told["ch"]), at.monotonic_s
        row.hear(told, now_s)
        if told["seq"] <= row.seq_before:
            return
        stamps = [told.get("t"), told.get("rx"), told.get("tx"), told.get("gw"), at.utc_us]
        for hop, (start, end) in enumerate(pairwise(stamps)):
            if isinstance(start, int) and isinstance(end, int):
                row.hops[hop].add(end - start, now_s)
                self.hops[hop].add(end - start, now_s)

    def _row(self, name: str) -> Row:
        row = self.rows.get(name)
        if row is None:
            row = self.rows[name] = Row(name)
        return row
