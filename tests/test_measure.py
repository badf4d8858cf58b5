"""What `tickgate bench` counts and concludes: delays, clocks, faults. Pure, and its table."""

import io
import math

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from gateway.measure.clock_offset import ClockOffset, Ping
from gateway.measure.heard import Heard
from gateway.measure.histogram import Histogram
from gateway.measure.report import (
    Client,
    Connection,
    Delays,
    GatewayClock,
    Hop,
    Report,
    clock_of,
    delays_of,
    hops_of,
)
from gateway.measure.report_table import progress, write_report

TRADES = "trade:sim:BTC-USD"
QUOTES = "quote:kraken:BTC-USD"
NOW_US = 1_763_632_800_000_000
SHARES = (0.0, 0.5, 0.9, 0.99, 0.999, 1.0)

delays_us = st.lists(st.integers(-(10**10), 10**10), min_size=1, max_size=400)


def histogram_of(values: list[int]) -> Histogram:
    made = Histogram()
    for value in values:
        made.add(value)
    return made


def exact(values: list[int], share: float) -> int:
    in_order = sorted(values)
    return in_order[max(1, math.ceil(share * len(in_order))) - 1]


@given(delays_us)
def test_quantiles_are_those_of_all_values_within_half_a_percent(values: list[int]) -> None:
    found = histogram_of(values).quantiles(*SHARES)
    for share, quantile in zip(SHARES, found, strict=True):
        assert quantile == pytest.approx(exact(values, share), rel=1 / 250, abs=0.5)


@given(delays_us)
def test_the_least_and_the_greatest_are_exact(values: list[int]) -> None:
    assert histogram_of(values).quantiles(0.0, 1.0) == [min(values), max(values)]


@given(delays_us, delays_us)
def test_merged_histograms_are_the_histogram_of_both(ours: list[int], others: list[int]) -> None:
    merged = histogram_of(ours)
    merged.merge(histogram_of(others))
    whole = histogram_of(ours + others)
    assert merged.total == whole.total
    assert merged.negative == whole.negative == sum(value < 0 for value in ours + others)
    assert merged.quantiles(*SHARES) == whole.quantiles(*SHARES)


def test_stamps_that_mean_nothing_are_bounded() -> None:
    low, high = histogram_of([-(10**30), 10**30]).quantiles(0.0, 1.0)
    assert low == -high
    assert high < 2**50


def test_of_nothing_there_is_no_quantile() -> None:
    assert math.isnan(Histogram().quantiles(0.5)[0])
    assert delays_of(Histogram()) == Delays(0, 0)


def ping(sent_us: int, there_us: int, back_us: int, ahead_us: float) -> Ping:
    """One whose way there and back took so long, to a clock that is so far ahead."""
    written_us = math.floor(sent_us + there_us + ahead_us)
    return Ping(sent_us, sent_us + there_us + back_us, written_us)


ways = st.tuples(st.integers(0, 500_000), st.integers(0, 500_000))


@given(st.integers(-(10**12), 10**12), st.lists(ways, min_size=1, max_size=40))
def test_the_offset_is_within_its_bound_however_unequal_both_ways_are(
    ahead_us: int, both: list[tuple[int, int]]
) -> None:
    offset = ClockOffset(is_here=False)
    for number, (there_us, back_us) in enumerate(both):
        offset.hear(ping(NOW_US + number * 1_000_000, there_us, back_us, ahead_us))
        assert offset.last is not None
        assert abs(offset.last.offset_us - ahead_us) <= offset.last.bound_us


@given(st.floats(-50e-6, 50e-6), st.lists(ways, min_size=2, max_size=60))
def test_the_offset_of_a_clock_that_drifts_stays_within_its_bound(
    drift: float, both: list[tuple[int, int]]
) -> None:
    offset = ClockOffset(is_here=False)
    for number, (there_us, back_us) in enumerate(both):
        sent_us = NOW_US + number * 1_000_000
        offset.hear(ping(sent_us, there_us, back_us, drift * (sent_us + there_us - NOW_US)))
        assert offset.last is not None
        now_ahead_us = drift * (sent_us + there_us + back_us - NOW_US)
        # The drift during the round trip itself is beside the point, and less than this.
        assert abs(offset.last.offset_us - now_ahead_us) <= offset.last.bound_us + 51


