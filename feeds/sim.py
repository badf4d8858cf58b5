"""The generated market, venue `sim`: always there, labelled as such, and the load of benchmarks.

`Market` and `Schedule` are pure: a seed gives the same ticks in the same order, and the n-th is due
at start + n / rate, whoever is late. `SimFeed` is the edge that keeps to it.
"""

import asyncio
import logging
from random import Random

from feeds.errors import SettingError
from feeds.feed import TickSink
from feeds.market import Channel, Clock, Quote, Status, Tick, Trade
from feeds.settings import SimSettings

_log = logging.getLogger(__name__)

VENUE = "sim"

_SYMBOLS_MAX = 100_000
_TICKS_PER_S_MAX = 10_000_000
_NAP_S = 0.001
"""Event loops count in milliseconds: a shorter pause would be none, and burn a core."""
_LATE_S = 0.1
"""Later than this a tick counts as late."""
_BEHIND_S = 1.0
"""Further behind than this is worth a word."""
_CLOCK_SET_US = 100_000
"""The wall clock and the monotonic one differ by this: somebody set the clock."""

_KNOWN = (
    # base, first price, largest size: their decimals are the pair's steps
    ("BTC", "68900.00", "3.0000"),
    ("ETH", "3560.00", "40.0000"),
    ("SOL", "171.50", "900.000"),
    ("XRP", "0.52140", "90000.00"),
    ("DOGE", "0.14870", "800000.0"),
    ("ADA", "0.45290", "60000.00"),
    ("AVAX", "36.140", "800.000"),
    ("LINK", "17.225", "900.000"),
    ("LTC", "84.10", "90.0000"),
    ("DOT", "7.085", "2000.00"),
    ("BCH", "468.20", "30.0000"),
    ("UNI", "10.412", "900.000"),
)


