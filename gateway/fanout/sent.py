"""What clients are sent of each kind of channel: the payload, and what is added on its way. Pure.

For the documents, and for the tests that hold real messages to them: nothing is decoded into these.
"""

from typing import Annotated, Final

import msgspec

from feeds.market import Book, Candle, Grade, Outcome, Price, Quote, Signal, Status, Trade
from feeds.market.channel import KINDS
from gateway.fanout.tally import Trades


class AnyMessage(msgspec.Struct, frozen=True):
    """A message of any kind: by its `ch`, one of the others."""

    ch: str
    seq: int


class Custom(msgspec.Struct, frozen=True):
    """Whatever its publisher wrote, besides these."""


class Live(msgspec.Struct, frozen=True):
    """The price now, where a signal's reference price comes from. REST only."""

    ch: str
    px: str
    at: int
    """When that price was computed, microseconds UTC."""
    move: float
    """The pair's return since the reference price: 0.01 is one percent."""


PAYLOADS: Final[dict[str, type[msgspec.Struct]]] = {
    "trade": Trade,
    "quote": Quote,
    "book": Book,
    "candle": Candle,
    "price": Price,
    "signal": Signal,
    "outcome": Outcome,
    "grade": Grade,
    "status": Status,
    "custom": Custom,
}

ADDED: Final = {
    "ch": "The channel.",
    "seq": "Its number in the channel's epoch; the newest one's, where it stands for several.",
    "tx": "When it was published, microseconds UTC; absent where another program published it.",
    "gw": "When the gateway handled it, microseconds UTC. Not in answers of REST.",
    "n": "How many messages it stands for, where that is more than one.",
    "epoch": "Of a candle: the epoch of its seq, where it is not that of `positions`. REST only.",
    "live": "How the pair has moved since, where its price is known. REST only.",
}
"""What is put into a payload on the way, described."""


def _sent(kind: str, payload: type[msgspec.Struct], *, counted: bool) -> type[msgspec.Struct]:
    """`counted`: whether one may stand for several."""
    fields: list[tuple[str, object] | tuple[str, object, object]] = [
        ("ch", Annotated[str, msgspec.Meta(pattern=rf"^{kind}[.:]")]),
        ("seq", int),
        ("gw", int | None, None),
    ]
    if "published_us" not in payload.__struct_fields__:
        fields.append(("tx", int | None, None))
    if counted:
        fields.append(("n", int | None, None))
    if kind == "candle":
        fields.append(("epoch", str | None, None))
    if kind == "signal":
        fields.append(("live", Live | None, None))
    made: type[msgspec.Struct] = msgspec.defstruct(
        f"{payload.__name__}Message",
        fields,
        bases=(payload,),
        namespace={"__doc__": payload.__doc__},
        module=__name__,
        frozen=True,
        kw_only=True,
        omit_defaults=True,
    )
    return made


SENT: Final[dict[str, type[msgspec.Struct]]] = {
    kind: _sent(kind, payload, counted=KINDS[kind].conflation == "newest")
    for kind, payload in PAYLOADS.items()
}
"""By kind."""
SENT_TRADES: Final = _sent("trade", Trades, counted=True)
