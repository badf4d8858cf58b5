"""A client: what it wants, when it is slow or away, and the account of all that it is told."""

from collections.abc import Callable, Sequence
from random import Random
from typing import Any, Final

import msgspec

from feeds.market import Channel
from gateway.consumer.subscriber import Missed, Reconnecting, Subscriber, Terms
from gateway.errors import CLOSES
from gateway.fanout.frames import unframed
from gateway.fanout.rates import RATES, served
from gateway.protocol import EncodingName, Gap, Reset, Subscribe, Unsubscribe
from tests.simulation.account import Account
from tests.simulation.socket import Socket
from tests.simulation.truth import Violation

_AGAIN_S: Final = 1.0
_DECODERS: Final = {"json": msgspec.json.decode, "msgpack": msgspec.msgpack.decode}
_ENCODERS: Final = {"json": msgspec.json.encode, "msgpack": msgspec.msgpack.encode}


class Client:
    """Drives the product's Subscriber, and checks both what it gets and what it makes of it."""

    def __init__(
        self,
        name: str,
        random: Random,
        encoding: EncodingName,
        *,
        account: Callable[[Channel, set[str]], Account],
        begun: Sequence[Channel],
        now_s: Callable[[], float],
        record: Callable[[str, bytes], None],
    ) -> None:
        self.name = name
        self.random = random
        self.encoding: EncodingName = encoding
        self.plan_is_narrow = False
        self.wanted: dict[str, Terms] = {}
        self._wildcards: dict[str, Terms] = {}
        """Names with a `*`, of which each new channel is wanted too."""
        self._again_s = 0.0
        """When they are asked for again."""
        self.socket: Socket | None = None
        self.back_at_s = 0.0
        self.accounts: dict[str, Account] = {}
        self._subscriber = Subscriber(Random(random.random()))
        self._new_account = account
        self._begun = begun
        self._now_s = now_s
        self._record = record
        self._sent: dict[Any, Subscribe | Unsubscribe] = {}
        self._ended: set[str] = set()
        """Channels whose unsubscription was acknowledged on this connection."""
        self._told_to: dict[str, int] = {}
        """By channel, the last seq that the Subscriber has passed on or told as missing."""
        self._newest_may_come: set[str] = set()
        """Channels of which the newest value up to there may follow."""
        self._blame: set[str] = set()

    # What it does.

    def connected(self, socket: Socket) -> None:
        self.socket = socket
        self.accounts.clear()
        self._sent.clear()
        self._ended.clear()
        self._blame = {"plan"} if self.plan_is_narrow else set()
        self._subscriber.connected()
        self._send()

    def leave(self, away_s: float) -> None:
        if self.socket is not None:
            self.socket.drop()
            self._away(away_s)

    def want(self, name: str, terms: Terms) -> None:
        if name.endswith("*"):
            self._wildcards[name] = terms
        else:
            self.wanted[name] = terms
        self._ask(name, terms)

    def want_no_more(self, name: str) -> None:
        self._wildcards.pop(name, None)
        for one in [one for one in self.wanted if is_meant(one, name)]:
            del self.wanted[one]
        if self.socket is not None and any(is_meant(one, name) for one in self.accounts):
            list(self._subscriber.unsubscribe([name]))
            self._send()

    def tend(self) -> None:
        """What was refused for now is asked again."""
        if self.socket is None or self.socket.is_leaving:
            return
        self._subscriber.due_in_s(self._now_s())
        self._ask_for_new()
        asked = [one for command in self._sent.values() for one in command.channels]
        for name, terms in self.wanted.items():
            if name not in self.accounts and not _is_among(name, asked):
                self._ask(name, terms)
        for name in list(self.accounts):
            if name not in self.wanted and not _is_among(name, asked):
                list(self._subscriber.unsubscribe([name]))
        self._send()

    def _ask_for_new(self) -> None:
        """A `*` stands for what is known when it is asked."""
        if self._now_s() < self._again_s:
            return
        self._again_s = self._now_s() + _AGAIN_S
        for name, terms in self._wildcards.items():
            if not all(one.name in self.wanted for one in self._begun if is_meant(one.name, name)):
                self._ask(name, terms)

    def is_served(self) -> bool:
        """Whether everything that it wants is up to date here."""
        return (
            self.socket is not None
            and self.accounts.keys() == self.wanted.keys()
            and all(
                one.name in self.wanted
                for one in self._begun
                for name in self._wildcards
                if is_meant(one.name, name)
            )
            and not self._sent
            and all(one.is_current() and one.shows_newest() for one in self.accounts.values())
        )

    def _ask(self, name: str, terms: Terms) -> None:
        if self.socket is not None:
            list(self._subscriber.subscribe([name], terms))
            self._send()

    def _send(self) -> None:
        assert self.socket is not None
        while self._subscriber.unsent:
            command = self._subscriber.unsent.popleft().command
            if isinstance(command, Subscribe | Unsubscribe):
                self._sent[command.id] = command
            for name, account in self.accounts.items():
                if _is_among(name, getattr(command, "channels", ())):
                    account.is_ending |= isinstance(command, Unsubscribe)
                    account.is_changing |= isinstance(command, Subscribe)
            packed = _ENCODERS[self.encoding](command)
            self.socket.say(packed.decode() if self.encoding == "json" else packed)

    # What it hears.

    def hear(self, frames: bytes) -> None:
        self._record(self.name, frames)
        assert self.socket is not None
        if self.socket.was_full:
            self._blame.add("slow")
        for payload in unframed(frames):
            told = _DECODERS[self.encoding](payload)
            self._check(told)
            self._subscriber.hear(told, self._now_s())
            self._check_passed_on()
        self._send()

    def closed(self, code: int) -> None:
        self._record(self.name, b"%d" % code)
        if code == CLOSES["internal"].code:
            raise Violation(f"{self.name}: the gateway failed")
        self._away(self.random.uniform(0.0, 0.5))

    def _away(self, seconds: float) -> None:
        self.socket = None
        self.back_at_s = self._now_s() + seconds

    def _check(self, told: dict[str, Any]) -> None:
        match told:
            case {"type": "ack"}:
                self._check_ack(told)
            case {"type": "error"}:
                if told["code"] not in ("rate_limited", "replay_later"):
                    raise Violation(f"{self.name}: {told}")
                self._sent.pop(told["id"], None)
            case {"ch": str() as name}:
                if name not in self.accounts:
                    why = "after its end" if name in self._ended else "before its ack"
                    raise Violation(f"{self.name}: {name} is told {why}: {told}")
                self.accounts[name].heard(told)
            case _:
                pass

    def _check_ack(self, told: dict[str, Any]) -> None:
        command = self._sent.pop(told["id"])
        if not _answers(told, command):
            raise Violation(f"{self.name}: {told} is no answer to {command}")
        for row in told.get("ok", ()):
            name = row["ch"]
            if isinstance(command, Subscribe) and name not in command.channels:
                self._found(name, command)
            if isinstance(command, Unsubscribe):
                self.accounts.pop(name, None)
                self._told_to.pop(name, None)
                self._ended.add(name)
                continue
            channel = Channel.parse(name)
            account = self.accounts.setdefault(name, self._new_account(channel, self._blame))
            self._ended.discard(name)
            since = _plain((command.since or {}).get(name))
            rate, on_lag = _served(channel, command)
            if row["rate"] != rate:
                raise Violation(f"{self.name}: {row} instead of {rate}")
            to_come = [type(one) for one in self._sent.values() if _is_among(name, one.channels)]
            account.is_ending = Unsubscribe in to_come
            account.acked(row, since, rate, on_lag)
            account.is_changing = Subscribe in to_come
            if name not in self._told_to:
                self._begin(name, row.get("seq", 0))

    def _found(self, name: str, command: Subscribe) -> None:
        """One that a `*` stands for, unless that is not wanted any more."""
        if name not in [one.name for one in self._begun]:
            raise Violation(f"{self.name}: there is no {name}")
        if any(is_meant(name, one) for one in self._wildcards):
            self.wanted[name] = Terms(command.rate, command.on_lag)

    def _check_passed_on(self) -> None:
        """What the client's core makes of it: each seq once, in order, or told as missing."""
        messages = self._subscriber.messages
        while messages:
            match messages.popleft():
                case Missed() as missed:
                    if missed.why == "unannounced":
                        raise Violation(f"{self.name}: {missed}")
                    self._advance(missed.ch, missed.first, missed.last)
                    self._newest_may_come.add(missed.ch)
                case Gap() as gap:
                    self._advance(gap.ch, gap.first, gap.last)
                case Reset() as reset:
                    self._begin(reset.ch, reset.seq)
                case {"gw": _, "ch": str() as name, "seq": int() as seq} as told:
                    is_conflated = Channel.parse(name).promises.conflation is not None
                    count = told.get("n", 1) if is_conflated else 1
                    self._advance(name, seq - count + 1, seq)
                case Reconnecting() | _:
                    pass

    def _begin(self, name: str, seq: int) -> None:
        self._told_to[name] = seq
        self._newest_may_come.add(name)

    def _advance(self, name: str, first: int, last: int) -> None:
        at = self._told_to[name]
        is_newest = name in self._newest_may_come and last <= at
        self._newest_may_come.discard(name)
        if is_newest:
            return
        account = self.accounts.get(name)
        is_ending = account is not None and account.is_ending
        if first <= at or (first > at + 1 and not is_ending):
            raise Violation(f"{self.name}: the client's core tells {name} {first}..{last} at {at}")
        self._told_to[name] = last


