"""Clients that take little or nothing of what they subscribed to, and what became of them.

Half never read; half read a little every second. Their receive buffers are tiny, so that the rest
is the gateway's to hold.
"""

import select
import socket
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Final

import msgspec

from bench.beside import beside
from bench.fanout.plain_socket import subscribe, upgraded

RECEIVE_BUFFER: Final = 4_096
_SIP_BYTES: Final = 2_048
_SIP_EVERY_S: Final = 1.0


class Fates(msgspec.Struct, frozen=True):
    """Of the slow ones, at the end."""

    connections: int
    cut: int
    """Ended by the gateway, as they saw it."""
    closed: int
    """Closed with 4105, as the gateway counts: one that doesn't read is never told."""


class SlowReaders:
    """Some of them, each subscribed already."""

    def __init__(self, port: int, key: str, subscriptions: Sequence[Sequence[str]]) -> None:
        self._sockets = [upgraded(port, key, RECEIVE_BUFFER) for _ in subscriptions]
        for one, names in zip(self._sockets, subscriptions, strict=True):
            subscribe(one, names)
            one.setblocking(False)
        self._sippers = self._sockets[1::2]
        self._cut: set[socket.socket] = set()

    @contextmanager
    def reading(self) -> Iterator[None]:
        try:
            with beside(self._read_on):
                yield
        finally:
            for one in self._sockets:
                one.close()

    def fates(self, closed: int) -> Fates:
        return Fates(len(self._sockets), len(self._cut), closed)

    def _read_on(self, over: threading.Event) -> None:
        while not over.wait(_SIP_EVERY_S):
            for one in self._sippers:
                if one not in self._cut:
                    self._sip(one)
            self._cut.update(_hung_up([one for one in self._sockets if one not in self._cut]))

    def _sip(self, one: socket.socket) -> None:
        try:
            is_over = not one.recv(_SIP_BYTES)
        except BlockingIOError:
            return
        except OSError:
            is_over = True
        if is_over:
            self._cut.add(one)


def _hung_up(sockets: Sequence[socket.socket]) -> list[socket.socket]:
    """Those that a reset has reached: seen without reading."""
    by_descriptor = {one.fileno(): one for one in sockets}
    poll = select.poll()
    for descriptor in by_descriptor:
        poll.register(descriptor, 0)
    return [by_descriptor[descriptor] for descriptor, _ in poll.poll(0)]
