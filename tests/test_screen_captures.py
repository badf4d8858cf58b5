"""All captured healthy streams through the screen: nothing may be refused, and what is flagged is
listed here with its reason.

Each connection by itself, in order; receive times as recorded.
"""

from collections import Counter
from pathlib import Path

import pytest

from feeds.market import Tick
from feeds.recordings.recording import Frame, chunks, read_batches
from feeds.venue import ParseError
from feeds.venues import VENUES
from feeds.watching.screen import Reason
from feeds.watching.watches import Watches


def screened(venue: str, file: Path) -> tuple[int, int, int, Counter[Reason]]:
    """Ticks, those passed, those missing, and what was found."""
    row = VENUES[venue]
    watches = Watches(
        venue,
        [],
        row.trade_ids,
        0,
        can_renew=True,
        tell=lambda _: None,
        on_change=lambda: None,
    )
    parser, ticks, passed = row.parser(None), 0, 0
    with file.open("rb") as stream:
        for batch in read_batches(chunks(stream)):
            for frame in batch:
                if not isinstance(frame, Frame):
                    continue
                try:
                    events = parser.feed(frame.frame, frame.received_ns)
                except ParseError:
                    continue
                found = [event for event in events if isinstance(event, Tick)]
                now_us = (frame.received_ns or 0) // 1_000
                ticks += len(found)
                passed += len(watches.pass_on(found, now_us / 1e6, now_us))
    counts = watches.counts
    return ticks, passed, counts.missing, Counter({k: n for k, n in counts.found.items() if n})


@pytest.mark.parametrize(
    ("venue", "folder", "pattern", "ticks"),
    [
        ("binance", "captures/sessions/binance", "*.gz", 9_331),
        ("coinbase", "captures/sessions/coinbase", "*.gz", 225),
        ("bitstamp", "captures/sessions/bitstamp", "*.gz", 16),
        ("binance", "replay", "spot_btcusdt_*.gz", 93_078),
        ("kraken", "captures/kraken_v2", "*.jsonl", 3),
    ],
)
def test_no_captured_healthy_tick_is_refused_flagged_or_missing(
    venue: str, folder: str, pattern: str, ticks: int, shared: Path
) -> None:
    files = sorted((shared / folder).glob(pattern))
    told = [screened(venue, file) for file in files]
    assert sum(one[0] for one in told) == ticks
    assert [(passed, missing) for _, passed, missing, _ in told] == [(one[0], 0) for one in told]
    assert [found for *_, found in told] == [Counter()] * len(files)