def test_the_shortest_round_trip_is_believed() -> None:
    offset = ClockOffset(is_here=False)
    for there_us, back_us in ((90_000, 0), (100, 100), (0, 70_000)):
        offset.hear(ping(NOW_US, there_us, back_us, 5_000))
    assert offset.correction_us == 5_000
    assert offset.last is not None
    assert offset.last.bound_us < 105


def test_on_one_machine_nothing_is_corrected_while_every_ping_allows_it() -> None:
    offset = ClockOffset(is_here=True)
    offset.hear(ping(NOW_US, 300, 100, 0))
    assert (offset.is_one_clock, offset.correction_us) == (True, 0)


def test_a_tunnel_to_another_clock_is_found_out() -> None:
    offset = ClockOffset(is_here=True)
    offset.hear(ping(NOW_US, 100, 100, 4_000))
    assert (offset.is_one_clock, offset.correction_us) == (False, 4_000)


@pytest.mark.parametrize(("moved_us", "has_moved"), [(0, False), (150, False), (5_000, True)])
def test_a_clock_that_moved_is_told_where_the_bounds_cannot_hide_it(
    moved_us: int, has_moved: bool
) -> None:
    offset = ClockOffset(is_here=False)
    offset.hear(ping(NOW_US, 100, 100, 7_000))
    offset.begin()
    # So much later that only the new ping counts.
    offset.hear(ping(NOW_US + 60_000_000, 100, 100, 7_000 + moved_us))
    assert clock_of([offset]).has_moved == has_moved
    assert clock_of([offset]).moved_ms == moved_us / 1_000


def test_a_clock_of_ours_that_was_set_back_makes_no_ping() -> None:
    offset = ClockOffset(is_here=False)
    offset.hear(Ping(NOW_US, NOW_US - 5, NOW_US))
    assert clock_of([offset]) == GatewayClock(0, None, None, None, False, False)


def ack(*channels: str, seq: int = 0) -> bytes:
    row = {"epoch": "e1", "seq": seq, "rate": "all", "state": "live"}
    return msgspec.json.encode(
        {"type": "ack", "id": 1, "ok": [{"ch": name} | row for name in channels], "err": []}
    )


def data(seq: int, name: str = TRADES, **other: object) -> bytes:
    return msgspec.json.encode({"ch": name, "seq": seq, "px": "1", "gw": NOW_US} | other)


def heard_of(*frames: bytes, correction_us: int = 0) -> Heard:
    heard = Heard()
    heard.begin(NOW_US)
    for frame in frames:
        heard.hear(frame, NOW_US + 400, correction_us)
    heard.end(NOW_US + 400)
    return heard


STAMPS = {"t": NOW_US - 9_000, "rx": NOW_US - 700, "tx": NOW_US - 200}


def hops_ms(heard: Heard) -> dict[str, float | None]:
    return {hop.name: hop.delays.max_ms for hop in hops_of([heard])}


def test_each_hop_lies_between_its_stamps() -> None:
    heard = heard_of(ack(TRADES), data(1, **STAMPS))
    assert hops_ms(heard) == {"sim": 8.3, "feed": 0.5, "bus": 0.2, "client": 0.4, "all": 0.6}


def test_the_correction_is_of_our_clock_only() -> None:
    heard = heard_of(ack(TRADES), data(1, **STAMPS), correction_us=5_000)
    assert hops_ms(heard) == {"sim": 8.3, "feed": 0.5, "bus": 0.2, "client": 5.4, "all": 5.6}


def test_each_venue_has_a_clock_of_its_own() -> None:
    both = data(1, **STAMPS), data(1, QUOTES, **STAMPS | {"t": NOW_US - 1_700})
    heard = heard_of(ack(TRADES, QUOTES), *both)
    assert [(hop.name, hop.delays.max_ms) for hop in hops_of([heard])][:2] == [
        ("kraken", 1.0),
        ("sim", 8.3),
    ]


def test_a_hop_that_took_less_than_no_time_is_shown_as_such() -> None:
    heard = heard_of(ack(TRADES), data(1, **STAMPS | {"tx": NOW_US + 3_000}))
    bus = next(hop for hop in hops_of([heard]) if hop.name == "bus")
    assert (bus.delays.max_ms, bus.delays.negative) == (-3.0, 1)


def test_a_message_from_before_the_subscription_is_no_delay() -> None:
    heard = heard_of(ack(TRADES, seq=7), data(7, **STAMPS))
    assert heard.messages == 1
    assert heard.hops["client"].total == 0