def is_meant(name: str, by: str) -> bool:
    """Whether a name, or one with a `*`, means a channel."""
    return name == by or (by.endswith("*") and name.startswith(by[:-1]))


def _is_among(name: str, asked: Sequence[str]) -> bool:
    return any(is_meant(name, one) for one in asked)


def _answers(told: dict[str, Any], command: Subscribe | Unsubscribe) -> bool:
    """Each name once; a `*` is answered by each channel that it stands for, or refused itself."""
    rows = [row["ch"] for row in (*told.get("ok", ()), *told.get("err", ()))]
    by_name = [name for name in command.channels if not name.endswith("*")]
    others = [name for name in rows if name not in by_name]
    return (
        len(set(rows)) == len(rows)
        and set(by_name) <= set(rows)
        and all(_is_among(name, command.channels) for name in others)
        and all(any(is_meant(row, name) for row in rows) for name in command.channels)
    )


def _plain(since: object) -> object:
    """A Position as it is on the wire."""
    return None if since is None else msgspec.to_builtins(since)


def _served(channel: Channel, command: Subscribe) -> tuple[str, str]:
    assert command.rate in RATES
    rate = served(channel.promises, command.rate)
    on_lag = command.on_lag or channel.promises.on_lag
    if rate != "all" and on_lag == "gap":
        on_lag = "conflate"
    elif channel.promises.conflation is None and on_lag == "conflate":
        on_lag = "gap"
    return rate, on_lag
