"""Which channels of a venue are dead or torn beside others, and what is told of them."""

import itertools

from feeds.market import Channel, Missing, Tick, Trade
from feeds.watching.rhythm import FLOOR_S
from feeds.watching.watch import RENEWAL_FIRST_S
from feeds.watching.watches import CHANNELS_TOLD_MAX, STRANGERS_MAX, Watches

BTC = Channel("trade", "toy", "BTC-USD")
ETH = Channel("trade", "toy", "ETH-USD")
BOTH = (BTC, ETH)


class Rig:
    """The watches of some channels, a clock, and all that was told."""

    def __init__(self, *channels: Channel, can_renew: bool = True) -> None:
        self.told: list[str] = []
        self.changes = 0
        self.now_s = 1_000.0
        self.channels = channels or BOTH
        self.watches = Watches(
            "toy",
            self.channels,
            "consecutive",
            0,
            can_renew=can_renew,
            tell=self.told.append,
            on_change=self._changed,
        )
        self._ids = dict.fromkeys(self.channels, 0)

    def _changed(self) -> None:
        self.changes += 1

    @property
    def now_us(self) -> int:
        return int(self.now_s * 1e6)

    def trade(self, channel: Channel, *, skip: int = 0) -> list[Tick]:
        self._ids[channel] += 1 + skip
        trade = Trade("1", "1", "buy", str(self._ids[channel]), self.now_us, self.now_us)
        return self.watches.pass_on([Tick(channel, trade)], self.now_s, self.now_us)

    def beat(self, *channels: Channel, seconds: int = 30) -> None:
        """A trade a second on each."""
        for _ in range(seconds):
            self.now_s += 1.0
            for channel in channels:
                self.trade(channel)

    def tear(self, channel: Channel) -> None:
        self.watches.tear(channel, "fails its checksum", self.now_s, self.now_us)

    def look(self) -> list[Channel]:
        return self.watches.look(self.channels, self.now_s, self.now_us)

    def state(self, channel: Channel) -> str:
        named = self.watches.apart().get(channel.name)
        return named.state if named is not None else "as the venue"


def test_a_dead_channel_beside_one_that_lives_is_stale_within_ten_seconds_and_renewed() -> None:
    rig = Rig()
    rig.beat(BTC, ETH)
    rig.beat(ETH, seconds=9)
    assert rig.look() == [BTC]
    told = rig.watches.apart()
    assert list(told) == [BTC.name]
    assert (told[BTC.name].state, told[BTC.name].by) == ("stale", "venue")
    assert told[BTC.name].reason == "silent for 9 s, before for 1 s at most"
    assert rig.told == [f"{BTC.name} is silent for 9 s, before for 1 s at most"]


def test_a_dead_channel_is_asked_for_again_at_longer_and_longer_intervals() -> None:
    rig = Rig()
    rig.beat(BTC, ETH)
    renewed_s = []
    for _ in range(600):
        rig.beat(ETH, seconds=1)
        for channel in rig.look():
            rig.watches.renewed(channel, rig.now_s)
            renewed_s.append(rig.now_s)
    pauses_s = [after - before for before, after in itertools.pairwise(renewed_s)]
    assert pauses_s == [RENEWAL_FIRST_S, 2 * RENEWAL_FIRST_S, 4 * RENEWAL_FIRST_S, 240.0]
    assert rig.watches.counts.renewals == len(renewed_s)


def test_a_dead_channel_is_live_again_with_its_first_data() -> None:
    rig = Rig()
    rig.beat(BTC, ETH)
    rig.beat(ETH, seconds=20)
    rig.look()
    rig.trade(BTC)
    assert rig.watches.apart() == {}
    assert rig.look() == []
    assert rig.told[-1] == f"{BTC.name} is back after 0 s"


def test_a_quiet_channel_is_not_stale() -> None:
    rig = Rig()
    for _ in range(30):
        rig.now_s += 50.0
        rig.beat(BTC, ETH, seconds=1)
    rig.beat(ETH, seconds=100)
    assert rig.look() == []


def test_a_channel_that_never_gave_anything_is_waiting_and_not_stale() -> None:
    rig = Rig()
    rig.beat(ETH, seconds=1_000)
    assert rig.look() == []
    assert rig.watches.states() == {"waiting": 1, "live": 1, "stale": 0, "resync": 0}


def test_when_all_are_silent_it_is_the_connection_that_is_dead() -> None:
    rig = Rig()
    rig.beat(BTC, ETH)
    assert not rig.watches.are_all_silent(BOTH)
    rig.now_s += FLOOR_S
    rig.look()
    assert rig.watches.are_all_silent(BOTH)
    assert len(rig.told) == 1
    assert rig.told[0].endswith("(and 1 more channels)")
    rig.watches.lost(BOTH, "venue", "sends no data", rig.now_us)
    assert not rig.watches.are_all_silent(BOTH)


def test_one_quiet_channel_alone_does_not_end_its_connection() -> None:
    rig = Rig(BTC)
    rig.beat(BTC)
    rig.now_s += FLOOR_S
    assert rig.look() == [BTC]
    assert not rig.watches.are_all_silent([BTC])


