"""Computes recorded messages again and says where they differ: the core of `tickgate verify`.

Pure. A message is a line of JSON as subscribers got it, with its `ch` and `seq`; prices alone carry
all that they were made of, other messages are passed over. A line that is no message at all may
have been a price: it is not passed over.
"""

from collections.abc import Iterable
from typing import Final

import msgspec

from feeds.derived.price_rule import differences
from feeds.market import Channel, ChannelError, Price

WRONG_MAX: Final = 1_000
"""Messages whose faults are told; more are only counted."""


class Wrong(msgspec.Struct, frozen=True):
    """One message that is not what it says it was made of."""

    channel: str
    seq: int | None
    faults: tuple[str, ...]


class Verdict(msgspec.Struct):
    """On all lines so far."""

    right: int = 0
    wrong_messages: int = 0
    passed_over: int = 0
    """Lines that are other messages, or empty."""
    lines: int = 0
    spoilt_lines: int = 0
    """Lines that are no message: cut, or damaged."""
    spoilt: list[int] = []
    """The first of them, counted from 1."""
    wrong: list[Wrong] = []


class _Address(msgspec.Struct, frozen=True):
    channel: str = msgspec.field(name="ch", default="")
    seq: int | None = None
    kind: str | None = msgspec.field(name="type", default=None)


_address = msgspec.json.Decoder(_Address).decode
_price = msgspec.json.Decoder(Price).decode


def verify(lines: Iterable[bytes]) -> Verdict:
    """Checks each price among some lines; a price that can't be read is wrong, too."""
    verdict = Verdict()
    for line in lines:
        check(line, verdict)
    return verdict


def check(line: bytes, verdict: Verdict) -> None:
    """Adds what is to be said of one line."""
    verdict.lines += 1
    if not line.strip():
        verdict.passed_over += 1
        return
    try:
        address = _address(line)
    except (ValueError, RecursionError):
        address = _Address()
    if address.kind is None and not _is_named(address.channel):
        verdict.spoilt_lines += 1
        if verdict.spoilt_lines <= WRONG_MAX:
            verdict.spoilt.append(verdict.lines)
        return
    if not address.channel.startswith("price:") or address.kind is not None:
        verdict.passed_over += 1
        return
    faults = _faults(line)
    if not faults:
        verdict.right += 1
        return
    verdict.wrong_messages += 1
    if len(verdict.wrong) < WRONG_MAX:
        verdict.wrong.append(Wrong(address.channel, address.seq, tuple(faults)))


def _is_named(channel: str) -> bool:
    try:
        Channel.parse(channel)
    except ChannelError:
        return False
    return True


def _faults(line: bytes) -> list[str]:
    try:
        return differences(_price(line))
    except (ValueError, RecursionError) as error:
        return [f"is no price: {error}"]
