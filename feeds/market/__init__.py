"""The words of the market that feeds and gateway share.

Pure: msgspec and the standard library only; no I/O. Nothing here imports feeds or gateway.
"""

from feeds.market.candle import Candle
from feeds.market.channel import AGGREGATE, KINDS, Channel, ChannelError, Kind
from feeds.market.clock import Clock, Moment, SystemClock, moment
from feeds.market.digits import DigitsError, digits
from feeds.market.instrument import SYMBOL_PATTERN, Instrument, InstrumentError
from feeds.market.position import Position, PositionError
from feeds.market.price import Price, Vote
from feeds.market.publication import Missing, Publication, PublicationError
from feeds.market.signal import Direction, Grade, GradePart, Outcome, Reference, Signal
from feeds.market.tick import Book, ChannelState, Payload, Quote, Side, Status, Tick, Trade
from feeds.market.track_record import Baseline, Share, TrackRecord

__all__ = [
    "AGGREGATE",
    "KINDS",
    "SYMBOL_PATTERN",
    "Baseline",
    "Book",
    "Candle",
    "Channel",
    "ChannelError",
    "ChannelState",
    "Clock",
    "DigitsError",
    "Direction",
    "Grade",
    "GradePart",
    "Instrument",
    "InstrumentError",
    "Kind",
    "Missing",
    "Moment",
    "Outcome",
    "Payload",
    "Position",
    "PositionError",
    "Price",
    "Publication",
    "PublicationError",
    "Quote",
    "Reference",
    "Share",
    "Side",
    "Signal",
    "Status",
    "SystemClock",
    "Tick",
    "TrackRecord",
    "Trade",
    "Vote",
    "digits",
    "moment",
]
