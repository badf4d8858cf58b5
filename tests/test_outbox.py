"""What waits for a slow subscriber, against a naive account of all that it was meant to get.

Everything comes in order, or conflated with `n` adding up, or inside an announced gap; bounded.
"""

from collections.abc import Sequence
from itertools import cycle
from typing import Any, NamedTuple

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from feeds.market.channel import OnLag
from gateway.errors import CLOSES
from gateway.fanout.flush import Window
from gateway.fanout.message import Message, Notice, TradeMessage
from gateway.fanout.outbox import OutboxLimits
from gateway.fanout.subscription import Subscription
from gateway.protocol import Gap, Pong, Reset
from tests.tap import Tap, session_on

LIMITS = OutboxLimits(bytes_max=1_000_000, messages_max=10, age_max_s=5.0)
SLOW_LIMIT_S = 10.0
PAD = b"x" * 40_000
"""So that one flush, of about 64 KiB, takes two messages and leaves the rest."""


def message(channel: str, seq: int, payload: bytes = b'{"px":"1"}', count: int = 1) -> Message:
    return Message(channel, seq, payload, 5, count=count)


def brief(heard: list[dict[str, Any]]) -> list[tuple[Any, ...]]:
    """Messages as (seq, n), gaps as (from, to, by)."""
    return [
        (told["from"], told["to"], told["by"])
        if told.get("type") == "gap"
        else (told["seq"], told.get("n", 1))
        for told in heard
        if "seq" in told or told.get("type") == "gap"
    ]


def lagging(on_lag: OnLag, last: int) -> tuple[Tap, Any]:
    """A session with messages 1 to `last` of one channel waiting."""
    tap = Tap(writes_left=0)
    session = session_on(tap, LIMITS)
    for seq in range(1, last + 1):
        session.deliver(message("trade:k:A", seq), Subscription("all", on_lag), 0.0)
    return tap, session


def drained(tap: Tap, session: Any) -> list[tuple[Any, ...]]:
    tap.writes_left = None
    session.flush()
    return brief(tap.heard())


@pytest.mark.parametrize("on_lag", ["gap", "conflate", "close"])
def test_what_fits_comes_whole_and_in_order(on_lag: OnLag) -> None:
    tap, session = lagging(on_lag, 8)
    assert drained(tap, session) == [(seq, 1) for seq in range(1, 9)]
    assert session.closing is None


def test_a_full_outbox_of_a_gap_channel_says_what_it_lost() -> None:
    tap, session = lagging("gap", 30)
    assert drained(tap, session) == [(1, 30, "slow")]
    session.deliver(message("trade:k:A", 31), Subscription("all", "gap"), 1.0)
    assert brief(tap.heard())[-1] == (31, 1)


def test_a_full_outbox_of_a_conflated_channel_keeps_the_newest_and_counts() -> None:
    tap, session = lagging("conflate", 30)
    assert drained(tap, session) == [(30, 30)]


def test_a_full_outbox_of_a_channel_that_must_not_lose_ends_the_session() -> None:
    _, session = lagging("close", 10)
    assert session.closing is CLOSES["slow"]


def test_an_outbox_full_by_age_never_loses_a_message_that_must_not_be_lost() -> None:
    tap, session = lagging("close", 3)
    is_over = session.is_too_slow(LIMITS.age_max_s, SLOW_LIMIT_S)
    assert is_over or drained(tap, session) == [(1, 1), (2, 1), (3, 1)]


def test_replies_are_kept_in_a_full_outbox() -> None:
    tap, session = lagging("conflate", 30)
    session.say(Pong(7, 1), 1.0)
    session.deliver(message("trade:k:A", 31), Subscription("all", "conflate"), 1.0)
    drained(tap, session)
    assert [told.get("id") for told in tap.heard() if told.get("type") == "pong"] == [7]


def test_it_is_told_once_that_it_lags_and_again_after_it_was_emptied() -> None:
    tap, session = lagging("gap", 8)
    drained(tap, session)
    tap.writes_left = 0
    for seq in range(9, 16):
        session.deliver(message("trade:k:A", seq), Subscription("all", "gap"), 0.0)
    drained(tap, session)
    lags = [told for told in tap.heard() if told.get("type") == "lag"]
    assert [told["queued"] for told in lags] == [5, 5]


def test_at_a_rate_the_newest_is_all_that_waits_and_it_counts_the_others() -> None:
    tap = Tap(writes_left=0)
    session = session_on(tap, LIMITS)
    for seq in range(3, 10, 3):
        for name in ("quote:k:A", "quote:k:B"):
            merged = message(name, seq, count=3)
            session.deliver(merged, Subscription("100ms", "conflate"), 0.0)
    assert len(session.outbox) == 2
    assert drained(tap, session) == [(9, 9), (9, 9)]