class _Pair:
    """One pair's state. Prices and sizes are integers, in steps of the pair's own."""

    __slots__ = (
        "ask", "bid", "ceiling", "floor", "jump", "price_format", "price_scale",
        "quote_channel", "size_format", "size_max", "size_scale", "spread_max", "trade_channel",
        "trades",
    )  # fmt: skip

    def __init__(self, base: str, first_price: str, size_max: str) -> None:
        symbol = f"{base}-USD"
        self.trade_channel = Channel("trade", VENUE, symbol)
        self.quote_channel = Channel("quote", VENUE, symbol)
        start, self.price_scale, self.price_format = _steps(first_price)
        self.size_max, self.size_scale, self.size_format = _steps(size_max)
        self.bid = start
        self.ask = 0  # No quote yet: the first tick of a pair is one, so that trades have a price.
        self.floor, self.ceiling = start // 2, start * 2
        self.jump = max(1, start // 20_000)
        self.spread_max = max(2, start // 50_000)
        self.trades = 0


def _steps(digits: str) -> tuple[int, int, str]:
    """`"3.50"` -> 350 steps, 100 of them make 1, and how both are written."""
    whole, _, fraction = digits.partition(".")
    return int(whole + fraction), 10 ** len(fraction), f"%d.%0{len(fraction)}d"


def _pairs(count: int, random: Random) -> list[_Pair]:
    known = [_Pair(*row) for row in _KNOWN[:count]]
    others = [
        _Pair(f"SIM{number}", f"{random.randrange(10, 10_000)}.00", "900.000")
        for number in range(len(_KNOWN) + 1, count + 1)
    ]
    return known + others


class Market:
    """Random walks of many pairs. About half the ticks are trades, at the bid or at the ask."""

    def __init__(self, symbols: int, seed: int) -> None:
        self._random = Random(seed)  # noqa: S311 - a market, not a secret
        self._pairs = _pairs(symbols, self._random)

    @property
    def channels(self) -> list[Channel]:
        trades = [pair.trade_channel for pair in self._pairs]
        return trades + [pair.quote_channel for pair in self._pairs]

    def tick(self, venue_us: int, received_us: int) -> Tick:
        """The next one; the times are stamped on it and change nothing else."""
        # One draw a tick, cut into pieces: 20 bits for the pair, 1 for kind and side each, and
        # three of 12 for steps and sizes.
        bits = self._random.getrandbits(58)
        pair = self._pairs[(bits & 0xFFFFF) * len(self._pairs) >> 20]
        low, middle, high = bits >> 22 & 0xFFF, bits >> 34 & 0xFFF, bits >> 46
        if pair.ask and bits & 0x100000:
            pair.trades += 1
            is_buy = bits & 0x200000
            trade = Trade(
                pair.price_format % divmod(pair.ask if is_buy else pair.bid, pair.price_scale),
                _size(pair, low),
                "buy" if is_buy else "sell",
                str(pair.trades),
                venue_us,
                received_us,
            )
            return Tick(pair.trade_channel, trade)
        _move(pair, low, middle & 0x3F)
        quote = Quote(
            pair.price_format % divmod(pair.bid, pair.price_scale),
            pair.price_format % divmod(pair.ask, pair.price_scale),
            _size(pair, middle),
            _size(pair, high),
            venue_us,
            received_us,
        )
        return Tick(pair.quote_channel, quote)


def _move(pair: _Pair, step_bits: int, spread_bits: int) -> None:
    step = (step_bits * (2 * pair.jump + 1) >> 12) - pair.jump
    if not pair.floor <= pair.bid + step <= pair.ceiling:
        step = -step
    pair.bid += step
    pair.ask = pair.bid + 1 + (spread_bits * pair.spread_max >> 6)


def _size(pair: _Pair, bits: int) -> str:
    # Squared, as most orders are small.
    return pair.size_format % divmod(1 + (bits * bits * pair.size_max >> 24), pair.size_scale)


class Schedule:
    """Which ticks are due: the n-th at start + n / rate, so that no lateness adds up.

    Monotonic seconds throughout.
    """

    def __init__(self, ticks_per_s: float, start_s: float, settings: SimSettings) -> None:
        self.skipped = 0
        """Ticks that will never be made, as the feed was too far behind."""
        self._rate = ticks_per_s
        self._start_s = start_s
        self._burst_max = settings.burst_ticks_max
        self._behind_limit_s = settings.behind_limit_s
        self._next = 0

    def due(self, now_s: float) -> range:
        """The numbers of the ticks to make now, oldest first; at most a burst."""
        count = int((now_s - self._start_s) * self._rate) + 1 - self._next
        excess = count - max(1, int(self._behind_limit_s * self._rate))
        if excess > 0:
            self.skipped += excess
            self._next += excess
            count -= excess
        first = self._next
        self._next += max(0, min(count, self._burst_max))
        return range(first, self._next)

    def offset_us(self, number: int) -> int:
        """When a tick is due, microseconds since the start."""
        return int(number * 1_000_000 / self._rate)

    def wait_s(self, now_s: float) -> float:
        """Seconds until the next is due; negative: so late it is."""
        return self._start_s + self._next / self._rate - now_s


def check_sim(settings: SimSettings) -> None:
    """Raises SettingError for a market that can't be."""
    if not 1 <= settings.symbols <= _SYMBOLS_MAX:
        raise SettingError(f"sim.symbols must be 1 to {_SYMBOLS_MAX}")
    if not 0 < settings.ticks_per_s <= _TICKS_PER_S_MAX:
        raise SettingError(f"sim.ticks_per_s must be more than 0, at most {_TICKS_PER_S_MAX}")
    if settings.burst_ticks_max < 1 or not settings.behind_limit_s > 0:
        raise SettingError("sim.burst_ticks_max and sim.behind_limit_s must be more than 0")


class SimFeed:
    """A Feed of the generated market. Says so when it can't keep up, and counts."""

    def __init__(self, settings: SimSettings, sink: TickSink, clock: Clock) -> None:
        """Raises SettingError."""
        check_sim(settings)
        self.name = VENUE
        self.market = Market(settings.symbols, settings.seed)
        self.channels = self.market.channels
        self.changed = asyncio.Event()
        self.ticks = 0
        self.late_ticks = 0
        self.skipped_ticks = 0
        self._settings = settings
        self._sink = sink
        self._clock = clock
        self._since_us = clock.now_ns() // 1_000
        self._behind_since_s: float | None = None

    def status(self) -> Status:
        now_us = self._clock.now_ns() // 1_000
        if not self.ticks:
            return Status("waiting", self._since_us, received_us=now_us)
        reason = "can't keep up with its rate" if self._behind_since_s is not None else None
        return Status("live", self._since_us, reason=reason, received_us=now_us)

    async def run(self) -> None:
        clock = self._clock
        # In this order, and the other one below: whatever comes between, no stamp is in the future.
        start_us = self._since_us = clock.now_ns() // 1_000
        start_s = clock.monotonic_s()
        schedule = Schedule(self._settings.ticks_per_s, start_s, self._settings)
        while True:
            now_s = clock.monotonic_s()
            now_us = clock.now_ns() // 1_000
            # The stamps follow the wall clock when somebody sets it; the pace does not.
            drift_us = now_us - start_us - int((now_s - start_s) * 1_000_000)
            if abs(drift_us) > _CLOCK_SET_US:
                start_us += drift_us
            behind_s = -schedule.wait_s(now_s)
            due = schedule.due(now_s)
            self._sink.offer(
                [self.market.tick(start_us + schedule.offset_us(n), now_us) for n in due]
            )
            self._count(len(due), behind_s, now_s, schedule)
            wait_s = schedule.wait_s(clock.monotonic_s())
            await asyncio.sleep(max(_NAP_S, wait_s) if wait_s > 0 else 0.0)

    def _count(self, made: int, behind_s: float, now_s: float, schedule: Schedule) -> None:
        if not self.ticks:
            self.changed.set()
        self.ticks += made
        self.skipped_ticks = schedule.skipped
        if behind_s > _LATE_S:
            self.late_ticks += made
        if self._behind_since_s is None and behind_s > _BEHIND_S:
            self._behind_since_s = now_s
            self.changed.set()
            _log.warning(
                "sim can't keep up: %g ticks/s asked, %.1f s behind",
                self._settings.ticks_per_s,
                behind_s,
            )
        elif self._behind_since_s is not None and behind_s < _LATE_S:
            _log.warning(
                "sim keeps up again after %.1f s late_ticks=%d skipped_ticks=%d",
                now_s - self._behind_since_s,
                self.late_ticks,
                self.skipped_ticks,
            )
            self._behind_since_s = None
            self.changed.set()
