"""What Redis keeps and what `bus.lua` does to it, as a model. Pure.

A test runs the same calls against the real script in a real Redis and compares.
"""

import copy
from collections.abc import Callable, Sequence
from typing import NamedTuple

from feeds.market.bus_names import channel_of, keeps_finals

FINALS_MAX = 1_000
NODE_ENTRIES = 100
"""Redis trims a stream by whole nodes, of so many entries at most."""


class Entry(NamedTuple):
    seq: int
    message: bytes


class Log:
    """A stream. `last` outlives what is trimmed."""

    def __init__(self) -> None:
        self.entries: list[Entry] = []
        self.last = 0


class Head(NamedTuple):
    epoch: bytes
    seq: int
    publisher: bytes
    batch: int
    run: int
    """Of Redis, in which a publisher last vouched for it."""


class Held(NamedTuple):
    """A lease."""

    token: bytes
    until_us: int


class Keys:
    """All that Redis has in memory."""

    def __init__(self) -> None:
        self.heads: dict[str, Head] = {}
        self.logs: dict[str, Log] = {}
        self.finals: dict[str, list[bytes]] = {}
        """Messages of final candles: no epoch's end empties them."""
        self.sets: dict[bytes, dict[bytes, None]] = {}
        self.leases: dict[bytes, Held] = {}
        self.held_last: dict[bytes, bytes] = {}
        """By the key of a lease, the token of who held it last."""
        self.scripts: set[bytes] = set()

    def copy(self) -> "Keys":
        return copy.deepcopy(self)


class Published(NamedTuple):
    """What one message became."""

    channel: str
    epoch: str
    seq: int
    missing: str
    payload: bytes


class Fenced(Exception):  # noqa: N818 - an answer
    """The lease is not with who publishes."""


