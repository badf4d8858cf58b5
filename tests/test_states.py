"""Why a channel is silent: the bus, the feed, the venue, or nothing to say."""

import pytest

from feeds.market import Channel, ChannelState, Status
from gateway.fanout.states import States, status_channel
from gateway.fanout.topic import Standing, Topic
from gateway.protocol import StateName

LIMIT_S = 3.0
LIVE = Status("live", 1)
STALE = Status("stale", 2, by="venue")


def topic_of(name: str, seq: int = 5) -> Topic:
    topic = Topic(Channel.parse(name), 0.0)
    topic.epoch, topic.seq = "k1", seq
    return topic


TRADES = topic_of("trade:kraken:BTC-USD")


@pytest.fixture
def states() -> States:
    """The bus came at 0 s; since then Kraken's feed has said once, at 10 s, that it is live."""
    made = States(LIMIT_S)
    made.bus_returned(0.0)
    made.heard("kraken", LIVE, 10.0)
    return made


def test_a_channel_with_messages_is_live_and_one_without_waits(states: States) -> None:
    assert states.standing_of(TRADES, 10.5) == Standing("live")
    silent = topic_of("trade:kraken:ETH-USD", seq=0)
    assert states.standing_of(silent, 10.5) == Standing("waiting")


def test_a_feed_whose_status_stops_is_stale_by_its_own_fault(states: States) -> None:
    assert states.standing_of(TRADES, 10.0 + LIMIT_S) == Standing("live")
    assert states.standing_of(TRADES, 10.1 + LIMIT_S) == Standing("stale", "feed")


def test_a_status_that_comes_again_ends_the_feeds_staleness(states: States) -> None:
    assert states.heard("kraken", LIVE, 20.0)
    assert states.standing_of(TRADES, 20.5) == Standing("live")


def test_only_a_change_is_reported_as_one(states: States) -> None:
    assert not states.heard("kraken", LIVE, 11.0)
    assert states.heard("kraken", STALE, 12.0)
    assert not states.heard("kraken", STALE, 13.0)
    assert states.heard("kraken", LIVE, 14.0)


@pytest.mark.parametrize(
    ("status", "by"),
    [(STALE, "venue"), (Status("stale", 2, by="feed"), "feed"), (Status("stale", 2), "venue")],
)
def test_a_stale_venue_makes_its_channels_stale_with_who_is_to_blame(
    states: States, status: Status, by: str
) -> None:
    states.heard("kraken", status, 11.0)
    assert states.standing_of(TRADES, 11.5) == Standing("stale", by)  # type: ignore[arg-type]


def test_a_stale_venues_status_channel_itself_is_live(states: States) -> None:
    states.heard("kraken", STALE, 11.0)
    status = topic_of(status_channel("kraken").name)
    assert states.standing_of(status, 11.5) == Standing("live")
    assert states.standing_of(status, 30.0) == Standing("stale", "feed")


def test_without_the_bus_nothing_else_is_to_blame(states: States) -> None:
    states.bus_is_live = False
    assert states.standing_of(TRADES, 10.5) == Standing("stale", "bus")
    assert states.standing_of(topic_of("custom:desk:X", seq=0), 10.5) == Standing("stale", "bus")


def test_silence_that_the_bus_explains_is_not_the_feeds(states: States) -> None:
    states.bus_is_live = False
    states.bus_returned(100.0)
    assert states.standing_of(TRADES, 100.0 + LIMIT_S) == Standing("live")
    assert states.standing_of(TRADES, 100.1 + LIMIT_S) == Standing("stale", "feed")


def test_a_venue_that_nobody_watches_over_is_never_stale_by_feed(states: States) -> None:
    assert states.standing_of(topic_of("custom:desk:X"), 1e6) == Standing("live")


def test_one_venues_silence_is_not_anothers(states: States) -> None:
    states.heard("sim", LIVE, 20.0)
    assert states.standing_of(topic_of("trade:sim:AAA-USD"), 20.5) == Standing("live")
    assert states.standing_of(TRADES, 20.5) == Standing("stale", "feed")


def test_a_feed_that_has_just_begun_is_to_blame_for_what_is_old(states: States) -> None:
    states.heard("kraken", Status("waiting", 3), 11.0)
    assert states.standing_of(TRADES, 11.5) == Standing("stale", "feed")
    states.heard("kraken", Status("waiting", 3, by="venue"), 12.0)
    assert states.standing_of(TRADES, 12.5) == Standing("stale", "venue")


def test_a_feed_that_said_goodbye_is_closed_however_long_it_is_silent(states: States) -> None:
    states.heard("kraken", Status("closed", 3, by="feed"), 11.0)
    assert states.standing_of(TRADES, 99.0) == Standing("closed", "feed")


SOL = topic_of("trade:kraken:SOL-USD")
DEAD = {SOL.channel.name: ChannelState("stale", 2, "venue", "silent for 31 s")}


@pytest.mark.parametrize("venue_state", ["live", "stale"])
def test_a_dead_channel_is_stale_beside_others_that_live(
    venue_state: StateName, states: States
) -> None:
    states.heard("kraken", Status(venue_state, 1, channels=DEAD), 11.0)
    assert states.standing_of(SOL, 11.5) == Standing("stale", "venue")
    assert states.standing_of(TRADES, 11.5) == Standing("live")


def test_a_torn_channel_is_told_by_name_of_who_is_to_blame(states: States) -> None:
    torn = {SOL.channel.name: ChannelState("resync", 2, "feed")}
    states.heard("kraken", Status("live", 1, channels=torn), 11.0)
    assert states.standing_of(SOL, 11.5) == Standing("resync", "feed")


def test_another_dead_channel_is_a_change_and_its_repetition_none(states: States) -> None:
    assert states.heard("kraken", Status("live", 1, channels=DEAD), 11.0)
    assert not states.heard("kraken", Status("live", 1, channels=DEAD), 12.0)
    assert states.heard("kraken", LIVE, 13.0)
