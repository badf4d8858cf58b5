"""Question: what do other servers make of the clients and ticks that this gateway is measured with?

W1: 1,000 subscribers of one channel, at growing rates until p99 > 100 ms or loss.
W2: the same at 100 ticks/s. W3: 500 connections with 20 of 100 channels each at 2,000 ticks/s. All
peers in turn for each load, each started anew, on core 0; all else shares core 1. Open loop: a tick
is late by when it was due. Those not installed are named. `python -m bench.peers`.
"""

import argparse
import contextlib
import resource
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

from bench.cpu import OTHERS_CORE, stay_off_the_server_core
from bench.fanout.loads import W2, W3, Load, w1
from bench.load.client import built, compiled
from bench.peers import node_ws
from bench.peers.climb import Climb, again
from bench.peers.figures import Peak, Row, ratio_of_peaks, rows, table_of
from bench.peers.peer import Peer
from bench.peers.table import PEERS, REFERENCE
from bench.peers.trial import Field, Trial, run
from bench.setting import described, redis_server
from bench.verdict import Asked, at_least, at_most, console, keep
from bench.verdict import add_options as add_common_options
from bench.verdict import table_of as table_of_asked

_SOURCE: Final = Path(__file__).with_name("bare.c")
_PATIENCE_S: Final = 4.0
"""Beyond the schedule, for what is late: then it counts as missing."""
_STEP_PATIENCE_S: Final = 1.0
_WIDTH: Final = 160
_FILES: Final = 65_536
_OURS: Final = "tickgate"


class Contest:
    """All trials of a run."""

    def __init__(self, field: Field, peers: Sequence[Peer], seconds: float, step_s: float) -> None:
        self.trials: list[Trial] = []
        self.peaks: list[Peak] = []
        self._field = field
        self._peers = peers
        self._seconds = seconds
        self._step_s = step_s
        self._held: dict[str, float] = {}
        """What each peer held in the repeat before, ticks per second."""

    def repeat(self, number: int, steps_max: int) -> None:
        for peer in self._peers:
            self._trial(peer, W2, number, self._seconds, _PATIENCE_S)
        for peer in self._peers:
            self._trial(peer, W3, number, self._seconds, _PATIENCE_S)
        self._climb(number, steps_max)

    def _climb(self, number: int, steps_max: int) -> None:
        """One step of each peer after the other, until nobody gets any higher."""
        climbs = {peer.name: self._climb_of(peer.name, steps_max) for peer in self._peers}
        reached = dict.fromkeys(climbs, 0.0)
        while any(climb.next_rate() for climb in climbs.values()):
            for peer in self._peers:
                climb = climbs[peer.name]
                rate = climb.next_rate()
                if rate is None:
                    continue
                trial = self._trial(peer, w1(round(rate)), number, self._step_s, _STEP_PATIENCE_S)
                climb.tell(rate, holds=trial.holds, is_client_limited=trial.is_client_limited)
                if trial.holds:
                    # Who begins late ends a short while later: no faster than it was offered.
                    held_per_s = min(trial.deliveries_per_s, trial.offered_per_s)
                    reached[peer.name] = max(reached[peer.name], held_per_s)
        for name, climb in climbs.items():
            self._held[name] = climb.held
            self.peaks.append(Peak(name, number, reached[name], climb.is_client_limited))

    def _climb_of(self, name: str, steps_max: int) -> Climb:
        held = self._held.get(name)
        return Climb(W2.ticks_per_s, steps_max=steps_max) if held is None else again(held)

    def _trial(
        self, peer: Peer, load: Load, number: int, seconds: float, patience_s: float
    ) -> Trial:
        trial = run(self._field, peer, load, repeat=number, seconds=seconds, patience_s=patience_s)
        self.trials.append(trial)
        print(_line(trial), file=sys.stderr, flush=True)
        return trial


def _line(trial: Trial) -> str:
    start = f"{trial.repeat} {trial.load:>9} {trial.peer:14}"
    if trial.failed:
        return f"{start} failed: {trial.failed}"
    limited = ", client-limited" if trial.is_client_limited else ""
    return (
        f"{start} {trial.deliveries_per_s:9,.0f}/s, {trial.us_per_delivery:.2f} µs each, "
        f"p99 {trial.p99:,.1f} ms, missing {trial.missing}, core {trial.server_core:.0%}, "
        f"client {trial.client_core:.0%}{limited}"
    )


