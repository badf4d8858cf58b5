"""Any interleaving of what a bus does, against the truth of what it was.

Every seq reaches a subscriber once and in order, by itself or inside the `n` of a message that
stands for several, or lies in an announced gap or before a reset.
"""

from typing import NamedTuple

from hypothesis import example, given, settings
from hypothesis import strategies as st

from feeds.market import Channel, Missing, Moment, Publication
from gateway.fanout.hub import Hub
from gateway.fanout.subscription import Subscription
from gateway.fanout.topic import Head
from tests.tap import Joined, Tap, Unjoined, session_on

NAME = "trade:k:A"
AT = Moment(1_000_000, 10.0)


def publication(seq: int, epoch: str, missing: Missing | None) -> Publication:
    return Publication(epoch, seq, b'{"id":"%b-%d"}' % (epoch.encode(), seq), missing)


class Step(NamedTuple):
    """One thing that the bus does; `number` is how many, or how much."""

    what: str
    number: int = 1


class Truth:
    """One channel as Redis has it, and the connection by which a hub hears of it."""

    def __init__(self, hub: Hub) -> None:
        self.hub = hub
        self.epochs = 0
        self.now_s = 0.0
        self.seq = 0
        self.log: list[Publication] = []
        self.is_connected = True
        self.arrived: list[Publication] = []
        self.never_published: set[tuple[str, int]] = set()

    @property
    def epoch(self) -> str:
        return f"k{self.epochs}"

    def later(self) -> float:
        """Each time by more than any interval lasts."""
        self.now_s += 10.0
        return self.now_s

    def publish(self, missing: int = 0, *, is_lost: bool = False) -> None:
        if self.seq == 0:
            self.epochs += 1
        self.never_published |= {(self.epoch, self.seq + n + 1) for n in range(missing)}
        self.seq += missing + 1
        missed = Missing("feed", missing) if missing else None
        made = publication(self.seq, self.epoch, missed)
        self.log.append(made)
        if self.is_connected and not is_lost:
            self.arrived.append(made)
            self.hub.publish(NAME, made, AT)

    def repeat(self, back: int) -> None:
        """A message that came before comes again, if its epoch is the one of the last."""
        same = [one for one in self.arrived[-back:] if one.epoch == self.arrived[-1].epoch]
        if self.is_connected and same:
            self.hub.publish(NAME, same[0], AT)

    def forget(self) -> None:
        """Redis has lost its memory."""
        self.seq, self.log = 0, []

    def resume(self, races: int, between: str) -> None:
        """Reads as a worker does, while the bus goes on, and hands it to the hub."""
        self.is_connected = True
        topic = self.hub.topics[NAME]
        head = self._read(topic.begin_reading(), races, between)
        if head is not None and topic.begins_anew(head):
            head = self._read(None, races, between)
        self.hub.resume(NAME, head, AT)

    def _read(self, after: int | None, races: int, between: str) -> Head | None:
        epoch, seq = self.epoch, self.seq
        if between == "forget":
            self.forget()
        for _ in range(races):
            self.publish()
        log = self.log[-1:] if after is None else [one for one in self.log if one.seq > after]
        return Head(epoch, seq, log) if seq else None


class Listener:
    """A subscriber who keeps account of where it is, as the protocol tells it to."""

    def __init__(self, truth: Truth, name: str, rate: str) -> None:
        self.truth = truth
        self.tap = Tap()
        self.session = session_on(self.tap, name=name)
        self.ids: list[str] = []
        self.heard = 0
        self.epoch, self.seq = None, 0
        self.is_new = True
        self.ask(rate)

    def ask(self, rate: str) -> None:
        """Subscribes, or asks for another rate: the ack tells where that goes on from."""
        hub, topic = self.truth.hub, self.truth.hub.topics[NAME]
        assert hub.can_change(topic, self.session, rate, self.truth.later())
        hub.subscribe(self.session, [NAME], Subscription(rate, "gap"), 0.0)
        self.settle()
        seq = topic.place(rate).seq
        assert self.is_new or seq == self.seq, "nothing is told twice, and nothing is left out"
        self.epoch, self.seq, self.is_new = topic.epoch, seq, False

    def check(self) -> None:
        self.settle()
        if self.truth.seq:
            # Nothing but gaps tells no epoch.
            assert self.epoch in {None, self.truth.epoch}
            assert self.seq == self.truth.seq

    def settle(self) -> None:
        """Reads on from where it had got to."""
        told_all = self.tap.heard_of(NAME)
        for told in told_all[self.heard :]:
            match told.get("type"):
                case "reset":
                    assert told["epoch"] != self.epoch
                    self.epoch, self.seq = told["epoch"], told["seq"]
                case "gap":
                    self._check_gap(told["from"], told["to"], told["by"])
                case _:
                    self._check_message(told["seq"], told.get("n", 1), told["id"])
        self.heard = len(told_all)
        assert len(set(self.ids)) == len(self.ids)

    def _check_gap(self, first: int, last: int, by: str) -> None:
        assert self.seq + 1 == first <= last
        self.seq = last
        assert by in {"bus", "feed"}
        if by == "feed":
            numbers = range(first, last + 1)
            assert any(
                {(epoch, n) for n in numbers} <= self.truth.never_published
                for epoch in {epoch for epoch, _ in self.truth.never_published}
            )

    def _check_message(self, seq: int, count: int, identity: str) -> None:
        assert seq == self.seq + count
        epoch = identity.partition("-")[0]
        assert self.epoch in {None, epoch}
        self.epoch, self.seq = epoch, seq
        self.ids.append(identity)