class BusModel:
    """The scripts.

    `on_published` is PUBLISH; `on_epoch` hears of epochs without a message."""

    def __init__(
        self,
        on_published: Callable[[Published, bytes], None],
        on_epoch: Callable[[str, bytes, int], None],
    ) -> None:
        self.keys = Keys()
        self.run = 1
        """Of Redis: another one after each restart."""
        self.publisher = b""
        """Who publishes just now."""
        self.trims_to: int | None = None
        """Fewer messages than a publisher asks to keep: somebody trims as well."""
        self._on_published = on_published
        self._on_epoch = on_epoch

    def call(
        self, names: Sequence[bytes], arguments: Sequence[bytes], now_us: int
    ) -> list[bytes | int]:
        """KEYS and ARGV of a valid call; its answer. Raises Fenced."""
        publisher, batch = arguments[0], int(arguments[1])
        if len(names) % 2 and self.holder(names[-1], now_us) != publisher:
            raise Fenced
        self.publisher = publisher
        answer: list[bytes | int] = []
        at = 2
        for head_name in names[: len(names) - len(names) % 2 : 2]:
            channel = channel_of(head_name.removesuffix(b":head").decode())
            most, missing, count = int(arguments[at]), arguments[at + 1], int(arguments[at + 2])
            payloads = arguments[at + 3 : at + 3 + count]
            at += 3 + count
            head = self.keys.heads.get(channel)
            is_new = bool(publisher) and (head is None or head.publisher != publisher)
            if head is None or is_new or not publisher or head.batch < batch:
                run = head.run if head is not None else 0
                if is_new and run not in (0, self.run):
                    head = None
                head = self._publish(channel, head, missing, payloads, most, now_us)
                head = head._replace(
                    publisher=publisher, batch=batch, run=self.run if is_new else run
                )
                self.keys.heads[channel] = head
            answer += [head.epoch, head.seq]
        return answer

    def begin_epoch(self, channel: str, epoch: bytes, seq: int, now_us: int) -> None:
        """What a worker does to a head that is behind what it has heard."""
        head = self.keys.heads.get(channel)
        if head is not None and head.epoch == epoch and head.seq < seq:
            self.keys.heads[channel] = head._replace(epoch=_epoch_at(now_us))
            self._on_epoch(channel, _epoch_at(now_us), head.seq)

    def forget_behind(self, names: Sequence[bytes], arguments: Sequence[bytes]) -> int:
        """`heads.lua`: what a publisher asks before it goes on."""
        behind = 0
        for head_name, epoch, seq in zip(names[::2], arguments[::2], arguments[1::2], strict=True):
            channel = channel_of(head_name.removesuffix(b":head").decode())
            head = self.keys.heads.get(channel)
            if head is None:
                continue
            is_older = len(head.epoch) == len(epoch) and head.epoch < epoch
            if is_older or (head.epoch == epoch and head.seq < int(seq)):
                del self.keys.heads[channel]
                self.keys.logs.pop(channel, None)
                behind += 1
            else:
                self.keys.heads[channel] = head._replace(run=self.run)
        return behind

    def holder(self, lease: bytes, now_us: int) -> bytes | None:
        """Whose token a lease has now."""
        held = self.keys.leases.get(lease)
        return held.token if held is not None and now_us < held.until_us else None

    def lease(self, names: Sequence[bytes], arguments: Sequence[bytes], now_us: int) -> list[int]:
        """`lease.lua`."""
        (lease, last), (what, token, ttl_ms) = names, arguments
        holder, before = self.holder(lease, now_us), self.keys.held_last.get(last)
        if what == b"leave":
            if holder == token:
                del self.keys.leases[lease]
            return [0, 0]
        is_anothers = before is not None and before != token
        if holder != token and (holder is not None or (what == b"keep" and is_anothers)):
            return [0, 1]
        self.keys.leases[lease] = Held(token, now_us + int(ttl_ms) * 1_000)
        self.keys.held_last[last] = token
        return [1, int(holder != token and is_anothers)]

    def after(self, channel: str, seq: int, count: int) -> list[Entry]:
        """The newest entries from `seq` on, newest first."""
        log = self.keys.logs.get(channel)
        entries = [] if log is None else [one for one in log.entries if one.seq >= seq]
        return entries[::-1][:count]

    def _publish(
        self,
        channel: str,
        head: Head | None,
        missing: bytes,
        payloads: Sequence[bytes],
        most: int,
        now_us: int,
    ) -> Head:
        epoch, seq = (head.epoch, head.seq) if head is not None else (b"", 0)
        if head is None:
            epoch = self._new_epoch(channel, now_us)
        if missing != b"-":
            seq += int(missing.partition(b":")[2])
        for payload in payloads:
            seq += 1
            log = self.keys.logs.setdefault(channel, Log())
            if seq <= log.last:
                epoch, seq = self._new_epoch(channel, now_us), 1
                log = self.keys.logs[channel] = Log()
            message = b"%b %d %b %b" % (epoch, seq, missing, payload)
            log.entries.append(Entry(seq, message))
            log.last = seq
            self._trim(log, most)
            if keeps_finals(channel.partition(":")[0]) and b'"final":true' in payload:
                kept = self.keys.finals.setdefault(channel, [])
                kept.append(message)
                del kept[:-FINALS_MAX]
            told = Published(channel, epoch.decode(), seq, missing.decode(), payload)
            self._on_published(told, message)
            missing = b"-"
        return Head(epoch, seq, b"", 0, 0)

    def _new_epoch(self, channel: str, now_us: int) -> bytes:
        self.keys.logs.pop(channel, None)
        return _epoch_at(now_us)

    def _trim(self, log: Log, most: int) -> None:
        if self.trims_to is not None:
            del log.entries[: -self.trims_to]
        elif len(log.entries) >= most + NODE_ENTRIES:
            del log.entries[:NODE_ENTRIES]


def _epoch_at(now_us: int) -> bytes:
    return b"%x%05x" % divmod(now_us, 1_000_000)