def test_of_trades_that_were_conflated_no_volume_is_lost() -> None:
    tap = Tap(writes_left=0)
    session = session_on(tap, LIMITS)
    for seq, side in enumerate(("buy", "sell", "buy"), 1):
        payload = b'{"px":"10.5%d","sz":"0.30","side":"%b","id":"1","t":%d}' % (
            seq,
            side.encode(),
            seq,
        )
        trade = TradeMessage("trade:k:A", seq, payload, 5)
        session.deliver(trade, Subscription("latest", "conflate"), 0.0)
    drained(tap, session)
    assert tap.heard() == [
        {
            "ch": "trade:k:A",
            "seq": 3,
            "px": "10.53",
            "sz": "0.90",
            "buy_sz": "0.60",
            "vwap": "10.520000",
            "hi": "10.53",
            "lo": "10.51",
            "t": 3,
            "gw": 5,
            "n": 3,
        }
    ]


def test_it_is_too_slow_only_after_having_been_full_for_long() -> None:
    _, session = lagging("gap", 10)
    assert not session.is_too_slow(SLOW_LIMIT_S * 0.9, SLOW_LIMIT_S)
    assert session.is_too_slow(SLOW_LIMIT_S, SLOW_LIMIT_S)


def test_it_becomes_full_by_age_alone() -> None:
    tap, session = lagging("conflate", 3)
    assert not session.is_too_slow(LIMITS.age_max_s, SLOW_LIMIT_S)
    assert session.is_too_slow(LIMITS.age_max_s + SLOW_LIMIT_S, SLOW_LIMIT_S)
    assert drained(tap, session) == [(3, 3)]


def test_an_emptied_outbox_is_slow_no_more() -> None:
    tap, session = lagging("gap", 10)
    drained(tap, session)
    assert not session.is_too_slow(100.0, SLOW_LIMIT_S)


def test_an_outbox_emptied_by_unsubscribing_is_slow_no_more() -> None:
    tap, session = lagging("gap", 3)
    assert not session.is_too_slow(LIMITS.age_max_s, SLOW_LIMIT_S)
    session.outbox.forget("trade:k:A")
    assert not session.outbox
    assert not session.is_too_slow(100.0, SLOW_LIMIT_S)
    session.deliver(message("trade:k:B", 1), Subscription("all", "gap"), 101.0)
    assert drained(tap, session)[-1] == (1, 1)


def test_what_waits_for_an_ended_subscription_is_dropped_and_nothing_else() -> None:
    tap, session = lagging("gap", 3)
    session.deliver(message("trade:k:B", 1), Subscription("all", "gap"), 0.0)
    session.outbox.forget("trade:k:A")
    assert drained(tap, session) == [(1, 1)]
    assert tap.heard()[0]["ch"] == "trade:k:B"


def test_a_reset_comes_before_the_messages_of_the_new_epoch() -> None:
    tap, session = lagging("gap", 20)
    session.say(Reset("trade:k:A", "k2", 0, "bus"), 1.0)
    session.deliver(message("trade:k:A", 1), Subscription("all", "gap"), 1.0)
    tap.writes_left = None
    session.flush()
    told = [(m["type"], m.get("from"), m.get("to")) for m in tap.heard() if m["type"] != "lag"]
    assert told == [("gap", 1, 20), ("reset", None, None), ("gap", 1, 1)]


def test_what_a_client_does_not_read_is_bounded_replies_included() -> None:
    tap = Tap(writes_left=0)
    session = session_on(tap, LIMITS)
    said = 0
    while session.closing is None and said < 1_000_000:
        said += 1
        session.say(Pong("x" * 1_000, 1), 0.0)
    assert session.closing is CLOSES["slow"]
    assert said * 1_000 < 10 * LIMITS.bytes_max


def test_what_must_not_be_lost_ends_a_full_outbox_at_once_in_a_flush_too() -> None:
    tap = Tap(writes_left=0)
    session = session_on(tap, LIMITS)
    session.channels.update(
        {"trade:k:A": Subscription("all", "gap"), "candle.1m:k:A": Subscription("all", "close")}
    )
    for seq in range(1, LIMITS.messages_max + 3):
        one = message("trade:k:A", seq)
        session.take(Window().add([one], one.frame("json")), 0.0, in_order=True)
    assert session.closing is None
    last = message("candle.1m:k:A", 1)
    session.take(Window().add([last], last.frame("json")), 0.0, in_order=True)
    assert session.closing is CLOSES["slow"]