WHATS = ("publish",) * 4 + (
    "publish",
    "skip",
    "lose",
    "repeat",
    "interrupt",
    "resume",
    "forget",
    "trim",
    "join",
    "resume racing a loss of memory",
    "end of an interval",
    "another rate",
)
RATES = ("all", "latest", "100ms", "1s")
STEPS = st.lists(st.builds(Step, st.sampled_from(WHATS), st.integers(0, 3)), max_size=40)


@given(steps=STEPS, is_new=st.booleans(), is_joined=st.booleans())
@settings(max_examples=500)
@example(steps=[Step("join"), Step("interrupt"), Step("publish", 3)], is_new=True, is_joined=True)
@example(
    steps=[Step("join"), Step("interrupt"), Step("forget"), Step("publish")],
    is_new=False,
    is_joined=False,
)
@example(
    steps=[Step("join", 2), Step("publish"), Step("another rate", 0), Step("publish")],
    is_new=False,
    is_joined=True,
)
@example(
    steps=[Step("join", 2), *[Step("publish")] * 2, Step("another rate", 3), Step("publish")],
    is_new=False,
    is_joined=True,
)
@example(
    steps=[Step("join", 2), Step("publish"), Step("join", 3), Step("lose"), Step("skip", 2)],
    is_new=False,
    is_joined=False,
)
@example(
    steps=[
        Step("lose"),
        Step("publish"),
        Step("interrupt"),
        Step("forget"),
        Step("join"),
        Step("publish"),
    ],
    is_new=False,
    is_joined=False,
)
@example(
    steps=[Step("join"), Step("publish"), Step("resume racing a loss of memory", 2)],
    is_new=False,
    is_joined=True,
)
def test_every_seq_comes_once_in_order_or_is_announced_as_missing(
    steps: list[Step], is_new: bool, is_joined: bool
) -> None:
    hub = Hub(Joined() if is_joined else Unjoined())
    truth = Truth(hub)
    if not is_new:
        truth.publish()
    hub.open(Channel.parse(NAME), 0.0)
    truth.resume(0, "")
    listeners: list[Listener] = []
    for step in steps:
        match step.what:
            case "publish":
                truth.publish()
            case "skip":
                truth.publish(step.number)
            case "lose":
                truth.publish(is_lost=True)
            case "repeat":
                truth.repeat(step.number + 1)
            case "interrupt":
                truth.is_connected = False
                hub.hold(NAME)
            case "resume":
                hub.hold(NAME)
                truth.resume(step.number, "")
            case "resume racing a loss of memory":
                hub.hold(NAME)
                truth.resume(step.number, "forget")
            case "forget":
                truth.forget()
            case "trim":
                del truth.log[: step.number]
            case "end of an interval":
                hub.emit(RATES[max(step.number, 1)])
                hub.flush(0.0)
            case "another rate":
                for listener in listeners[-1:]:
                    listener.ask(RATES[step.number])
            case _:
                rate = RATES[step.number]
                listeners.append(Listener(truth, f"s{len(listeners)}", rate))
    hub.hold(NAME)
    truth.resume(0, "")
    for rate in RATES:
        hub.emit(rate)
    hub.flush(0.0)
    for listener in listeners:
        listener.check()
