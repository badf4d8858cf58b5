"""A client's side of the protocol: what it asked for, what it was told, what it must ask again.

Pure: decoded frames in, commands and messages out; no socket, times are handed in. Subscriptions
outlive connections: after a new one they are asked for again, each from its position.
"""

import logging
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from itertools import count
from random import Random
from typing import Any, Final

import msgspec

from feeds.market.channel import OnLag
from gateway.consumer.errors import CommandRefusedError, StreamError, UnansweredError, back_off_s
from gateway.consumer.positions import Missed, Positions
from gateway.errors import ERRORS
from gateway.fanout.rates import is_conflated
from gateway.protocol import (
    Ack,
    Announcement,
    CommandId,
    Drain,
    Error,
    Gap,
    Lag,
    Reset,
    State,
    Subscribe,
    Unsubscribe,
    Welcome,
)

_log = logging.getLogger(__name__)

CHANNELS_PER_COMMAND: Final = 50
_ASKED_MAX: Final = 1_000

Data = dict[str, Any]
"""One message of a channel. `Any`: the fields are the publisher's; README.md names ours."""


class Reconnecting(msgspec.Struct, frozen=True, tag_field="type", tag="reconnecting"):
    """The connection ended, or could not be had again; the next try is in `wait_s`."""

    reason: str
    attempt: int
    wait_s: float


Message = Data | Gap | Missed | Reset | State | Lag | Drain | Error | Ack | Welcome | Reconnecting


class Terms(msgspec.Struct, frozen=True):
    """What was asked of a channel."""

    rate: str = "all"
    on_lag: OnLag | None = None


class Request:
    """A command and its answer."""

    def __init__(self, command: Subscribe | Unsubscribe, *, ours: bool, tries: int) -> None:
        self.command = command
        self.answer: Ack | StreamError | None = None
        self.ours = ours
        """Asked by the client of itself, as part of coming back."""
        self.tries = tries


