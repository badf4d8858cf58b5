"""Channels and who listens to them: holes, repetitions, epochs, history, states."""

from typing import Any

import pytest

from feeds.market import Channel, Missing, Moment, Publication
from gateway.fanout.hub import Hub
from gateway.fanout.session import Session
from gateway.fanout.subscription import Subscription
from gateway.fanout.topic import Head, Standing, Topic
from tests.tap import Tap, Unjoined, session_on

NAME = "trade:k:A"
QUOTES = "quote:k:A"
CUSTOM = "custom:desk:A"
AT = Moment(1_000_000, 10.0)


def publication(seq: int, epoch: str = "k1", missing: Missing | None = None) -> Publication:
    return Publication(epoch, seq, b'{"id":"%b-%d"}' % (epoch.encode(), seq), missing)


def subscriber(hub: Hub, name: str = NAME) -> tuple[Tap, Session]:
    tap = Tap()
    session = session_on(tap)
    hub.sessions.add(session)
    hub.subscribe(session, [name], Subscription("all", "gap"), 0.0)
    return tap, session


def opened(name: str = NAME, head: Head | None = None) -> tuple[Hub, Topic]:
    """A hub with one open channel, whose history has been read."""
    hub = Hub(Unjoined())
    topic = hub.open(Channel.parse(name), 0.0)
    hub.resume(name, head, AT)
    return hub, topic


def brief(tap: Tap, name: str = NAME) -> list[tuple[Any, ...]]:
    """Seqs of messages; (from, to, by) of gaps; (epoch, seq) of resets."""
    found: list[tuple[Any, ...]] = []
    for told in tap.heard_of(name):
        match told.get("type"):
            case "gap":
                found.append((told["from"], told["to"], told["by"]))
            case "reset":
                found.append((told["epoch"], told["seq"]))
            case _:
                found.append((told["seq"],))
    return found


def test_every_subscriber_gets_the_same_bytes() -> None:
    hub, _ = opened()
    (one, _), (other, _) = subscriber(hub), subscriber(hub)
    hub.publish(NAME, publication(1), AT)
    assert one.writes[-1] is other.writes[-1]
    assert one.heard()[-1] == {"ch": NAME, "seq": 1, "id": "k1-1", "gw": AT.utc_us}


def test_a_channel_that_nobody_opened_is_nobodys() -> None:
    hub, _ = opened()
    tap, _ = subscriber(hub)
    hub.publish("trade:k:B", publication(1), AT)
    hub.resume("trade:k:B", None, AT)
    assert tap.writes == []


def test_what_follows_a_hole_waits_until_the_hole_was_looked_for_in_the_stream() -> None:
    hub, topic = opened()
    tap, _ = subscriber(hub)
    for seq in (1, 2, 5, 6):
        hub.publish(NAME, publication(seq), AT)
    assert brief(tap) == [(1,), (2,)]
    assert (hub.torn, topic.read_after) == ([NAME], 2)
    hub.resume(NAME, Head("k1", 6, [publication(seq) for seq in (3, 4, 5, 6)]), AT)
    hub.publish(NAME, publication(7), AT)
    assert brief(tap) == [(seq,) for seq in range(1, 8)]
    assert hub.counts.missing_by == {}


def test_a_hole_behind_what_was_read_is_looked_for_by_another_reading() -> None:
    """What is missing may have been published after the first one."""
    hub, topic = opened()
    tap, _ = subscriber(hub)
    for seq in (1, 3):
        hub.publish(NAME, publication(seq), AT)
    assert (hub.take_torn(), topic.begin_reading()) == ([NAME], 1)
    for seq in (4, 6):
        hub.publish(NAME, publication(seq), AT)
    hub.resume(NAME, Head("k1", 4, [publication(seq) for seq in (2, 3, 4)]), AT)
    assert (hub.take_torn(), topic.begin_reading()) == ([NAME], 4)
    hub.resume(NAME, Head("k1", 6, [publication(seq) for seq in (5, 6)]), AT)
    assert brief(tap) == [(seq,) for seq in range(1, 7)]
    assert (hub.take_torn(), hub.counts.missing_by) == ([], {})


def test_a_hole_that_the_stream_has_too_is_announced_before_what_follows_it() -> None:
    hub, _ = opened()
    tap, _ = subscriber(hub)
    for seq in (1, 2, 5):
        hub.publish(NAME, publication(seq), AT)
    hub.resume(NAME, Head("k1", 5, [publication(5)]), AT)
    assert brief(tap) == [(1,), (2,), (3, 4, "bus"), (5,)]
    assert hub.counts.missing_by == {"bus": 2}


def test_what_the_feed_never_published_is_its_own_fault_and_the_rest_the_bus() -> None:
    hub, topic = opened()
    tap, _ = subscriber(hub)
    hub.publish(NAME, publication(1), AT)
    hub.publish(NAME, publication(9, missing=Missing("venue", 3)), AT)
    topic.begin_reading()
    hub.resume(NAME, None, AT)
    assert brief(tap) == [(1,), (2, 5, "bus"), (6, 8, "venue"), (9,)]


