"""What is derived keeps no more the longer it runs: by the objects and by the blocks of memory."""

import gc
import sys
from typing import Final, NamedTuple

from feeds.derived import DERIVATIONS
from feeds.derived.chain import Chain
from feeds.derived.fixed_point import read
from feeds.derived.settings import DerivedSettings
from feeds.derived.signal_settings import SignalSettings
from feeds.market import Outcome, Signal, Tick
from feeds.sim import Market

START_US: Final = 1_763_632_800_000_000
PAIRS: Final = 2
TICKS_PER_S: Final = 8
WAKES_PER_S: Final = 4
WARM_UP_S: Final = 400
"""The longest history of a model is 240 candles, the longest horizon a minute."""
SETTINGS: Final = DerivedSettings(
    signal=SignalSettings(models=("trend", "reversion", "flow", "anomaly")), simulated=True
)


class Kept(NamedTuple):
    """What a process keeps."""

    objects: int
    blocks: int


def kept() -> Kept:
    # Not of them: it fills up to its own bound.
    read.cache_clear()
    gc.collect()
    return Kept(len(gc.get_objects()), sys.getallocatedblocks())


def run(chain: Chain, market: Market, from_s: int, until_s: int) -> list[Tick]:
    """What is told of a market's ticks, by a clock of its own."""
    told: list[Tick] = []
    for wake in range(from_s * WAKES_PER_S, until_s * WAKES_PER_S):
        now_us = START_US + wake * 1_000_000 // WAKES_PER_S
        ticks = [market.tick(now_us, now_us) for _ in range(TICKS_PER_S // WAKES_PER_S)]
        told += chain.take(ticks, now_us)
        told += chain.wake(now_us)
    return told


def test_derivations_keep_no_more_after_twenty_minutes_than_after_their_warm_up() -> None:
    chain, market = Chain(DERIVATIONS, SETTINGS), Market(PAIRS, seed=1)
    run(chain, market, 0, WARM_UP_S)
    early = kept()
    told = {type(tick.payload) for tick in run(chain, market, WARM_UP_S, 3 * WARM_UP_S)}
    late = kept()
    assert {Signal, Outcome} <= told
    assert late.objects - early.objects < 50
    assert late.blocks - early.blocks < 500