def test_a_publishers_own_fields_are_no_stamps() -> None:
    name = "custom:desk:BTC-USD"
    heard = heard_of(ack(name), data(1, name, t="noon", rx=[1], n="many"))
    assert heard.messages == 1
    assert hops_ms(heard) == dict.fromkeys(("feed", "bus", "client", "all"))


def test_a_hole_that_nobody_announced_is_named() -> None:
    faults = heard_of(ack(TRADES), data(1), data(5)).faults
    assert (faults.holes, faults.lost_in_silence, faults.broke_a_promise) == (1, 3, True)
    assert faults.named == [f"{TRADES}: hole, 2 to 4 did not come and no gap said so"]


def test_a_hole_before_the_measuring_began_counts_too() -> None:
    heard = Heard()
    for frame in (ack(TRADES), data(1), data(3)):
        heard.hear(frame, NOW_US)
    assert (heard.messages, heard.faults.holes) == (0, 1)


def test_an_announced_gap_is_no_broken_promise() -> None:
    gap = {"type": "gap", "ch": TRADES, "from": 2, "to": 4, "by": "slow"}
    faults = heard_of(ack(TRADES), data(1), msgspec.json.encode(gap), data(5)).faults
    assert (faults.gaps, faults.missed, faults.broke_a_promise) == (1, 3, False)
    assert faults.named == [f"{TRADES}: gap, 2 to 4 will not come, by slow"]


def test_what_comes_again_or_too_late_is_out_of_order() -> None:
    faults = heard_of(ack(TRADES), data(1), data(2), data(2), data(1)).faults
    assert (faults.out_of_order, faults.holes, faults.broke_a_promise) == (2, 0, True)


def test_a_reset_begins_a_numbering_anew() -> None:
    reset = {"type": "reset", "ch": TRADES, "epoch": "e2", "seq": 0, "by": "bus"}
    faults = heard_of(ack(TRADES), data(9), msgspec.json.encode(reset), data(1)).faults
    assert (faults.resets, faults.holes, faults.out_of_order) == (1, 1, 0)


def test_a_conflated_quote_leaves_no_hole() -> None:
    faults = heard_of(ack(QUOTES), data(1, QUOTES), data(6, QUOTES, n=5)).faults
    assert not faults.broke_a_promise


def test_lag_heartbeats_errors_and_frames_of_another_version_are_counted() -> None:
    heard = heard_of(
        b'{"type":"lag","queued":812,"age_ms":900}',
        b'{"type":"heartbeat","n":1,"t":1}',
        b'{"type":"error","id":null,"code":"bad","message":"so","retry":false}',
        b'{"type":"from the future"}',
        b"no json",
    )
    faults = heard.faults
    assert (faults.lag_notices, faults.lag_queued_max, faults.lag_age_ms_max) == (1, 812, 900)
    assert (heard.heartbeats, faults.errors, faults.unknown_frames) == (1, 1, 2)


def test_the_longest_silence_includes_the_one_at_the_end() -> None:
    heard = Heard()
    heard.begin(NOW_US)
    heard.hear(data(1), NOW_US + 10_000)
    heard.end(NOW_US + 50_000)
    assert heard.silence_us_max == 40_000


def test_the_faults_of_all_connections_are_added_up() -> None:
    total = heard_of(ack(TRADES), data(1), data(5)).faults
    total.take_in(heard_of(ack(TRADES), data(1), data(3)).faults)
    assert (total.holes, total.lost_in_silence, len(total.named)) == (2, 4, 2)


CALM = Delays(1_000, 0, 0.1, 0.3, 0.5, 0.9, 1.2, 3.0)
CLOCK = GatewayClock(17, 1.25, 0.08, 0.0, False, False)
CLIENT = Client(0.12, 0.01, 0.4)


def report_of(**other: object) -> Report:
    heard = heard_of(ack(TRADES), data(1, **STAMPS))
    report = Report(
        gateway="gateway.example:8787",
        at="2026-01-01T00:00:00+00:00",
        protocol=1,
        asked_channels=["trade:sim:*"],
        left_out=[],
        rate="all",
        seconds=10.0,
        channels=1,
        channels_heard=1,
        channels_by_state={"live": 1},
        messages=1_234,
        messages_per_s=123.4,
        payload_bytes_per_s=23_456.0,
        hops=hops_of([heard]),
        connect=CALM,
        subscribe=CALM,
        round_trip=CALM,
        clock=CLOCK,
        faults=heard.faults,
        heartbeat_ms=5_000,
        heartbeats=0,
        silence_max_ms=20.0,
        connections=[Connection(123.4, 23_456.0, 1.25, None)],
        client=CLIENT,
        is_client_bottleneck=CLIENT.is_bottleneck,
        is_client_late=CLIENT.is_late,
    )
    return msgspec.structs.replace(report, **other)