def test_what_was_never_published_is_not_looked_for() -> None:
    hub, _ = opened()
    tap, _ = subscriber(hub)
    hub.publish(NAME, publication(1), AT)
    hub.publish(NAME, publication(5, missing=Missing("feed", 3)), AT)
    assert hub.torn == []
    assert brief(tap) == [(1,), (2, 4, "feed"), (5,)]


def test_a_channels_very_first_message_may_already_have_others_before_it() -> None:
    hub, _ = opened()
    tap, _ = subscriber(hub)
    hub.publish(NAME, publication(4, missing=Missing("feed", 3)), AT)
    assert brief(tap) == [(1, 3, "feed"), (4,)]


def test_a_repetition_is_not_delivered_again() -> None:
    hub, _ = opened()
    tap, _ = subscriber(hub)
    for seq in (1, 2, 2, 1, 3):
        hub.publish(NAME, publication(seq), AT)
    assert brief(tap) == [(1,), (2,), (3,)]
    assert hub.counts.duplicates == 2


def test_a_new_epoch_is_announced_as_a_reset() -> None:
    hub, _ = opened()
    tap, _ = subscriber(hub)
    hub.publish(NAME, publication(1), AT)
    hub.publish(NAME, publication(1, "k2"), AT)
    hub.publish(NAME, publication(2, "k2"), AT)
    assert brief(tap) == [(1,), ("k2", 0), (1,), (2,)]


def test_what_came_while_the_bus_was_away_is_read_and_delivered_in_order() -> None:
    hub, topic = opened(head=Head("k1", 3, [publication(3)]))
    tap, _ = subscriber(hub)
    hub.hold(NAME)
    hub.publish(NAME, publication(7), AT)
    assert topic.read_after == 3
    hub.resume(NAME, Head("k1", 6, [publication(seq) for seq in (4, 5, 6)]), AT)
    assert brief(tap) == [(4,), (5,), (6,), (7,)]


def test_what_the_log_no_longer_has_is_a_gap_of_the_bus() -> None:
    hub, _ = opened(head=Head("k1", 3, [publication(3)]))
    tap, _ = subscriber(hub)
    hub.hold(NAME)
    hub.resume(NAME, Head("k1", 9, [publication(8), publication(9)]), AT)
    assert brief(tap) == [(4, 7, "bus"), (8,), (9,)]


def test_a_lost_log_is_a_gap_up_to_what_is_there() -> None:
    hub, topic = opened(head=Head("k1", 3, []))
    tap, _ = subscriber(hub)
    hub.hold(NAME)
    hub.publish(NAME, publication(8), AT)
    topic.begin_reading()
    hub.resume(NAME, Head("k1", 8, []), AT)
    hub.publish(NAME, publication(9), AT)
    assert brief(tap) == [(4, 7, "bus"), (8,), (9,)]


def test_one_who_came_before_the_first_message_misses_none_of_them() -> None:
    hub, topic = opened(head=None)
    tap, _ = subscriber(hub)
    hub.hold(NAME)
    assert topic.read_after == 0
    hub.resume(NAME, Head("k1", 3, [publication(seq) for seq in (1, 2, 3)]), AT)
    assert brief(tap) == [(1,), (2,), (3,)]


def test_one_who_came_before_the_first_message_is_told_of_the_ones_that_are_gone() -> None:
    hub, _ = opened(head=None)
    tap, _ = subscriber(hub)
    hub.publish(NAME, publication(3), AT)
    assert hub.torn == [NAME], "they may still be in the stream"
    hub.resume(NAME, Head("k1", 3, [publication(3)]), AT)
    assert brief(tap) == [(1, 2, "bus"), (3,)]


def test_after_a_reset_subscribers_get_the_newest_value() -> None:
    hub, topic = opened(QUOTES, Head("k1", 3, [publication(3)]))
    tap, _ = subscriber(hub, QUOTES)
    hub.hold(QUOTES)
    hub.resume(QUOTES, Head("k2", 2, [publication(2, "k2")]), AT)
    assert brief(tap, QUOTES) == [("k2", 1), (2,)]
    assert topic.newest is not None
    assert (topic.epoch, topic.seq) == ("k2", 2)


def test_a_message_that_comes_between_the_two_readings_of_a_new_epoch_is_not_lost() -> None:
    hub, _ = opened(head=Head("k1", 3, [publication(3)]))
    tap, _ = subscriber(hub)
    hub.hold(NAME)
    hub.publish(NAME, publication(5, "k2"), AT)
    hub.resume(NAME, Head("k2", 4, [publication(5, "k2")]), AT)
    hub.publish(NAME, publication(6, "k2"), AT)
    assert brief(tap) == [("k2", 4), (5,), (6,)]


def test_messages_held_from_an_epoch_that_is_over_do_not_bring_it_back() -> None:
    hub, _ = opened(head=Head("k1", 3, []))
    tap, _ = subscriber(hub)
    hub.hold(NAME)
    for seq, epoch in ((4, "k1"), (5, "k1"), (1, "k2")):
        hub.publish(NAME, publication(seq, epoch), AT)
    hub.resume(NAME, Head("k2", 1, [publication(1, "k2")]), AT)
    hub.publish(NAME, publication(2, "k2"), AT)
    assert brief(tap) == [("k2", 0), (1,), (2,)]