def asked(told: Sequence[Row]) -> list[Asked]:
    """What issue 3 wants of this gateway beside the others; nothing of peers that aren't here."""
    found: list[Asked] = []
    ours = next((row for row in told if row.peer == _OURS), None)
    if ours is None:
        return found
    if ours.w2_ratio:
        found.append(at_most("W2, CPU to bare C", ours.w2_ratio.median, 1.2, "x"))
    nchan = next((row for row in told if row.peer == "nchan"), None)
    if ours.w2_us and nchan and nchan.w2_us:
        times = ours.w2_us.median / nchan.w2_us.median
        found.append(at_most("W2, CPU to nchan", times, 0.95, "x"))
    for other, least in (("nats", 2.0), ("uwebsockets", 1.8), ("nchan", 30.0)):
        more = ratio_of_peaks(told, _OURS, other)
        if more is not None:
            found.append(at_least(f"W1, to {other}", more, least, "x"))
    return found


@contextlib.contextmanager
def _field() -> Iterator[Field]:
    with compiled() as load_client, built(_SOURCE) as bare, redis_server(OTHERS_CORE) as path:
        yield Field(load_client, path, {"bare": bare})


def _install_node_packages() -> None:
    """What the lock file names, and only if it isn't there: the one thing that is installed."""
    here = Path(__file__).with_name("node")
    if (here / "node_modules").exists():
        return
    with contextlib.suppress(FileNotFoundError):
        command = ("npm", "ci", "--no-audit", "--no-fund", "--ignore-scripts")
        subprocess.run(command, cwd=here, stdout=sys.stderr, check=False)


def _chosen(only: str) -> tuple[list[Peer], dict[str, str]]:
    """The peers that are here, and what would install the others."""
    names = set(filter(None, only.split(",")))
    unknown = names - {peer.name for peer in PEERS}
    if unknown:
        sys.exit(f"bench.peers: no such peer: {', '.join(sorted(unknown))}")
    wanted = [peer for peer in PEERS if not names or peer.name in names or peer is REFERENCE]
    missing = {peer.name: peer.missing() for peer in wanted}
    skipped = {name: how for name, how in missing.items() if how}
    return [peer for peer in wanted if peer.name not in skipped], skipped


def main() -> None:
    options = _options()
    resource.setrlimit(resource.RLIMIT_NOFILE, _files())
    stay_off_the_server_core()
    if not options.only or node_ws.PEER.name in options.only.split(","):
        _install_node_packages()
    peers, skipped = _chosen(options.only)
    versions = {peer.name: peer.version() for peer in peers}
    with _field() as field:
        contest = Contest(field, peers, options.seconds, options.step_seconds)
        for number in range(1, options.repeats + 1):
            contest.repeat(number, options.steps)
    told = rows(contest.trials, contest.peaks, REFERENCE.name)
    path = keep(
        "peers",
        __doc__ or "",
        {**vars(options), "versions": versions, "skipped": skipped},
        [*told, *contest.peaks, *contest.trials],
        asked(told),
        options.output,
    )
    _show(told, skipped, versions)
    print(f"written to {path}")


def _show(told: Sequence[Row], skipped: dict[str, str], versions: dict[str, str]) -> None:
    screen = console()
    screen.width = _WIDTH
    screen.print(*described(), sep="\n")
    screen.print(*(f"{name}: {version}" for name, version in versions.items()), sep="\n")
    screen.print(table_of(told))
    screen.print(
        "(medians, the least and the greatest in brackets; * client-limited: when it failed"
    )
    screen.print(
        "it was not busy but those around it were, or they could do no more: it may do more)"
    )
    screen.print(table_of_asked(asked(told)))
    for row in told:
        for failure in row.failures:
            screen.print(f"{row.peer} failed: {failure}")
    for name, how in skipped.items():
        screen.print(f"skipped: {name} ({how})")


def _files() -> tuple[int, int]:
    """As many open files as may be had: servers inherit it."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    soft = _FILES if hard == resource.RLIM_INFINITY else min(_FILES, hard)
    return soft, hard


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="bench.peers", description=__doc__)
    add_common_options(parser, seconds=4)
    parser.add_argument("--only", default="", help="names, divided by commas; bare_c runs always")
    parser.add_argument("--step-seconds", type=float, default=2.0, help="of a step of W1 [2]")
    parser.add_argument("--steps", type=int, default=10, help="of W1 at most [10]")
    parser.add_argument("--quick", action="store_true", help="does it work? 1 s, once, 2 steps")
    options = parser.parse_args()
    if options.quick:
        options.seconds, options.step_seconds, options.repeats, options.steps = 1.0, 1.0, 1, 2
    return options


if __name__ == "__main__":
    main()
