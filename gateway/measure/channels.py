"""What to measure where nobody named channels: all that is there, as far as the key has room.

The protocol has no list of what is there: each name is tried, and those that aren't are left out.
"""

from typing import Final

from gateway.consumer.errors import CommandRefusedError, StreamError
from gateway.errors import ERRORS
from gateway.measure.connection import Measured

_WELL_KNOWN: Final = ("BTC-USD", "BTC-USDT", "ETH-USD", "ETH-USDT", "SOL-USD", "SOL-USDT")
"""Tried where a venue's channels are more than there is room for."""
_NOT_THERE: Final = frozenset(ERRORS[name].code for name in ("unknown_venue", "unknown_symbol"))
_NO_ROOM: Final = ERRORS["too_many_subscriptions"].code


class NothingThereError(StreamError):
    """None of the channels of the default is there."""

    next = "back_off"

    def __init__(self, left_out: list[str]) -> None:
        why = f" ({'; '.join(left_out)})" if left_out else ""
        super().__init__(f"no venue publishes there yet; else name channels by --channels{why}")


async def subscribe_default(one: Measured, wildcards: list[str]) -> tuple[list[str], list[str]]:
    """Names that are subscribed now, and what was left out and why. Raises StreamError."""
    found: list[str] = []
    left_out: list[str] = []
    try:
        await _try(one, wildcards, found, left_out)
    except CommandRefusedError as refusal:
        if refusal.error.code != _NO_ROOM:
            raise
        for name in wildcards:
            await _try_alone(one, name, found, left_out)
    if not found:
        raise NothingThereError(left_out)
    return found, left_out


async def _try_alone(one: Measured, name: str, found: list[str], left_out: list[str]) -> None:
    """All of a wildcard, else the best known of it, else nothing."""
    prefix = name.removesuffix("*")
    for names in [name], [prefix + symbol for symbol in _WELL_KNOWN]:
        try:
            await _try(one, names, found, left_out)
        except CommandRefusedError as refusal:
            if refusal.error.code != _NO_ROOM:
                raise
            left_out.append(f"{name}: {refusal.error.message}")
        else:
            return


async def _try(one: Measured, names: list[str], found: list[str], left_out: list[str]) -> None:
    ack = await one.subscribe(names)
    refused = {row.ch for row in ack.err}
    found += [name for name in names if name not in refused]
    left_out += [f"{row.ch}: {row.message}" for row in ack.err if row.code not in _NOT_THERE]
