"""Entries, one after the other: each follows from those before, or is told why it does not."""

import hashlib
import json
from collections.abc import Sequence

import msgspec
import pytest

from feeds.ledger.audit import Audit, WrongEntryError
from feeds.ledger.entry import NOTHING_BEFORE, Entry, Genesis, Payload, entry_of, seal
from feeds.ledger.unpublished import tick_of, unpublished
from feeds.market import Outcome, Signal
from feeds.market import Payload as Told
from tests.ledger_entries import NOW_US, SECOND_US, history, outcome, signal

GENESIS = Genesis("5f0c", NOW_US, 1, simulated=False)
ONE = signal()
ENDED = outcome(ONE)


def chained(*payloads: Payload) -> list[Entry]:
    """As a ledger would hold them, if it took anything."""
    entries: list[Entry] = []
    for payload in payloads:
        previous = entries[-1].hash if entries else NOTHING_BEFORE
        entries.append(entry_of(payload, len(entries) + 1, NOW_US, previous))
    return entries


def objection(entries: Sequence[Entry]) -> str | None:
    audit = Audit()
    try:
        for entry in entries:
            audit.hear(entry)
    except WrongEntryError as error:
        return str(error)
    return None


def test_whoever_has_the_rows_can_check_the_hashes() -> None:
    first, second = chained(GENESIS, ONE)
    line = (
        f'{{"n":2,"at":{NOW_US},"kind":"signal","previous":"{first.hash}",'
        f'"payload":{second.payload.decode()}}}'
    )
    assert json.loads(line)["payload"]["id"] == ONE.id
    assert second.hash == hashlib.sha256(line.encode()).hexdigest()


def test_the_same_signal_is_always_written_the_same() -> None:
    turned = dict(reversed(ONE.reasons.items()))
    other = msgspec.structs.replace(ONE, reasons=turned)
    assert chained(GENESIS, ONE) == chained(GENESIS, other)


def test_what_a_ledger_takes_is_right() -> None:
    assert objection(chained(GENESIS, *history(100))) is None


@pytest.mark.parametrize(
    ("payloads", "why"),
    [
        ((ONE,), "entry 1: the ledger does not begin by saying which one it is"),
        ((GENESIS, GENESIS), "entry 2: a ledger begins once"),
        (
            (msgspec.structs.replace(GENESIS, version=2),),
            "entry 1: its format is 2; this program knows 1",
        ),
        ((GENESIS, ONE, ONE), f"entry 3: signal {ONE.id} is there already"),
        (
            (GENESIS, ENDED),
            f"entry 2: no signal {ONE.id} waits for an outcome: it has one, or never was",
        ),
        (
            (GENESIS, ONE, ENDED, ENDED),
            f"entry 4: no signal {ONE.id} waits for an outcome: it has one, or never was",
        ),
        (
            (GENESIS, signal(simulated=True)),
            "entry 2: simulated and live signals are mixed",
        ),
        (
            (GENESIS, msgspec.structs.replace(ONE, id="trend-2:BTC-USD:1")),
            "entry 2: its id, price or horizon are none",
        ),
        (
            (GENESIS, signal(price="ten")),
            "entry 2: its id or its price can't be read",
        ),
    ],
)
def test_an_entry_that_can_not_stand_where_it_stands_is_told_why(
    payloads: Sequence[Payload], why: str
) -> None:
    assert objection(chained(*payloads)) == why


@pytest.mark.parametrize(
    ("changed", "why"),
    [
        ({"move": 0.5}, "its prices give a move of 0.010000000000000009 and a result of 0.008"),
        ({"result": None}, "its prices give a move of "),
        ({"direction": "bear"}, "model, version, direction or due time are not its signal's"),
        ({"due_us": ONE.expires_us + 1}, "model, version, direction or due time are not"),
        ({"probability_up": 0.9}, "last move or probability are not its signal's"),
        ({"reference": None}, "it has no price, and a return or no reason all the same"),
        (
            {"reference": msgspec.structs.replace(ONE.reference, price="101")},
            "its price is of another channel, or of before it was due",
        ),
    ],
)
def test_an_outcome_that_does_not_follow_from_its_signal_is_told_why(
    changed: dict[str, object], why: str
) -> None:
    told = objection(chained(GENESIS, ONE, msgspec.structs.replace(ENDED, **changed)))
    assert told is not None
    assert told.startswith(f"entry 3: {why}")


@pytest.mark.parametrize("at", range(1, 5))
def test_no_entry_can_be_left_out_or_moved(at: int) -> None:
    entries = chained(GENESIS, ONE, ENDED, signal(30), signal(60))
    without = entries[:at] + entries[at + 1 :]
    assert (objection(without) is None) == (at == 4)
    renumbered = [entry._replace(n=number + 1) for number, entry in enumerate(without)]
    assert (objection(renumbered) is None) == (at == 4)
    moved = [*without[: at - 1], entries[at], *without[at - 1 :]]
    assert objection(moved) is not None


def test_a_payload_of_another_kind_is_none() -> None:
    (first,) = chained(GENESIS)
    payload = b'{"n":1}'
    hash_ = seal(2, NOW_US, "signal", first.hash, payload)
    told = objection([first, Entry(2, NOW_US, "signal", None, payload, first.hash, hash_)])
    assert told is not None
    assert told.startswith("entry 2: it is no signal: ")


def test_a_wrong_entry_changes_nothing() -> None:
    audit = Audit()
    first, second = chained(GENESIS, ONE)
    audit.hear(first)
    with pytest.raises(WrongEntryError):
        audit.hear(second._replace(at_us=5))
    assert (audit.entries, audit.head, audit.open) == (1, first.hash, {})
    audit.hear(second)
    assert list(audit.open) == [ONE.id]


def test_a_copy_goes_its_own_way() -> None:
    audit = Audit()
    first, second = chained(GENESIS, ONE)
    audit.hear(first)
    copy = audit.copy()
    copy.hear(second)
    assert (audit.entries, copy.entries) == (1, 2)
    assert audit.open == {}


def histories(*payloads: Signal | Outcome) -> dict[str, list[Told]]:
    """As they stand in Redis."""
    kept: dict[str, list[Told]] = {}
    for tick in map(tick_of, payloads):
        kept.setdefault(tick.channel.name, []).append(tick.payload)
    return kept


SPEAKS_US = NOW_US + 45 * SECOND_US


def test_what_a_crash_left_between_ledger_and_subscribers_is_told_in_order() -> None:
    recent = [signal(-90), outcome(signal(-90)), ONE, signal(30, pair="ETH-USD")]
    ticks = unpublished(recent, histories(recent[0], ONE), SPEAKS_US)
    assert [tick.channel.name for tick in ticks] == [
        "outcome:trend:BTC-USD", "signal:trend:ETH-USD",
    ]  # fmt: skip
    assert [tick.payload for tick in ticks] == [recent[1], recent[3]]


def test_what_was_published_is_not_told_again() -> None:
    told = list(history(30))
    assert unpublished(told, histories(*told), SPEAKS_US) == []
    assert unpublished([], {}, SPEAKS_US) == []


def test_of_a_redis_that_lost_its_memory_only_what_still_speaks_is_told_again() -> None:
    recent = [signal(-90), outcome(signal(-90)), ONE, signal(10), outcome(signal(10))]
    assert [tick.payload for tick in unpublished(recent, {}, SPEAKS_US)] == [ONE]