def test_those_who_are_too_slow_together_are_each_told_all_of_it() -> None:
    """What came is put together once for all of them; who fills up later has less of it."""
    window, seq = Window(), 0
    sessions = []
    for on_lag, first_flush in (("gap", 0), ("conflate", 0), ("gap", 3), ("conflate", 40)):
        tap = Tap(writes_left=0)
        session = session_on(tap, LIMITS)
        session.channels["trade:k:A"] = Subscription("all", on_lag)  # type: ignore[arg-type]
        sessions.append((tap, session, first_flush))
    for number in range(200):
        if window.is_closed:
            window = Window()
        batch = [message("trade:k:A", seq := seq + 1) for _ in range(11)]
        flush = window.add(batch, b"".join(one.frame("json") for one in batch))
        for _, session, first_flush in sessions:
            if number >= first_flush:
                session.take(flush, 0.0, in_order=True)
    heard = [drained(tap, session) for tap, session, _ in sessions]
    assert heard == [[(1, seq, "slow")], [(seq, seq)], [(34, seq, "slow")], [(seq, seq - 440)]]


def test_of_a_subscription_that_has_ended_nothing_waits_not_even_a_flush_of_one() -> None:
    tap = Tap(writes_left=0)
    session = session_on(tap, LIMITS)
    session.channels["trade:k:A"] = Subscription("all", "gap")
    for one in (message("trade:k:A", 1), Notice(Gap("trade:k:A", 2, 2, "feed"))):
        session.take(Window().add([one], one.frame("json")), 0.0, in_order=True)
    session.outbox.forget("trade:k:A")
    assert not session.outbox
    assert drained(tap, session) == []


def test_nothing_leaves_after_the_end() -> None:
    tap, session = lagging("gap", 3)
    session.end(CLOSES["key_revoked"])
    session.end(CLOSES["slow"])
    session.deliver(message("trade:k:A", 4), Subscription("all", "gap"), 0.0)
    session.say(Pong(1, 1), 0.0)
    tap.writes_left = None
    session.flush()
    assert tap.writes == []
    assert tap.closed is CLOSES["key_revoked"]


class Step(NamedTuple):
    """One thing that happens to a session; unused fields are ignored."""

    what: str
    channel: str = "trade:k:A"
    number: int = 1


CHANNELS = ("trade:k:A", "trade:k:B", "trade:k:C")
WHATS = ("merged", "lose", "reset", "want", "forget", "open", "wait", "flush", "flush")
NUMBERS = st.integers(1, 6)
ROUND = [Step("message", channel) for channel in CHANNELS]
STEPS = st.lists(
    st.builds(
        Step,
        st.sampled_from(("message",) * 6 + WHATS),
        st.sampled_from(CHANNELS),
        NUMBERS,
    ),
    max_size=80,
)
WANTS = (
    Subscription("all", "conflate"),
    Subscription("all", "gap"),
    Subscription("100ms", "conflate"),
)
IN_ORDER = WANTS[:2]


class Account:
    """All that a subscriber was meant to hear of one channel, in order, and how far it has."""

    def __init__(self, channel: str, want: Subscription) -> None:
        self.channel = channel
        self.want = want
        self.next_seq = 1
        self.due: list[tuple[str, int, int]] = []
        """What is still to come: ("message", seq, seq), ("gap", from, to), ("reset", 0, 0)."""
        self.heard = 0

    def settle(self, told: list[dict[str, Any]]) -> None:
        """Strikes out what has come; whatever isn't the next thing due is an error."""
        for one in told[self.heard :]:
            self._strike(one)
        self.heard = len(told)

    def _strike(self, one: dict[str, Any]) -> None:
        kind = one.get("type", "message")
        if kind == "reset":
            assert self.due.pop(0)[0] == "reset"
        elif kind == "gap" and one["by"] == "bus":
            assert self.due.pop(0) == ("gap", one["from"], one["to"])
        elif kind == "gap":
            lost = [self.due.pop(0)]
            while lost[-1][1] != one["to"]:
                lost.append(self.due.pop(0))
            assert {what for what, _, _ in lost} == {"message"}
            assert lost[0][1] == one["from"]
        else:
            stood_for = [self.due.pop(0) for _ in range(one.get("n", 1))]
            assert {what for what, _, _ in stood_for} == {"message"}
            assert stood_for[-1][1] == one["seq"]

    def forget(self) -> None:
        """The subscription ended and began again: nothing of before is still to come."""
        self.due = []


