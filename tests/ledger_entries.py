"""Signals, and what came of them by the derivation itself."""

from random import Random

from feeds.derived.outcomes import due_us, outcome_of, pair_of
from feeds.market import Direction, Outcome, Reference, Signal

NOW_US = 1_763_632_800_000_000
SECOND_US = 1_000_000
COST_BPS = 20.0


def signal(
    at_s: float = 0.0,
    direction: Direction = "bull",
    price: str = "100",
    *,
    model: str = "trend",
    version: int = 1,
    pair: str = "BTC-USD",
    horizon_s: int = 60,
    last_move: float | None = None,
    probability_up: float | None = None,
    simulated: bool = False,
) -> Signal:
    at_us = NOW_US + round(at_s * SECOND_US)
    return Signal(
        f"{model}-{version}:{pair}:{at_us}",
        model,
        version,
        direction,
        {"bull": 0.5, "bear": -0.5, "neutral": 0.0}[direction],
        at_us,
        horizon_s,
        at_us + horizon_s * SECOND_US,
        Reference(f"price:agg:{pair}", price, at_us, "6b003", 17),
        {"macd": 0.25, "ema": 1.5},
        last_move,
        probability_up,
        simulated,
        at_us,
    )


def outcome(of: Signal, price: str | None = "101", cost_bps: float = COST_BPS) -> Outcome:
    """None: there was no price in time."""
    at = None
    if price is not None:
        at = Reference(of.reference.channel, price, due_us(of) + 5_000, "6b003", 99)
    return outcome_of(
        of, at, cost_bps, best=0.02, worst=-0.01, is_partial=False, wait_us=30_000_000,
        received_us=None,
    )  # fmt: skip


def history(count: int, seed: int = 1, **given: bool) -> list[Signal | Outcome]:
    """Signals of two models and two pairs, each with its outcome a little later, but the last."""
    random = Random(seed)
    rows: list[Signal | Outcome] = []
    waiting: list[Signal] = []
    for number in range(count):
        one = signal(
            number * 30,
            random.choice(("bull", "bear", "neutral")),
            f"{random.uniform(90, 110):.2f}",
            model=random.choice(("trend", "learned")),
            pair=random.choice(("BTC-USD", "ETH-USD")),
            last_move=random.choice((None, 0.0, random.gauss(0, 0.01))),
            probability_up=random.choice((None, random.random())),
            **given,
        )
        rows.append(one)
        waiting.append(one)
        if len(waiting) > 3:
            first = waiting.pop(0)
            start = float(first.reference.price)
            priced = random.random() < 0.9
            end = f"{start * (1 + random.gauss(0, 0.01)):.2f}" if priced else None
            rows.append(outcome(first, end))
    return rows


__all__ = ["COST_BPS", "NOW_US", "SECOND_US", "history", "outcome", "pair_of", "signal"]