class Subscriber:
    """Of one stream, across its connections."""

    def __init__(self, random: Random) -> None:
        self.messages: deque[Message] = deque()
        """For the reader, who bounds it by not hearing more."""
        self.unsent: deque[Request] = deque()
        self.positions = Positions()
        self._random = random
        self._terms: dict[str, Terms] = {}
        """What is subscribed."""
        self._conflated: set[str] = set()
        """Channels whose `n` is the number of messages that one stands for, not the publisher's."""
        self._here: set[str] = set()
        """Channels that this connection serves: they go on from where they are."""
        self._asked: dict[CommandId, Request] = {}
        self._later: list[tuple[float, Request]] = []
        self._ids = count(1)

    def subscribe(self, names: Sequence[str], terms: Terms) -> Iterator[Request]:
        """Requests to send, at most 50 channels each. Raises UnansweredError."""
        for some in _batches(names):
            yield self._ask(self._subscription(some, terms), ours=False)

    def unsubscribe(self, names: Sequence[str]) -> Iterator[Request]:
        for some in _batches(names):
            yield self._ask(Unsubscribe(some, next(self._ids)), ours=False)

    def connected(self) -> None:
        """There is a connection: everything that holds or was asked is to be asked again."""
        waiting = [request for request in self._asked.values() if not request.ours]
        self._forget_requests()
        self._here.clear()
        of_terms: dict[Terms, list[str]] = {}
        for name, terms in self._terms.items():
            of_terms.setdefault(terms, []).append(name)
        for terms, names in of_terms.items():
            for some in _batches(names):
                self._ask(self._subscription(some, terms), ours=True)
        for request in waiting:
            self._renew(request)
            self._put(request)

    def ended(self, error: StreamError) -> None:
        """There will be no other connection."""
        for request in self._asked.values():
            request.answer = request.answer or error
        self._forget_requests()

    def due_in_s(self, now_s: float) -> float | None:
        """Makes ready what was to be asked later; the seconds until the next; None: nothing is."""
        for row in [row for row in self._later if row[0] <= now_s]:
            self._renew(row[1])
            self._later.remove(row)
            self.unsent.append(row[1])
        return min((due_s - now_s for due_s, _ in self._later), default=None)

    def hear(self, told: Data, now_s: float) -> None:
        """One decoded frame. Raises msgspec.ValidationError for what this version doesn't know."""
        match told:
            # Only data have `gw`; a publisher's own field may well be called `type`.
            case {"gw": _, "ch": str() as name, "seq": int() as seq}:
                self._hear_data(name, seq, told)
            case _:
                self._hear_announcement(msgspec.convert(told, Announcement), now_s)

    def _hear_data(self, name: str, seq: int, told: Data) -> None:
        messages = told.get("n", 1) if name in self._conflated else 1
        is_new, missed = self.positions.came(name, seq, messages)
        self._deplore(missed)
        if is_new:
            self.messages.append(told)

    def _hear_announcement(self, announcement: Announcement, now_s: float) -> None:
        match announcement:
            case Ack():
                self._acknowledged(announcement, now_s)
            case Error() if announcement.id in self._asked:
                self._refused(self._asked.pop(announcement.id), announcement, now_s)
            case Gap():
                is_new, missed = self.positions.announced(announcement)
                self._deplore(missed)
                if is_new:
                    self.messages.append(announcement)
            case Reset():
                self.positions.began_anew(announcement)
                self.messages.append(announcement)
            case State():
                if announcement.epoch is not None:
                    self.positions.begins(announcement.ch, announcement.epoch)
                self.messages.append(announcement)
            case Lag() | Drain() | Error():
                self.messages.append(announcement)

    def _acknowledged(self, ack: Ack, now_s: float) -> None:
        request = self._asked.pop(ack.id, None)
        match request:
            case Request(command=Subscribe() as command):
                if request.ours:
                    self.messages.append(ack)
                    lost = [row.ch for row in ack.err if row.retry]
                    self._drop(row.ch for row in ack.err if not row.retry)
                    self._ask_again(lost, request.tries, now_s)
                terms = Terms(command.rate, command.on_lag)
                for told in ack.ok:
                    self._here.add(told.ch)
                    self._terms[told.ch] = terms
                    if is_conflated(told.ch):
                        self._conflated.add(told.ch)
                    self._append(self.positions.accepted(told))
            case Request(command=Unsubscribe()):
                self._drop(told.ch for told in ack.ok)
        if request is not None:
            request.answer = ack

    def _refused(self, request: Request, error: Error, now_s: float) -> None:
        if error.code == ERRORS["rate_limited"].code:
            self._asked[request.command.id] = request
            self._later.append((now_s + (error.after_ms or 1_000) / 1_000, request))
            return
        request.answer = CommandRefusedError(error)
        if not request.ours or not isinstance(request.command, Subscribe):
            return
        self.messages.append(error)
        if error.retry:
            self._ask_again(request.command.channels, request.tries, now_s)
        else:
            self._drop(request.command.channels)

    def _ask_again(self, names: Sequence[str], tries: int, now_s: float) -> None:
        """Subscriptions that we held are not given up because a gateway can't serve them now."""
        of_terms: dict[Terms, list[str]] = {}
        for name in names:
            if name in self._terms:
                of_terms.setdefault(self._terms[name], []).append(name)
        for terms, some in of_terms.items():
            request = Request(self._subscription(some, terms), ours=True, tries=tries + 1)
            self._asked[request.command.id] = request
            self._later.append((now_s + back_off_s(tries, self._random), request))

    def _subscription(self, names: list[str], terms: Terms) -> Subscribe:
        return Subscribe(names, next(self._ids), terms.rate, terms.on_lag, self._since(names))

    def _renew(self, request: Request) -> None:
        """Before it is sent, perhaps once more."""
        if isinstance(command := request.command, Subscribe):
            since = self._since(command.channels)
            request.command = msgspec.structs.replace(command, since=since)

    def _since(self, names: Sequence[str]) -> dict[str, object] | None:
        """Positions of what this connection was not asked for yet: the rest goes on by itself, and
        would be told twice."""
        asked: set[str] = set()
        later = [request for _, request in self._later]
        for request in self._asked.values():
            if isinstance(request.command, Subscribe) and request not in later:
                asked.update(request.command.channels)
        prefixes = tuple(name[:-1] for name in asked if name.endswith(":*"))
        since = {
            name: position
            for name, position in self.positions.since(names).items()
            if name not in self._here and name not in asked and not name.startswith(prefixes)
        }
        return since or None

    def _ask(self, command: Subscribe | Unsubscribe, *, ours: bool) -> Request:
        if len(self._asked) >= _ASKED_MAX and not ours:
            raise UnansweredError(f"{_ASKED_MAX} commands wait for an answer already")
        request = Request(command, ours=ours, tries=1)
        self._put(request)
        return request

    def _put(self, request: Request) -> None:
        self._asked[request.command.id] = request
        self.unsent.append(request)

    def _forget_requests(self) -> None:
        self._asked.clear()
        self.unsent.clear()
        self._later.clear()

    def _drop(self, names: Iterable[str]) -> None:
        for name in names:
            self._terms.pop(name, None)
            self._here.discard(name)
            self._conflated.discard(name)
            self.positions.forget(name)

    def _append(self, message: Message | None) -> None:
        if message is not None:
            self.messages.append(message)

    def _deplore(self, missed: Missed | None) -> None:
        if missed is not None:
            _log.error(
                "an unannounced hole channel=%s from=%d to=%d", missed.ch, missed.first, missed.last
            )
            self.messages.append(missed)


def _batches(names: Sequence[str]) -> Iterator[list[str]]:
    for start in range(0, len(names), CHANNELS_PER_COMMAND):
        yield list(names[start : start + CHANNELS_PER_COMMAND])
