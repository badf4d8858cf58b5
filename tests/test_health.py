"""A venue's state from what its connections report, and one sentence per incident."""

from feeds.health import VenueHealth


def test_a_state_keeps_the_moment_when_it_began() -> None:
    health = VenueHealth("toy", 1, 30.0, 5)
    assert health.status(9).since_us == 5
    health.went_live(0, 10)
    health.lost(0, "venue", "is cut off", 20)
    health.lost(0, "venue", "can't be reached", 30)
    stale = health.status(40)
    assert (stale.state, stale.since_us, stale.reason) == ("stale", 20, "can't be reached")
    assert health.went_live(0, 42_000_020) == "toy is back after 42 s"
    assert health.status(42_000_021).since_us == 42_000_020


def test_a_quiet_connection_does_not_make_the_others_less_live() -> None:
    health = VenueHealth("toy", 2, 30.0, 0)
    health.went_live(0, 1)
    status = health.status(2)
    assert (status.state, status.by, status.reason) == (
        "live",
        None,
        "no data yet, 1 of 2 connections",
    )


def test_refusals_without_end_fill_neither_the_log_nor_memory() -> None:
    health = VenueHealth("toy", 1, 30.0, 0)
    told = [health.refused(0, f"reason {number}") for number in range(1_000)]
    assert len([sentence for sentence in told if sentence]) == 100
    assert health.status(1).reason == "refuses: reason 0 (and 99 more)"


def test_a_connection_that_stands_again_is_no_longer_called_unreachable() -> None:
    health = VenueHealth("toy", 1, 30.0, 0)
    health.lost(0, "venue", "can't be reached (connection refused)", 1)
    health.opened(0)
    assert health.status(2).reason == "is reached again; no data yet"
