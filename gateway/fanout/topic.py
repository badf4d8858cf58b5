"""One open channel, as a worker knows it: its position, its newest message, who wants it. Pure."""

from collections import deque
from collections.abc import Iterable
from functools import partial
from math import inf
from typing import NamedTuple

from feeds.market import Channel, Moment, Publication
from gateway.fanout.group import Groups
from gateway.fanout.history import History, entries_of
from gateway.fanout.lane import Lane
from gateway.fanout.message import MESSAGES, Message, is_sound
from gateway.fanout.rates import ALL
from gateway.fanout.session import Session
from gateway.fanout.subscription import Subscription
from gateway.protocol import By, StateName

HELD_MAX = 10_000
"""Live messages of one channel kept while its history is read; an overflow becomes a gap."""


class Standing(NamedTuple):
    """A channel's state, and whose doing it is if it isn't `live`."""

    state: StateName
    by: By | None = None


class Head(NamedTuple):
    """What Redis keeps of a channel: where it is, and the messages asked for, oldest first."""

    epoch: str
    seq: int
    log: list[Publication]


class Place(NamedTuple):
    """A position in a channel's epoch, and the newest message there."""

    seq: int
    newest: Message | None


class Topic:
    """One open channel."""

    __slots__ = (
        "_make",
        "channel",
        "covered",
        "empty_since_s",
        "epoch",
        "feed",
        "groups",
        "held",
        "history",
        "is_new",
        "lanes",
        "newest",
        "read_s",
        "seq",
        "sessions",
        "since_us",
        "standing",
    )

    def __init__(self, channel: Channel, now_s: float) -> None:
        self.channel = channel
        self.feed = channel.feed
        self._make = MESSAGES[channel.promises.conflation]
        self.epoch: str | None = None
        """None until the first message, or until Redis has told its head."""
        self.seq = 0
        self.is_new = True
        """Until its history was read for the first time: then 0 is a position like any other."""
        self.newest: Message | None = None
        self.held: deque[Publication] | None = deque(maxlen=HELD_MAX)
        """Live messages that wait for the history before them; None: they go straight through."""
        self.covered = 0
        """How many of those came before the reading that is under way: it has them all."""
        self.history = History(channel.name)
        self.read_s = -inf
        """When Redis last answered what it keeps of it."""
        self.sessions: dict[Session, Subscription] = {}
        self.groups: Groups = {}
        """Those who want every message."""
        self.lanes: dict[str, Lane] = {}
        """The others, by rate."""
        self.standing = Standing("waiting")
        self.since_us = 0
        self.empty_since_s: float | None = now_s

    @property
    def read_after(self) -> int | None:
        """After which seq its history is wanted; None: the newest message is all that matters."""
        return None if self.is_new else self.seq

    def begin_reading(self) -> int | None:
        """`read_after`, for a reading that begins now."""
        self.covered = len(self.held or ())
        return self.read_after

    def message(self, publication: Publication, at: Moment) -> Message | None:
        """What its subscribers are sent; None for what may not be passed on."""
        if not (self.channel.promises.trusted or is_sound(publication.payload)):
            return None
        return self._make(self.channel.name, publication.seq, publication.payload, at.utc_us)

    def recall(self, log: Iterable[Publication], asked: int, at: Moment) -> None:
        """What its stream was read for after a seq, oldest first: for those who come back."""
        self.read_s = at.monotonic_s
        of_now = (one for one in log if one.epoch == self.epoch)
        entries = entries_of(self.channel.name, of_now, partial(self.message, at=at))
        self.history.recall(entries, asked)

    def is_torn_before(self, publication: Publication) -> bool:
        """Whether something was lost on the way to here, and may still be in the stream."""
        missing = publication.missing.messages if publication.missing else 0
        is_ours = self.epoch in (None, publication.epoch)
        return is_ours and publication.seq - missing > self.seq + 1

    def place(self, rate: str) -> Place:
        """Where one who joins at a rate stands: what comes after that will come."""
        lane = self.lanes.get(rate)
        if lane is None or not lane.is_pending:
            return Place(self.seq, self.newest)
        return Place(lane.before, lane.newest)

    def groups_at(self, rate: str) -> Groups:
        """Those who want it at a rate; a new lane's, if nobody does yet."""
        if rate == ALL:
            return self.groups
        lane = self.lanes.get(rate)
        if lane is None:
            lane = self.lanes[rate] = Lane(rate)
        return lane.groups

    def begins_anew(self, head: Head) -> bool:
        """Whether Redis is in another epoch, so that `read_after` is no place in its history."""
        return self.epoch is not None and self.epoch != head.epoch
