"""Channels whose messages do not fit together: what is told of them, and when they are renewed."""

from feeds.market import Missing
from feeds.watching.rhythm import FLOOR_S
from feeds.watching.watch import RENEWAL_FIRST_S
from tests.test_screen import NOW_US, QUOTES, Judged, is_suspect
from tests.test_watches import BOTH, BTC, ETH, Rig


def test_a_torn_channel_of_quotes_lacks_one_by_the_venue_before_the_next_that_passes() -> None:
    judged = Judged(QUOTES)
    judged.quote(at_us=NOW_US)
    judged.screen.torn()
    judged.screen.torn()
    assert judged.quote("NaN", "100.1") is None
    assert judged.quote(at_us=NOW_US - 1) is None
    first, second = judged.quote("50", "51"), judged.quote()
    assert is_suspect(first)
    assert [tick and tick.missing for tick in (first, second)] == [Missing("venue", 1), None]


def test_what_a_torn_channel_of_trades_lacks_is_told_by_its_ids() -> None:
    judged = Judged()
    judged.trade(1)
    judged.screen.torn()
    first, second = judged.trade(2), judged.trade(4)
    assert [tick and tick.missing for tick in (first, second)] == [None, Missing("venue", 1)]


def test_what_is_torn_is_asked_for_again_and_live_with_what_comes_then() -> None:
    rig = Rig()
    rig.beat(BTC, ETH)
    rig.tear(BTC)
    told = rig.watches.apart()
    assert [(one.state, one.by, one.reason) for one in told.values()] == [
        ("resync", "venue", "fails its checksum")
    ]
    assert rig.look() == [BTC]
    rig.watches.renewed(BTC, rig.now_s)
    assert (rig.look(), rig.state(BTC)) == ([], "resync")
    rig.trade(BTC)
    assert rig.watches.apart() == {}
    assert (rig.watches.counts.torn, rig.watches.counts.renewals) == (1, 1)
    assert rig.told == [f"{BTC.name} fails its checksum; more are only counted"]


def test_what_is_torn_again_soon_waits_as_resync_for_its_next_renewal() -> None:
    rig = Rig()
    rig.beat(BTC, ETH)
    rig.tear(BTC)
    rig.watches.renewed(BTC, rig.now_s)
    rig.trade(BTC)
    rig.tear(BTC)
    for _ in range(int(RENEWAL_FIRST_S) - 1):
        rig.beat(ETH, seconds=1)
        assert (rig.look(), rig.state(BTC)) == ([], "resync")
    rig.beat(ETH, seconds=1)
    assert (rig.look(), rig.state(BTC)) == ([BTC], "resync")
    # Its silence counts from now: until then it was our doing.
    rig.watches.renewed(BTC, rig.now_s)
    assert (rig.look(), rig.state(BTC)) == ([], "resync")


def test_what_is_torn_and_does_not_come_again_is_dead() -> None:
    rig = Rig()
    rig.beat(BTC, ETH)
    rig.tear(BTC)
    rig.watches.renewed(BTC, rig.now_s)
    rig.beat(ETH, seconds=int(FLOOR_S))
    assert (rig.look(), rig.state(BTC)) == ([], "stale")
    rig.beat(ETH, seconds=int(RENEWAL_FIRST_S))
    assert rig.look() == [BTC]


def test_the_first_that_comes_over_a_connection_may_be_torn() -> None:
    rig = Rig()
    rig.tear(BTC)
    assert rig.watches.states() == {"waiting": 1, "live": 0, "stale": 0, "resync": 1}
    assert rig.look() == [BTC]
    rig.beat(BTC, ETH)
    rig.watches.lost(BOTH, "venue", "is cut off", rig.now_us)
    rig.tear(BTC)
    rig.trade(ETH)
    rig.watches.back(BOTH, rig.now_s, rig.now_us)
    # That another channel's data come says nothing about this one.
    assert (rig.state(BTC), rig.state(ETH)) == ("resync", "as the venue")


def test_what_is_dead_stays_so_when_it_is_torn() -> None:
    rig = Rig()
    rig.beat(BTC, ETH)
    rig.beat(ETH, seconds=9)
    rig.look()
    rig.tear(BTC)
    assert (rig.state(BTC), rig.look()) == ("stale", [BTC])


def test_a_venue_that_cannot_renew_is_not_asked_to_mend_what_is_torn() -> None:
    rig = Rig(can_renew=False)
    rig.beat(BTC, ETH)
    rig.tear(BTC)
    assert (rig.state(BTC), rig.look()) == ("as the venue", [])
