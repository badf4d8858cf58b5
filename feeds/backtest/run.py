"""A backtest from files to what came of it: which settings, which derivations, which events.

EDGE (files), by way of `readers`. The derivations are those of the live feeds, with their settings;
what differs is said in `_settings` and nowhere else.
"""

from collections import Counter
from collections.abc import Iterator, Sequence

import msgspec

from feeds.backtest.bars import FLAT_MAX, bars_row
from feeds.backtest.drive import SILENCE_MAX_US, Heard, drive
from feeds.backtest.equity import Equity, equity
from feeds.backtest.files import Advance, File
from feeds.backtest.readers import recognised
from feeds.backtest.readers.columns import length_us
from feeds.backtest.source import Event, Faults, FileError, Source, merged
from feeds.derived import DERIVATIONS, Derived
from feeds.derived.chain import Chain
from feeds.derived.derivation import NO_MARKETS
from feeds.derived.models import chosen
from feeds.derived.settings import DerivedChoices, DerivedSettings
from feeds.derived.voices import interval
from feeds.ledger.track_record import track_records
from feeds.market import Candle, Tick, TrackRecord, Trade


class Backtest(msgspec.Struct, frozen=True):
    """What came of it."""

    sources: list[Source]
    faults: Faults
    interval: str
    """Of the candles that the models read."""
    models: list[str]
    """That were asked; those that said nothing have no record."""
    cost_bps: float
    ticks: int
    """That the files hold, those of other pairs included."""
    told: int
    """Messages that the chain made of them."""
    heard: Heard
    records: list[TrackRecord]
    equities: dict[str, list[Equity]]
    """By pair: one of each model."""

    @property
    def span_us(self) -> tuple[int, int] | None:
        """From the first candle's end to the last one's; None: there was none."""
        times = [mark.at_us for marks in self.heard.marks.values() for mark in marks]
        return (min(times), max(times)) if times else None


def backtest(
    files: Sequence[File], choices: DerivedChoices, *, pair: str | None, advance: Advance
) -> Backtest:
    """`pair`: the only one that counts, and that of files that name none. Raises FileError."""
    paths = [file.path.resolve() for file in files]
    if twice := [path.name for path in paths if paths.count(path) > 1]:
        raise FileError(f"{twice[0]} is given twice")
    sources = [recognised(file, pair) for file in files]
    for file in files:
        file.advance = advance
    bar = _bar(sources)
    settings = _settings(choices, sources, bar, pair)
    read = interval(settings)
    if bar is not None and length_us(bar) > length_us(read):
        raise FileError(f"models of {read} candles can't be fed with {bar} ones: --interval {bar}")
    heard = Heard(read, pair)
    faults = Faults()
    chain = Chain(_rows(bar), settings)
    events = merged(source.events(faults) for source in sources)
    silence_us = SILENCE_MAX_US if bar is None else (FLAT_MAX + 1) * length_us(bar)
    ticks = drive(_of_pair(events, pair), chain, heard.hear, silence_us)
    cost_bps = settings.outcome.cost_bps
    models = [row.name for row in chosen(settings.signal)]
    return Backtest(
        sources,
        faults,
        read,
        models,
        cost_bps,
        ticks,
        heard.told,
        heard,
        track_records(heard.entries),
        _equities(heard, models, cost_bps),
    )


def _bar(sources: Sequence[Source]) -> str | None:
    """The interval of recorded bars; None: there are ticks. Raises FileError."""
    bars = {source.bar: source.name for source in sources if source.bar is not None}
    ticks = [source.name for source in sources if source.bar is None]
    if len(bars) > 1:
        named = ", ".join(f"{name} has {bar}" for bar, name in bars.items())
        raise FileError(f"bars of several lengths can't be mixed: {named}")
    if bars and ticks:
        (name,) = bars.values()
        raise FileError(f"bars and ticks can't be mixed: {name} has bars, {ticks[0]} has ticks")
    if bars and not any(source.has_candles for source in sources):
        raise FileError("there are quotes only: models read candles, so give trades or candles too")
    return next(iter(bars), None)


def _rows(bar: str | None) -> tuple[Derived, ...]:
    """Candles that were recorded are not made of trades; all else is as live."""
    if bar is None:
        return DERIVATIONS
    recorded = bars_row(bar)
    return tuple(recorded if row.name == recorded.name else row for row in DERIVATIONS)


def _settings(
    choices: DerivedChoices, sources: Sequence[Source], bar: str | None, pair: str | None
) -> DerivedSettings:
    """As live, but: the venues whose quotes there are suffice for a price, and one of bars is not
    repeated between two of them. Bars longer than what models read by default replace it."""
    venues = {venue for source in sources for venue in source.venues}
    simulated = bool(venues) and venues <= NO_MARKETS
    venues_min = max(1, min(choices.price.venues_min, _quoting(sources, pair)))
    price = msgspec.structs.replace(choices.price, venues_min=venues_min)
    signal = choices.signal
    if bar is not None:
        price = msgspec.structs.replace(price, repeat_ms=length_us(bar) // 1_000)
        if not signal.interval and length_us(bar) > length_us("1m"):
            signal = msgspec.structs.replace(signal, interval=bar)
    values = msgspec.structs.asdict(choices) | {"price": price, "signal": signal}
    return DerivedSettings(**values, simulated=simulated)


def _quoting(sources: Sequence[Source], pair: str | None) -> int:
    """How many venues quote the pair; without one, that of the pairs which has the fewest."""
    channels = {channel for source in sources for channel in source.quotes}
    counts = Counter(channel.symbol for channel in channels)
    return counts[pair] if pair is not None else min(counts.values(), default=0)


def _of_pair(events: Iterator[Event], pair: str | None) -> Iterator[Event]:
    """Without other pairs' trades and candles; their quotes may be votes by conversion."""
    for at_us, ticks in events:
        some = ticks if pair is None else [tick for tick in ticks if _counts(tick, pair)]
        yield Event(at_us, some)


def _counts(tick: Tick, pair: str) -> bool:
    return tick.channel.symbol == pair or not isinstance(tick.payload, Trade | Candle)


def _equities(heard: Heard, models: Sequence[str], cost_bps: float) -> dict[str, list[Equity]]:
    equities: dict[str, list[Equity]] = {}
    signals = heard.signals
    for pair, marks in heard.marks.items():
        for model in models:
            its = [one for one in signals if one.model == model and f":{pair}:" in one.id]
            if its:
                equities.setdefault(pair, []).append(equity(model, marks, its, cost_bps))
    return equities
