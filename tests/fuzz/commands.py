"""Commands: sound ones, such with odd values in some places, and such with broken bytes."""

import json
from random import Random
from typing import Any

import msgspec

from gateway.errors import CommandError
from gateway.protocol import (
    SUBPROTOCOLS,
    Command,
    EncodingName,
    Error,
    decode_command,
    encode,
    id_of,
)
from tests.fuzz.found import Found
from tests.test_parser_fuzz import ODD, broken, written

CHANNELS = [
    *("trade:sim:BTC-USD", "trade:sim:ETH-USD", "quote:sim:BTC-USD", "trade:sim:*", "*"),
    *("trade:sim:<img src=x onerror=alert(1)>", "trade:../../etc:BTC-USD", "trade:sim:{x}"),
    *("", ":", "::", "a:b:c:d", "trade:sim:", "trade:sim:btc-usd", "trade:sim:\r\nPING\r\n"),
    *("trade:sim:" + "A" * 200, "x" * 3_000, "trade:sim:\u0000", "trade:sim:БТЦ", "status:sim:*"),
]
_IDS = [0, 1, -1, 2**53 - 1, 2**53, 2**63, 2**64, 1e3, "", "x", "𝄞", "x" * 500, None, True, [], {}]
_ODD_VALUES: list[Any] = [
    *(None, True, 0, -1, 2**63, 1.5, float("nan"), float("inf"), "", "\u0000", b"", b"\xff"),
    *([], {}, [[]], {"a": {}}, "x" * 70_000, [0] * 2_000, {1: 2}),
]


def command(chance: Random) -> dict[str, Any]:
    """A value that is mostly a command."""
    op = chance.choice(["subscribe", "subscribe", "unsubscribe", "list", "ping", "auth", "fly"])
    said: dict[str, Any] = {"op": op, "id": chance.choice(_IDS)}
    if op in ("subscribe", "unsubscribe"):
        said["channels"] = chance.choices(CHANNELS, k=chance.choice((0, 1, 1, 2, 5, 50, 51)))
    if op == "subscribe":
        said |= _options(chance)
    if op == "auth":
        said["key"] = chance.choice(["", "tg_x_y", "x" * 500])
    if chance.random() < 0.1:
        said[chance.choice(["op", "extra", "rate", "channels", ""])] = chance.choice(_ODD_VALUES)
    return said


def _options(chance: Random) -> dict[str, Any]:
    options: dict[str, Any] = {}
    if chance.random() < 0.4:
        options["rate"] = chance.choice(["all", "latest", "1s", "50ms", "0s", "-1s", "", "1e9s"])
    if chance.random() < 0.4:
        options["on_lag"] = chance.choice(["gap", "conflate", "close", "wait", ""])
    if chance.random() < 0.4:
        options["since"] = {chance.choice(CHANNELS): chance.choice(_ODD_VALUES)}
    return options


def json_command(chance: Random) -> str:
    """One text message."""
    value = command(chance)
    for key in [key for key, inner in value.items() if isinstance(inner, bytes | dict)]:
        value[key] = chance.choice([None, {}, {"trade:sim:BTC-USD": ["b1", 1]}])
    share = chance.choice([0, 0, 0.05, 0.3])
    text = written(value, lambda: chance.choice(ODD) if chance.random() < share else None)
    if chance.random() < 0.2:
        text = broken(text.encode("utf-8", "replace"), chance).decode("utf-8", "replace")
    # What a client can send: a text message is UTF-8.
    return text.encode("utf-8", "replace").decode()


def msgpack_command(chance: Random) -> bytes:
    """One binary message."""
    value = command(chance)
    for key, inner in value.items():
        if isinstance(inner, int) and inner >= 2**64:
            value[key] = -(2**63)
        if chance.random() < 0.03:
            value[key] = chance.choice(_ODD_VALUES)
    if chance.random() < 0.01:
        return chance.choice([b"\x91" * 5_000, b"\x81\xa2op" * 3_000, b"\xdf\xff\xff\xff\xff"])
    said = msgspec.msgpack.encode(value)
    if chance.random() < 0.4:
        said = broken(said, chance)
    if chance.random() < 0.1:
        said = json.dumps("x").encode() + said
    return said


def check(said: str | bytes) -> None:
    """Raises AssertionError, or what the gateway would have failed with."""
    try:
        decoded = decode_command(said)
    except CommandError as error:
        if error.row.code != "bad_message" or len(error.detail) > 200:
            raise
        for encoding in SUBPROTOCOLS.values():
            _check_reply(Error(id_of(said), error.row.code, error.detail, retry=False), encoding)
    else:
        assert isinstance(decoded, Command)
        for encoding in SUBPROTOCOLS.values():
            _check_reply(Error(decoded.id, "rate_limited", "", retry=True), encoding)


def _check_reply(reply: Error, encoding: EncodingName) -> None:
    told = encode(reply, encoding)
    decode = msgspec.json.decode if encoding == "json" else msgspec.msgpack.decode
    assert decode(told)["id"] == reply.id


def fuzz_json(seed: int, first: int, count: int) -> None:
    _fuzz("json", seed, first, count)


def fuzz_msgpack(seed: int, first: int, count: int) -> None:
    _fuzz("msgpack", seed, first, count)


def _fuzz(kind: EncodingName, seed: int, first: int, count: int) -> None:
    make = json_command if kind == "json" else msgpack_command
    for number in range(first, first + count):
        said = make(Random(f"{kind} {seed} {number}"))
        try:
            check(said)
        except Exception as error:
            numbers = range(number, number + 1)
            raise Found(kind, seed, numbers, said, f"{type(error).__name__} {error}") from error