@given(steps=STEPS)
@settings(max_examples=300)
@example([Step("message")] * 12 + [Step("reset"), Step("message"), Step("open", number=6)])
@example([Step("message")] * 12 + [Step("want"), Step("message"), Step("want", number=3)])
@example([Step("message"), Step("want", number=2), *[Step("message"), Step("merged")] * 2])
@example([Step("want", number=2), Step("message"), Step("want"), Step("message"), Step("merged")])
@example([Step("message")] * 12 + [Step("lose"), Step("message"), Step("message")])
@example([*[Step("message")] * 12, Step("open"), *[Step("message")] * 3, Step("forget")])
@example([*ROUND * 4, Step("open"), *ROUND, Step("open", number=2), *ROUND])
@example([*ROUND * 4, Step("open"), Step("lose", CHANNELS[2]), *ROUND, Step("open")])
@example([*[Step("flush", number=5)] * 3, Step("forget"), Step("open"), *[Step("flush")] * 3])
@example([Step("flush", number=3), Step("want"), Step("flush", number=6), Step("open", number=4)])
def test_nothing_is_lost_unsaid_repeated_or_out_of_order(steps: list[Step]) -> None:
    for wants in (WANTS, IN_ORDER):
        check_steps(steps, wants)


def batch_of(step: Step, accounts: dict[str, Account]) -> list[Any]:
    """Messages of some channels, and a gap of one; all of them due from now on."""
    batch: list[Any] = []
    for name, one in list(accounts.items())[: step.number]:
        for _ in range(step.number):
            one.due.append(("message", one.next_seq, one.next_seq))
            batch.append(message(name, one.next_seq))
            one.next_seq += 1
    account = accounts[step.channel]
    account.due.append(("gap", account.next_seq, account.next_seq))
    gap = Gap(step.channel, account.next_seq, account.next_seq, "bus")
    # Behind the channel's own messages, wherever that is among the others'.
    own = [at for at, each in enumerate(batch) if each.channel == step.channel]
    batch.insert(own[-1] + 1 if own else 0, Notice(gap))
    account.next_seq += 1
    return batch


def check_steps(steps: list[Step], wants: Sequence[Subscription]) -> None:
    """`wants`: what there is to choose from."""
    tap = Tap(writes_left=0)
    session = session_on(tap, LIMITS)
    window, largest_flush = Window(messages_max=12), 0
    accounts = {name: Account(name, want) for name, want in zip(CHANNELS, cycle(wants))}
    session.channels.update({name: account.want for name, account in accounts.items()})
    now_s, notices = 0.0, 0
    for step in steps:
        account = accounts[step.channel]
        match step.what:
            case "message":
                account.due.append(("message", account.next_seq, account.next_seq))
                padded = message(step.channel, account.next_seq, b'{"pad":"%b"}' % PAD)
                session.deliver(padded, account.want, now_s)
                account.next_seq += 1
            case "merged":
                numbers = range(account.next_seq, account.next_seq + step.number)
                account.due += [("message", seq, seq) for seq in numbers]
                merged = message(step.channel, numbers[-1], count=step.number)
                session.deliver(merged, account.want, now_s)
                account.next_seq += step.number
            case "lose":
                first, last = account.next_seq, account.next_seq + step.number - 1
                account.due.append(("gap", first, last))
                session.say(Gap(step.channel, first, last, "bus"), now_s)
                account.next_seq, notices = last + 1, notices + 1
            case "reset":
                account.due.append(("reset", 0, 0))
                session.say(Reset(step.channel, "k2", 0, "bus"), now_s)
                account.next_seq, notices = 1, notices + 1
            case "flush":
                batch = batch_of(step, accounts)
                notices += 1
                joined = b"".join([each.frame("json") for each in batch])
                largest_flush = max(largest_flush, len(batch))
                if window.is_closed:
                    window = Window(messages_max=12)
                session.take(window.add(batch, joined), now_s, in_order=wants is IN_ORDER)
            case "want":
                session.seal(step.channel, now_s)
                account.want = wants[step.number % len(wants)]
                session.channels[step.channel] = account.want
            case "forget":
                account.settle(tap.heard_of(step.channel))
                del session.channels[step.channel]
                session.outbox.forget(step.channel)
                session.channels[step.channel] = account.want
                account.forget()
            case "open":
                tap.writes_left = 1 + step.number // 4
                session.flush()
                tap.writes_left = step.number % 2
            case _:
                now_s += step.number
                session.is_too_slow(now_s, SLOW_LIMIT_S)
        most = LIMITS.messages_max + largest_flush + 2 * notices + len(CHANNELS) + 1
        assert len(session.outbox) <= most
        assert session.outbox or not session.is_too_slow(now_s + 1e3, SLOW_LIMIT_S)
    assert session.closing is None
    tap.writes_left = None
    session.flush()
    for name, account in accounts.items():
        account.settle(tap.heard_of(name))
        assert account.due == []
