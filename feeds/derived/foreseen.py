"""Which channels are going to be told, as far as those that are heard tell it. Pure.

So that they can be subscribed to before their first message: a candle's, a signal's may take long.
"""

from collections.abc import Iterable

from feeds.derived.derivation import AGGREGATE, NO_MARKETS
from feeds.derived.intervals import INTERVALS
from feeds.derived.models import chosen
from feeds.derived.settings import DerivedSettings
from feeds.market import Channel, Instrument


def foreseen(heard: Iterable[Channel], settings: DerivedSettings) -> list[Channel]:
    """In order, each once."""
    found: dict[Channel, None] = {}
    models = [row.name for row in chosen(settings.signal)]
    conversions = [Instrument.parse(symbol) for symbol in settings.price.conversions]
    for channel in heard:
        is_live = settings.simulated or channel.venue not in NO_MARKETS
        symbol = channel.symbol
        if channel.kind == "trade":
            venues = (channel.venue, AGGREGATE) if is_live else (channel.venue,)
            for venue in venues:
                found |= {Channel(f"candle.{each.name}", venue, symbol): None for each in INTERVALS}
            if is_live:
                found |= {Channel("signal", model, symbol): None for model in models}
                found |= {Channel("outcome", model, symbol): None for model in models}
                found[Channel("grade", AGGREGATE, symbol)] = None
        elif channel.kind == "quote" and is_live and not Instrument.parse(symbol).contract:
            found[Channel("price", AGGREGATE, symbol)] = None
            pair = Instrument.parse(symbol)
            for rate in conversions:
                if rate.base == pair.quote and rate.quote != pair.base:
                    converted = Instrument(pair.base, rate.quote)
                    found[Channel("price", AGGREGATE, converted.symbol)] = None
    return list(found)