def shown(report: Report, width: int = 80) -> str:
    out = io.StringIO()
    write_report(report, Console(file=out, width=width, highlight=False, markup=False))
    return out.getvalue()


def test_a_report_fits_80_columns_and_has_no_colours_where_there_are_none() -> None:
    slow = Hop("bitstamp", "t", "rx", "two", Delays(9_999, 0, 0, *[987_654.0] * 5))
    text = shown(report_of(hops=[slow, *report_of().hops]))
    assert max(map(len, text.splitlines())) <= 80
    assert "\x1b" not in text
    assert "…" not in text
    assert "bitstamp to feed" in text


def test_what_is_generated_is_called_so() -> None:
    assert "simulated to feed" in shown(report_of())


def test_a_negative_hop_is_shown_and_explained() -> None:
    hop = Hop("bus", "tx", "gw", "two", Delays(2_000, 2_000, -4.0, -3.0, -2.9, -2.8, -2.7, -2.0))
    text = " ".join(shown(report_of(hops=[hop])).split())
    assert "feed to gateway -3.00 -2.90 -2.80 -2.70 -2.00 two" in text
    assert "100.0% came before they were sent: its two clocks differ" in text


@pytest.mark.parametrize(
    ("clock", "told"),
    [
        (CLOCK, "the gateway's is 1.25 ms ahead of ours ± 0.08 ms (17 pings)"),
        (msgspec.structs.replace(CLOCK, offset_ms=-3.0), "3.00 ms behind ours"),
        (msgspec.structs.replace(CLOCK, has_moved=True, moved_ms=0.7), "moved +0.70 ms"),
        (msgspec.structs.replace(CLOCK, is_one_clock=True), "share one, 17 pings agree"),
        (GatewayClock(0, None, None, None, False, False), "nothing is corrected"),
    ],
)
def test_the_clocks_are_told(clock: GatewayClock, told: str) -> None:
    assert told in shown(report_of(clock=clock), 120)


@pytest.mark.parametrize(
    ("client", "told"),
    [
        (
            Client(0.95, None, 1.0),
            "95% of a core, loop late by 1.0 ms (p99)\nthis client was the b",
        ),
        (
            Client(0.35, 0.6, 1.0),
            "(+60% waiting for one), loop late by 1.0 ms (p99)\nthis client was",
        ),
        (Client(0.3, 0.0, 25.0), "this client was late: delays include that"),
        (Client(0.3, 0.0, 0.5), "30% of a core (+0% waiting for one), loop late by 0.5 ms (p99)\n"),
    ],
)
def test_a_client_that_is_the_bottleneck_says_so(client: Client, told: str) -> None:
    report = report_of(
        client=client, is_client_bottleneck=client.is_bottleneck, is_client_late=client.is_late
    )
    assert told in shown(report)


def test_what_broke_off_and_what_was_silent_is_told() -> None:
    text = shown(
        report_of(
            connections=[Connection(1.0, 1.0, None, "the connection was closed: slow (4105)")],
            channels=3,
            silence_max_ms=11_500.0,
            left_out=["trade:kraken:*: \x1b[2Jno room"],
        ),
        120,
    )
    assert "1 connection ended: the connection was closed: slow (4105)" in text
    assert "silent: 2 of 3 channels" in text
    assert "longest silence 11.50 s: a heartbeat is due every 5000 ms" in text
    assert "left out: trade:kraken:*: ?[2Jno room" in text


@pytest.mark.parametrize(
    ("elapsed_s", "told"),
    [
        (None, "connecting, subscribing, comparing clocks …"),
        (2.0, "8 s left  1,000 messages  500/s  (Ctrl-C: enough)"),
        (10.0, "comparing clocks once more …"),
    ],
)
def test_the_progress_is_one_line(elapsed_s: float | None, told: str) -> None:
    assert progress(1_000, elapsed_s, 10.0).plain == told


def test_where_nothing_came_the_states_say_why() -> None:
    text = shown(report_of(messages=0, channels_by_state={"waiting": 1}))
    assert "nothing came: of 1 channel 1 waiting" in text