def test_the_newest_is_known_from_the_history_and_its_repetition_dropped() -> None:
    hub = Hub(Unjoined())
    topic = hub.open(Channel.parse(QUOTES), 0.0)
    assert topic.read_after is None
    hub.publish(QUOTES, publication(5), AT)
    hub.resume(QUOTES, Head("k1", 5, [publication(5)]), AT)
    assert topic.newest is not None
    assert (topic.epoch, topic.seq, topic.newest.seq) == ("k1", 5, 5)
    assert hub.counts.duplicates == 1


def test_more_held_messages_than_there_is_room_for_become_a_gap() -> None:
    hub, topic = opened(head=Head("k1", 3, []))
    tap, _ = subscriber(hub)
    hub.hold(NAME)
    for seq in range(4, 12_004):
        hub.publish(NAME, publication(seq), AT)
    topic.begin_reading()
    hub.resume(NAME, Head("k1", 3, []), AT)
    assert brief(tap)[:2] == [(4, 2_003, "bus"), (2_004,)]
    assert brief(tap)[-1] == (12_003,)


UNSOUND = [
    b"{not json}",
    b'{"a":1}}',
    b'{"a":NaN}',
    b'{"a":"\xff"}',
    b'{"a":"\\ud800"}',
    b'{"ch":"trade:kraken:BTC-USD"}',
    b'{"seq":1}',
    b'{"gw":1}',
    b'{"type":"gap"}',
    b'{"a":18446744073709551616}',
    b'{"a":[-9223372036854775809]}',
    b'{"a":' + b"[" * 5_000 + b"]" * 5_000 + b"}",
    b'{"a":1},"x":{"b":1}',
]


@pytest.mark.parametrize("payload", UNSOUND)
def test_an_unsound_payload_of_a_stranger_becomes_a_gap_and_harms_nobody(payload: bytes) -> None:
    hub, topic = opened(CUSTOM)
    tap, binary = Tap(), Tap()
    for taken, encoding in ((tap, "json"), (binary, "msgpack")):
        session = session_on(taken, encoding=encoding)  # type: ignore[arg-type]
        hub.subscribe(session, [CUSTOM], Subscription("all", "gap"), 0.0)
    hub.publish(CUSTOM, Publication("k1", 1, payload), AT)
    hub.publish(CUSTOM, Publication("k1", 2, b'{"ok":true}'), AT)
    assert brief(tap, CUSTOM) == [(1, 1, "feed"), (2,)]
    assert binary.heard("msgpack")[-1] == {"ch": CUSTOM, "seq": 2, "ok": True, "gw": AT.utc_us}
    assert topic.newest is not None
    assert hub.counts.unsound == 1


@pytest.mark.parametrize("depth", range(880, 980))
def test_nesting_just_below_a_limit_can_be_framed_or_is_unsound(depth: int) -> None:
    hub, _ = opened(CUSTOM)
    binary = Tap()
    session = session_on(binary, encoding="msgpack")
    hub.subscribe(session, [CUSTOM], Subscription("all", "gap"), 0.0)
    payload = b'{"a":' + b"[" * depth + b"]" * depth + b"}"
    hub.publish(CUSTOM, Publication("k1", 1, payload), AT)
    assert binary.writes


def test_a_state_is_told_once_and_to_those_who_listen() -> None:
    hub, topic = opened()
    tap, _ = subscriber(hub)
    hub.stand(topic, Standing("stale", "bus"), AT)
    hub.stand(topic, Standing("stale", "bus"), Moment(2_000_000, 11.0))
    hub.stand(topic, Standing("live"), Moment(3_000_000, 12.0))
    assert tap.heard() == [
        {"type": "state", "ch": NAME, "state": "stale", "since": 1_000_000, "by": "bus"},
        {"type": "state", "ch": NAME, "state": "live", "since": 3_000_000},
    ]


def test_the_first_message_ends_the_waiting_before_it_comes() -> None:
    hub, _ = opened()
    tap, _ = subscriber(hub)
    hub.publish(NAME, publication(1), AT)
    assert [told.get("state", told.get("seq")) for told in tap.heard()] == ["live", 1]


def test_a_channel_lingers_after_its_last_subscriber_and_is_then_idle() -> None:
    hub, _ = opened()
    _, session = subscriber(hub)
    assert hub.idle(1_000.0, 30.0) == []
    hub.leave(session, 100.0)
    assert hub.idle(129.0, 30.0) == []
    assert hub.idle(130.0, 30.0) == [NAME]
    hub.close(NAME)
    assert hub.topics == {}
    assert hub.sessions == set()


def test_one_who_has_left_gets_nothing_more() -> None:
    hub, _ = opened()
    tap, session = subscriber(hub)
    other, _ = subscriber(hub)
    hub.unsubscribe(session, [NAME], 1.0)
    hub.publish(NAME, publication(1), AT)
    assert tap.writes == []
    assert brief(other) == [(1,)]
