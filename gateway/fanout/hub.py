"""Channels and who listens to them: one publication in, the same frames out to everyone. Pure.

Keeps each open channel's position, so that a hole in seq, a repetition or a new epoch is seen and
said; its state, so that silence has a name; and for each rate what waits for its interval's end.
"""

from collections import deque
from collections.abc import Iterable

from feeds.market import Channel, Moment, Publication
from gateway.fanout.fanout import Fanout
from gateway.fanout.history import gaps_before
from gateway.fanout.lane import Pending
from gateway.fanout.message import Notice
from gateway.fanout.rates import LATEST, interval_s
from gateway.fanout.session import Session
from gateway.fanout.subscription import Subscription
from gateway.fanout.topic import HELD_MAX, Head, Standing, Topic
from gateway.protocol import Gap, Reset, State


class Hub:
    """All open channels and sessions of this worker."""

    def __init__(self, fanout: Fanout) -> None:
        self.topics: dict[str, Topic] = {}
        self.fanout = fanout
        self.sessions: set[Session] = set()
        self.counts = fanout.counts
        self.pending = Pending()
        """What waits for the end of its interval, or for the next flush."""
        self.torn: list[str] = []
        """Channels with a hole that nobody explains: their history is to be read, and `resume`."""

    def open(self, channel: Channel, now_s: float) -> Topic:
        """The channel's topic; where it is new, it holds live messages until `resume`."""
        topic = self.topics.get(channel.name)
        if topic is None:
            topic = self.topics[channel.name] = Topic(channel, now_s)
        return topic

    def close(self, name: str) -> None:
        """Forgets a channel that nobody watches."""
        topic = self.topics.pop(name)
        assert not topic.sessions

    def idle(self, now_s: float, linger_s: float) -> list[str]:
        """Channels that nobody has watched for `linger_s`."""
        return [
            name
            for name, topic in self.topics.items()
            if topic.empty_since_s is not None and now_s - topic.empty_since_s >= linger_s
        ]

    def subscribe(
        self, session: Session, names: Iterable[str], subscription: Subscription, now_s: float
    ) -> list[Topic]:
        """Adds or changes a session's subscriptions of open channels; what waits goes out first."""
        self.fanout.flush(now_s)
        topics = [self.topics[name] for name in names]
        left: list[tuple[Topic, str]] = []
        for topic in topics:
            before = topic.sessions.get(session)
            if before is not None and before.rate != subscription.rate:
                self._let_go(topic, session, before, subscription.rate, now_s)
                left.append((topic, before.rate))
            # What waits of it is told before the ack, and what follows after it.
            session.seal(topic.channel.name, now_s)
            topic.sessions[session] = subscription
            topic.empty_since_s = None
            session.channels[topic.channel.name] = subscription
        self._regroup(session, now_s)
        for topic, rate in left:
            self._forget_lane(topic, rate)
        return topics

    def unsubscribe(self, session: Session, names: Iterable[str], now_s: float) -> None:
        """What was published before goes out first, but for what waits for an interval's end."""
        self.fanout.flush(now_s)
        left: list[tuple[Topic, str]] = []
        for name in names:
            topic, rate = self.topics[name], session.channels.pop(name).rate
            session.outbox.forget(name)
            left.append((topic, rate))
            del topic.sessions[session]
            if not topic.sessions:
                topic.empty_since_s = now_s
        self._regroup(session, now_s)
        for topic, rate in left:
            self._forget_lane(topic, rate)

    def leave(self, session: Session, now_s: float) -> None:
        """The session is gone."""
        self.unsubscribe(session, list(session.channels), now_s)
        self.sessions.discard(session)

    def _regroup(self, session: Session, now_s: float) -> None:
        places = {
            (name, subscription.rate): self.topics[name].groups_at(subscription.rate)
            for name, subscription in session.channels.items()
        }
        self.fanout.regroup(session, places, now_s)

    def _let_go(
        self, topic: Topic, session: Session, before: Subscription, rate: str, now_s: float
    ) -> None:
        """One who leaves a rate for another gets what is pending, unless the other has it too."""
        lane = topic.lanes.get(before.rate)
        if lane is not None and lane.is_pending and topic.place(rate).seq > lane.before:
            session.deliver(lane.pending(), before, now_s)

    def hurry(self, topic: Topic, rate: str, now_s: float) -> bool:
        """Lets go of what is pending before its interval ends: for one who has a part of it.

        At most once an interval, as everybody at the rate gets it; whether nothing is pending now.
        """
        lane = topic.lanes.get(rate)
        if lane is None or not lane.is_pending:
            return True
        if now_s - lane.hurried_s < interval_s(rate):
            return False
        lane.hurried_s = now_s
        self.pending.discard(lane)
        self.fanout.send(lane.groups, lane.take())
        return True

    def can_change(self, topic: Topic, session: Session, rate: str, now_s: float) -> bool:
        """Whether a session can go over to a rate without being told anything twice."""
        before = topic.sessions.get(session)
        if before is None or topic.place(rate).seq == topic.place(before.rate).seq:
            return True
        return self.hurry(topic, rate, now_s)

    def _forget_lane(self, topic: Topic, rate: str) -> None:
        lane = topic.lanes.get(rate)
        if lane is not None and not lane.groups:
            del topic.lanes[rate]
            self.pending.discard(lane)

    def flush(self, now_s: float) -> None:
        """Sends what was published since the last time, but for what an interval's end is for."""
        self.emit(LATEST)
        self.fanout.flush(now_s)

    def emit(self, rate: str) -> None:
        """The end of a rate's interval: what is pending goes out with the next flush."""
        for lane in self.pending.take(rate):
            self.fanout.send(lane.groups, lane.take())

    def hold(self, name: str) -> None:
        """The bus was interrupted: live messages wait until `resume` has told what came between."""
        topic = self.topics[name]
        if topic.held is None:
            topic.held = deque(maxlen=HELD_MAX)

    def resume(self, name: str, head: Head | None, at: Moment) -> None:
        """What Redis keeps of a channel, read after a subscription to it was confirmed.

        `head.log` has what came after `read_after`, or the newest message where the topic begins
        (anew); None is a channel that Redis doesn't know (yet, or any more). Head and log are two
        readings: the log may be a moment ahead, even in a later epoch.
        """
        topic = self.topics.get(name)
        if topic is None:
            return
        held = [(one, number >= topic.covered) for number, one in enumerate(topic.held or ())]
        topic.held = None
        topic.read_s = at.monotonic_s
        before = topic.epoch
        if head is not None and topic.is_new:
            self._begin(topic, head, at)
        elif head is not None and topic.begins_anew(head):
            self._begin_anew(topic, head, at)
        elif head is not None:
            for publication in head.log:
                self._accept(topic, publication, at)
        topic.is_new = False
        if before not in (None, topic.epoch):
            # Held since before Redis lost its memory: of an epoch that is over.
            held = [(one, is_late) for one, is_late in held if one.epoch != before]
        held = _since_epoch(topic.epoch, held)
        for number, (publication, is_late) in enumerate(held):
            if is_late and topic.is_torn_before(publication):
                # What is missing may have been published after the reading: another one tells.
                topic.held = deque((one for one, _ in held[number:]), maxlen=HELD_MAX)
                self.torn.append(name)
                break
            self._accept(topic, publication, at)
        if head is not None and topic.epoch in (None, head.epoch) and head.seq > topic.seq:
            self._announce_gap(topic, Gap(topic.channel.name, topic.seq + 1, head.seq, "bus"))
            topic.epoch, topic.seq = head.epoch, head.seq

    def take_torn(self) -> list[str]:
        """`torn`, which somebody is going to see to."""
        taken, self.torn = self.torn, []
        return taken

    def publish(self, name: str, publication: Publication, at: Moment) -> None:
        """One live message of the bus, to every session of its channel."""
        topic = self.topics.get(name)
        if topic is None:
            return
        self.counts.messages_in += 1
        if topic.held is None and topic.is_torn_before(publication):
            self.hold(name)
            self.torn.append(name)
        if topic.held is None:
            self._accept(topic, publication, at)
        else:
            topic.held.append(publication)

    def stand(self, topic: Topic, standing: Standing, at: Moment) -> None:
        """Gives a channel a state; its subscribers are told of a change, once."""
        if topic.standing != standing:
            topic.standing, topic.since_us = standing, at.utc_us
            name = topic.channel.name
            self._announce(topic, Notice(State(name, standing.state, at.utc_us, standing.by)))

    def _begin(self, topic: Topic, head: Head, at: Moment) -> None:
        topic.epoch, topic.seq, topic.newest = head.epoch, head.seq, None
        newest = head.log[-1] if head.log else None
        # The log may have been read a moment after the head.
        if newest is not None and newest.epoch == head.epoch and newest.seq >= head.seq:
            topic.seq = newest.seq
            topic.newest = topic.message(newest, at)
        topic.history.begin(topic.seq)

    def _begin_anew(self, topic: Topic, head: Head, at: Moment) -> None:
        """Redis lost its memory meanwhile: subscribers are told, and get the newest value."""
        newest = head.log[-1] if head.log else None
        if newest is not None and newest.epoch == head.epoch and newest.seq >= head.seq:
            self._reset(topic, head.epoch, newest.seq - 1)
            self._accept(topic, newest, at)
        else:
            self._reset(topic, head.epoch, head.seq)

    def _accept(self, topic: Topic, publication: Publication, at: Moment) -> None:
        if not self._advance(topic, publication, at):
            return
        before, message = topic.newest, topic.message(publication, at)
        if message is None:
            self.counts.unsound += 1
            self._announce_gap(
                topic, Gap(topic.channel.name, publication.seq, publication.seq, "feed")
            )
            return
        topic.newest = message
        topic.history.add(message)
        if topic.standing.state == "waiting":
            self.stand(topic, Standing("live"), at)
        self.fanout.send(topic.groups, message)
        for lane in topic.lanes.values():
            if lane.is_pending:
                self.counts.conflated += 1
            else:
                self.pending.add(lane)
            lane.add(message, before)

    def _advance(self, topic: Topic, publication: Publication, at: Moment) -> bool:
        """Moves the topic's position; whether the message is to be delivered."""
        seq = publication.seq
        if topic.epoch is None:
            self._tell_epoch(topic, publication.epoch, at)
        elif topic.epoch != publication.epoch:
            self._reset(topic, publication.epoch, seq - 1)
        if seq <= topic.seq:
            self.counts.duplicates += 1
            return False
        if seq > topic.seq + 1:
            for gap in gaps_before(topic.channel.name, topic.seq, publication):
                self._announce_gap(topic, gap)
        topic.seq = seq
        return True

    def _tell_epoch(self, topic: Topic, epoch: str, at: Moment) -> None:
        """Acks of a channel that had no message yet name none: no position without this."""
        topic.epoch = epoch
        if topic.standing.state == "waiting":
            topic.standing, topic.since_us = Standing("live"), at.utc_us
        standing, name = topic.standing, topic.channel.name
        self._announce(
            topic, Notice(State(name, standing.state, topic.since_us, standing.by, epoch))
        )

    def _announce_gap(self, topic: Topic, gap: Gap) -> None:
        self.counts.missing_by[gap.by] += gap.last - gap.first + 1
        notice = Notice(gap)
        topic.history.add(notice)
        self._announce(topic, notice)

    def _reset(self, topic: Topic, epoch: str, seq: int) -> None:
        topic.epoch, topic.seq, topic.newest = epoch, seq, None
        topic.history.begin(seq)
        self._announce(topic, Notice(Reset(topic.channel.name, epoch, seq, "bus")))

    def _announce(self, topic: Topic, notice: Notice) -> None:
        self.fanout.send(topic.groups, notice)
        for lane in topic.lanes.values():
            if notice.seals and lane.is_pending:
                self.pending.discard(lane)
                self.fanout.send(lane.groups, lane.take())
            self.fanout.send(lane.groups, notice)


def _since_epoch(
    epoch: str | None, held: list[tuple[Publication, bool]]
) -> list[tuple[Publication, bool]]:
    """Without what an epoch that is over has left behind, where the present one is there too."""
    first = next((at for at, (one, _) in enumerate(held) if one.epoch == epoch), 0)
    return held[first:]
