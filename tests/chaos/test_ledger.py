"""What the clients of `make chaos` would find: each broken promise is planted, and is seen."""

from typing import Any

import pytest

from gateway.client import Accepted, Ack, Gap, Missed, Reset
from tests.chaos.ledger import Ledger, Truth
from tests.chaos.truth import Said, price_of

TRADES = "trade:toy:A-USD"
QUOTES = "quote:toy:A-USD"


def trade(seq: int, n: int | None = None, run: int = 1, **changes: Any) -> dict[str, Any]:
    """One that is published as the n-th: as the seq-th, unless said otherwise."""
    said = Said(run, seq if n is None else n)
    told = {"ch": TRADES, "seq": seq, "px": price_of(said), "id": f"{said.run}-{said.n}", "tx": seq}
    return told | changes


def quote(seq: int, stands_for: int) -> dict[str, Any]:
    price = price_of(Said(1, seq))
    told = {"ch": QUOTES, "seq": seq, "bid": price, "bid_sz": str(seq), "ask_sz": "1", "tx": seq}
    return told | {"n": stands_for}


def heard(*messages: Any, truth: Truth | None = None) -> list[str]:
    """The kinds of what a client at seq 5 finds in these."""
    ledger = Ledger("client", truth or Truth())
    ledger.subscribed(Ack(1, [Accepted(TRADES, "e1", 5), Accepted(QUOTES, "e1", 5)]))
    for message in messages:
        ledger.hear(message)
    return [found.kind for found in ledger.findings]


@pytest.mark.parametrize(
    "messages",
    [
        [trade(6), trade(7)],
        [trade(5), trade(6)],  # The newest, told at subscribing.
        [trade(6), Gap(TRADES, 7, 9, "bus"), trade(10)],
        [trade(6), Missed(TRADES, 7, 9, "away"), trade(10)],
        [trade(6), Reset(TRADES, "e2", 0, "bus"), trade(1, 7), trade(2, 8)],
        [trade(6), Reset(TRADES, "e2", 3, "bus"), trade(3, 9), trade(4, 10)],
        [trade(6), trade(7, 1, run=2)],  # The feed was started again.
        [quote(8, 3), quote(9, 1)],
    ],
)
def test_what_is_promised_is_no_finding(messages: list[Any]) -> None:
    assert heard(*messages) == []


@pytest.mark.parametrize(
    ("messages", "kind"),
    [
        ([trade(6), trade(8)], "silent"),
        ([quote(8, 2)], "silent"),
        ([trade(6), Gap(TRADES, 8, 9, "bus")], "silent"),
        ([trade(6), Missed(TRADES, 7, 9, "unannounced")], "silent"),
        ([trade(6), trade(6)], "duplicated"),
        ([trade(6), trade(7), trade(6)], "reordered"),
        ([trade(6), Gap(TRADES, 6, 7, "bus")], "untrue"),
        ([trade(6), Reset(TRADES, "e1", 0, "bus")], "untrue"),
        ([trade(6), trade(7, 8)], "false"),
        ([trade(6), trade(7, px="1.00")], "false"),
        ([trade(6, run=2), trade(7, run=1)], "false"),
        ([trade(6), trade(7, 3, run=2)], "false"),  # Of a feed started again, two are missing.
    ],
)
def test_a_broken_promise_is_found(messages: list[Any], kind: str) -> None:
    assert heard(*messages) == [kind]


def test_two_clients_that_were_told_different_things_under_one_seq_are_found() -> None:
    truth = Truth()
    assert heard(trade(6), truth=truth) == []
    assert heard(trade(6, 7), truth=truth) == ["false"]
