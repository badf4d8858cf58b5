"""The table of attacks: one attacker each, who begins anew whenever the gateway ends it.

A deadline is how long the gateway says that such a connection may live.
"""

import json
import time
from collections.abc import Callable
from typing import Final, NamedTuple

from bench.hostile.peer import Ledger, Peer, Target, frame, pause

_TEXT, _CLOSE_LIMIT_S = 0x81, 3.0
_HEAD_LIMIT_S: Final = 5.0
_SLOW_LIMIT_S: Final = 5.0 + 10.0 + _CLOSE_LIMIT_S
"""Too old in the outbox, too slow for too long, then a close that it doesn't read."""
_FILL_S: Final = 3.0
"""Until the kernel's buffers are full and it is slow at all."""
_GOES_ON_S: Final = 40.0
"""A hundred refusals in a minute end it: on the slowest plan they come five a second."""
_HALF_REQUESTS: Final = 200


class Attack(NamedTuple):
    """One row."""

    name: str
    deadline_s: float | None
    run: Callable[[Target, Ledger], None]


def _pour(target: Target, ledger: Ledger, data: bytes, *, reads: bool, start: bytes = b"") -> None:
    """The same again and again on one connection, until it is ended; then on another one."""
    while not target.is_over:
        with ledger.peer(target) as peer:
            peer.upgrade(target)
            peer.send(start)
            while not (peer.is_ended or target.is_over):
                peer.send(data)
                if reads:
                    peer.drain()
                pause()
            if reads and not peer.is_ended:
                peer.drain()
        pause()


def empty_fragments(target: Target, ledger: Ledger) -> None:
    _pour(target, ledger, frame(0x00) * 8_000, reads=True, start=frame(0x01))


def ping_flood(target: Target, ledger: Ledger) -> None:
    _pour(target, ledger, frame(0x89, b"p" * 125) * 500, reads=False)


def bad_json(target: Target, ledger: Ledger) -> None:
    _pour(target, ledger, frame(_TEXT, b'{"op":') * 50, reads=True)


def deep_json(target: Target, ledger: Ledger) -> None:
    _pour(target, ledger, frame(_TEXT, b'{"op":"list","id":' + b"[" * 60_000), reads=True)


def big_frames(target: Target, ledger: Ledger) -> None:
    _pour(target, ledger, frame(_TEXT, b"x" * 1_000_000), reads=True)


def command_flood(target: Target, ledger: Ledger) -> None:
    _pour(target, ledger, frame(_TEXT, b'{"op":"list","id":1}') * 20, reads=True)


def subscribe_churn(target: Target, ledger: Ledger) -> None:
    names = json.dumps(target.channels[:50])
    both = (f'{{"op":"{op}subscribe","channels":{names}}}'.encode() for op in ("", "un"))
    _pour(target, ledger, b"".join(frame(_TEXT, said) for said in both) * 2, reads=True)


def _knock(target: Target, ledger: Ledger, path: str, key: str | None, headers: str = "") -> None:
    while not target.is_over:
        with ledger.peer(target) as peer:
            peer.upgrade(target, path + headers, key)
            while not (peer.is_ended or target.is_over):
                peer.receive()
        pause()


def wrong_keys(target: Target, ledger: Ledger) -> None:
    _knock(target, ledger, "/v1/stream", "tg_0123456789ab_" + "x" * 43)


def key_in_url(target: Target, ledger: Ledger) -> None:
    _knock(target, ledger, f"/v1/stream?api_key={target.key}", None)


def oversized_heads(target: Target, ledger: Ledger) -> None:
    _knock(target, ledger, "/v1/stream?" + "x" * 9_000, None)


def half_requests(target: Target, ledger: Ledger) -> None:
    """Two hundred at a time, a byte each now and then."""
    open_ones: list[Peer] = []
    while not target.is_over:
        while len(open_ones) < _HALF_REQUESTS and not target.is_over:
            open_ones.append(Peer(target))
            open_ones[-1].send(b"GET /v1/stream HTTP/1.1\r\nHost: h\r\nX-Slow: ")
        time.sleep(0.25)
        for one in list(open_ones):
            one.send(b"x")
            one.drain()
            if one.is_ended:
                open_ones.remove(one)
                ledger.close(one)
    for one in open_ones:
        ledger.close(one)


def stalled_reader(target: Target, ledger: Ledger) -> None:
    """Wants everything, takes nothing."""
    names = json.dumps(target.channels[:50])
    while not target.is_over:
        with ledger.peer(target, receive_buffer=4_096) as peer:
            peer.upgrade(target)
            peer.send(frame(_TEXT, f'{{"op":"subscribe","channels":{names}}}'.encode()))
            while not (peer.is_ended or target.is_over):
                time.sleep(0.1)
                peer.look()


ATTACKS: Final = (
    Attack("empty fragments", _CLOSE_LIMIT_S, empty_fragments),
    Attack("ping flood, never reads", _CLOSE_LIMIT_S, ping_flood),
    Attack("stalled reader", _FILL_S + _SLOW_LIMIT_S, stalled_reader),
    Attack("200 half requests", _HEAD_LIMIT_S, half_requests),
    Attack("oversized heads", _CLOSE_LIMIT_S, oversized_heads),
    Attack("key in the URL", _CLOSE_LIMIT_S, key_in_url),
    Attack("wrong keys", _CLOSE_LIMIT_S, wrong_keys),
    Attack("bad JSON", _CLOSE_LIMIT_S, bad_json),
    Attack("deep JSON", _CLOSE_LIMIT_S, deep_json),
    Attack("frames of 1 MB", _CLOSE_LIMIT_S, big_frames),
    Attack("command flood", _GOES_ON_S, command_flood),
    Attack("subscribe and unsubscribe", None, subscribe_churn),
)
