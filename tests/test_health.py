"""A venue's state from what its connections report, and one sentence per incident."""

from feeds.market import Channel, Tick, Trade
from feeds.watching.health import VenueHealth
from feeds.watching.watches import Watches


def channels_of(connections: int) -> list[Channel]:
    return [Channel("trade", "toy", f"C{number}-USD") for number in range(connections)]


def health_of(connections: int, now_us: int = 0) -> VenueHealth:
    return watched_health(connections, now_us)[0]


def watched_health(connections: int, now_us: int = 0) -> tuple[VenueHealth, Watches]:
    """A venue's, with a channel on each of its connections."""
    channels = channels_of(connections)
    watches = Watches(
        "toy",
        channels,
        "none",
        now_us,
        can_renew=True,
        tell=lambda _: None,
        on_change=lambda: None,
    )
    health = VenueHealth("toy", [[channel] for channel in channels], watches, 30.0, now_us)
    return health, watches


def trade_on(watches: Watches, channel: Channel, id_: int, now_s: float) -> None:
    tick = Tick(channel, Trade("1", "1", "buy", str(id_)))
    watches.pass_on([tick], now_s, int(now_s * 1e6))


def test_a_lost_connections_channels_are_told_apart_from_those_that_live() -> None:
    health, watches = watched_health(2)
    first, second = channels_of(2)
    for number, channel in enumerate((first, second)):
        trade_on(watches, channel, 1, 1.0)
        health.went_live(number, 1.0, 1_000_000)
    health.lost(0, "venue", "is cut off", 2_000_000)
    status = health.status(3_000_000)
    assert (status.state, list(status.channels)) == ("stale", [first.name])
    assert status.channels[first.name].by == "venue"
    health.went_live(0, 4.0, 4_000_000)
    assert health.status(5_000_000).channels == {}


def test_a_venue_none_of_whose_channels_gives_anything_is_stale_as_a_whole() -> None:
    health, watches = watched_health(1)
    (only,) = channels_of(1)
    for second in range(1, 41):
        trade_on(watches, only, second, float(second))
    health.went_live(0, 40.0, 40_000_000)
    assert health.status(41_000_000).state == "live"
    watches.look([only], 60.0, 60_000_000)
    status = health.status(60_000_000)
    assert (status.state, status.by, status.channels) == ("stale", "venue", {})
    assert status.since_us == 60_000_000


def test_a_state_keeps_the_moment_when_it_began() -> None:
    health = health_of(1, 5)
    assert health.status(9).since_us == 5
    health.went_live(0, 0.0, 10)
    health.lost(0, "venue", "is cut off", 20)
    health.lost(0, "venue", "can't be reached", 30)
    stale = health.status(40)
    assert (stale.state, stale.since_us, stale.reason) == ("stale", 20, "can't be reached")
    assert health.went_live(0, 0.0, 42_000_020) == "toy is back after 42 s"
    assert health.status(42_000_021).since_us == 42_000_020


def test_a_quiet_connection_does_not_make_the_others_less_live() -> None:
    health = health_of(2)
    health.went_live(0, 0.0, 1)
    status = health.status(2)
    assert (status.state, status.by, status.reason) == (
        "live",
        None,
        "no data yet, 1 of 2 connections",
    )


def test_refusals_without_end_fill_neither_the_log_nor_memory() -> None:
    health = health_of(1)
    told = [health.refused(0, f"reason {number}") for number in range(1_000)]
    assert len([sentence for sentence in told if sentence]) == 100
    assert health.status(1).reason == "refuses: reason 0 (and 99 more)"


def test_a_connection_that_stands_again_is_no_longer_called_unreachable() -> None:
    health = health_of(1)
    health.lost(0, "venue", "can't be reached (connection refused)", 1)
    health.opened(0)
    assert health.status(2).reason == "is reached again; no data yet"
