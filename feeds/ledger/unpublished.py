"""What a crash left between the ledger and its subscribers: appended, and never told. Pure.

Who reads of it twice knows it by its id: telling it again is right, leaving it out is not.
"""

from collections.abc import Mapping, Sequence

from feeds.derived.outcomes import pair_of
from feeds.market import Channel, Outcome, Payload, Signal, Tick


def unpublished(
    recent: Sequence[Signal | Outcome], told: Mapping[str, Sequence[Payload]], now_us: int
) -> list[Tick]:
    """Those of the ledger's newest entries that are in none of the channels' histories, in order.

    `recent` must be fewer than a history keeps. Where the histories have nothing of them at all,
    Redis has lost its memory: then only signals that still speak are told again.
    """
    known = {_key(payload) for some in told.values() for payload in some}
    missing = [payload for payload in recent if _key(payload) not in known]
    if len(missing) == len(recent):
        ended = {each.signal for each in recent if isinstance(each, Outcome)}
        missing = [
            each
            for each in recent
            if isinstance(each, Signal) and each.expires_us > now_us and each.id not in ended
        ]
    return [tick_of(payload) for payload in missing]


def tick_of(payload: Signal | Outcome) -> Tick:
    """On the channel that it is told on."""
    if isinstance(payload, Signal):
        return Tick(Channel("signal", payload.model, pair_of(payload.id)), payload)
    return Tick(Channel("outcome", payload.model, pair_of(payload.signal)), payload)


def _key(payload: Payload) -> tuple[str, str] | None:
    match payload:
        case Signal(id=id_):
            return "signal", id_
        case Outcome(signal=id_):
            return "outcome", id_
        case _:
            return None