def test_a_hole_is_a_gap_by_the_venue_and_a_resync_of_that_channel_only() -> None:
    rig = Rig()
    rig.beat(BTC, ETH)
    (torn,) = rig.trade(BTC, skip=3)
    assert torn.missing == Missing("venue", 3)
    assert (rig.state(BTC), rig.state(ETH)) == ("resync", "as the venue")
    rig.beat(BTC, ETH, seconds=2)
    assert rig.state(BTC) == "resync"  # It is still to be asked for again.
    assert rig.look() == [BTC]
    rig.watches.renewed(BTC, rig.now_s)
    assert rig.look() == []
    rig.trade(BTC)
    assert rig.state(BTC) == "as the venue"
    assert rig.watches.counts.missing == 3


def test_what_a_renewal_costs_is_the_feeds_doing_and_no_cause_for_another() -> None:
    rig = Rig()
    rig.beat(BTC, ETH)
    rig.trade(BTC, skip=3)
    rig.watches.renewed(BTC, rig.now_s)
    (first,) = rig.trade(BTC, skip=2)
    assert first.missing == Missing("feed", 2)
    assert rig.look() == []


def test_holes_without_end_do_not_have_a_channel_renewed_without_end() -> None:
    rig = Rig()
    rig.beat(BTC, ETH)
    renewals = 0
    for _ in range(100):
        rig.beat(BTC, ETH, seconds=1)
        rig.trade(BTC, skip=1)
        for channel in rig.look():
            rig.watches.renewed(channel, rig.now_s)
            renewals += 1
    assert renewals <= 3
    assert rig.watches.counts.missing == 100
    assert len(rig.told) == 1


def test_a_venue_that_cannot_renew_is_not_asked_to() -> None:
    rig = Rig(can_renew=False)
    rig.beat(BTC, ETH)
    rig.trade(BTC, skip=3)
    assert (rig.state(BTC), rig.look()) == ("as the venue", [])
    rig.beat(ETH, seconds=20)
    assert (rig.look(), rig.state(BTC)) == ([], "stale")


def test_a_lost_connection_makes_its_channels_stale_and_its_return_live_again() -> None:
    rig = Rig()
    rig.beat(BTC, ETH)
    rig.watches.lost([BTC], "venue", "is cut off", rig.now_us)
    assert (rig.state(BTC), rig.state(ETH)) == ("stale", "as the venue")
    rig.now_s += 1_000.0
    rig.trade(ETH)
    assert rig.look() == []
    # Its first data may be another channel's: a quiet one is not stale for that.
    rig.watches.back([BTC], rig.now_s, rig.now_us)
    assert rig.watches.apart() == {}
    (first,) = rig.trade(BTC, skip=500)
    assert first.missing == Missing("venue", 500)
    assert rig.look() == []
    assert rig.watches.states()["live"] == 2


def test_what_was_missed_by_a_fault_of_ours_is_our_fault() -> None:
    rig = Rig()
    rig.beat(BTC, ETH)
    rig.watches.lost(BOTH, "feed", "met a fault of ours", rig.now_us)
    (first,) = rig.trade(BTC, skip=5)
    assert first.missing == Missing("feed", 5)


def test_a_lost_connections_channel_that_stays_dead_is_stale_again() -> None:
    rig = Rig()
    rig.beat(BTC, ETH)
    rig.watches.lost(BOTH, "venue", "is cut off", rig.now_us)
    rig.watches.back(BOTH, rig.now_s, rig.now_us)
    rig.beat(ETH, seconds=10)
    assert rig.look() == [BTC]


def test_more_dead_channels_than_a_status_tells_are_said_of_the_venue() -> None:
    channels = [Channel("trade", "toy", f"C{n}-USD") for n in range(CHANNELS_TOLD_MAX + 2)]
    rig = Rig(*channels)
    rig.beat(*channels)
    rig.beat(channels[0], seconds=10)
    assert len(rig.look()) == CHANNELS_TOLD_MAX + 1
    assert rig.watches.apart() == {}
    assert len(rig.watches.dead) == CHANNELS_TOLD_MAX + 1


def test_refusals_are_counted_each_and_told_once_per_incident() -> None:
    rig = Rig()
    for _ in range(1_000):
        rig.watches.refused("not_a_number", "toy", rig.now_s)
    rig.now_s += 61.0
    rig.watches.refused("not_a_number", "toy", rig.now_s)
    assert rig.watches.counts.found["not_a_number"] == 1_001
    assert len(rig.told) == 2
    assert "not_a_number" in rig.told[0]


def test_channels_that_nobody_asked_for_are_passed_on_and_do_not_fill_memory() -> None:
    rig = Rig()
    for number in range(3 * STRANGERS_MAX):
        channel = Channel("trade", "toy", f"X{number}-USD")
        tick = Tick(channel, Trade("1", "1", "buy", "1"))
        assert rig.watches.pass_on([tick], rig.now_s, rig.now_us) == [tick]
    assert rig.watches.states()["waiting"] == 2
    assert rig.look() == []


def test_only_changes_of_state_are_changes() -> None:
    rig = Rig()
    rig.beat(BTC, ETH)
    assert rig.changes == 2
    rig.beat(BTC, ETH)
    rig.look()
    assert rig.changes == 2
