"""One load on one peer that is new for it: how many came, how late, at what cost.

The server has its core to itself; load client, publisher, Redis and this have the other one.
"""

import math
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Final, NamedTuple

import msgspec

from bench.cpu import CLIENT_CORE, OTHERS_CORE, cpu_s, family, pinned
from bench.fanout.loads import Load
from bench.load.client import Heard, LoadClient, heard
from bench.load.listening import START_LIMIT_S, listening
from bench.peers.peer import Ground, Peer, Running
from bench.peers.publish import LEAD_S, WARM, Published

_MARGIN_S: Final = 0.05
"""Before the first tick that counts: then the server's CPU does."""
_WARM_UP_S: Final = 2.0
"""Between the load client's `ready` and the first tick: at most, for the start of Python."""
P99_MAX_MS: Final = 100.0
"""A server is up to a load of W1 as long as it is no later."""
_CLIENT_CORE_MAX: Final = 0.9
_SHARED_CORE_MAX: Final = 0.95
_SERVER_CORE_MAX: Final = 0.9
"""A server that is busier was itself the bottleneck, whoever else was."""


class Trial(msgspec.Struct, frozen=True):
    """The figures of one run. Latencies are from when a tick was due, milliseconds."""

    peer: str
    load: str
    repeat: int
    offered_per_s: float
    deliveries_per_s: float = 0.0
    expected: int = 0
    missing: int = 0
    """That did not come, or not within the limit."""
    holes: int = 0
    """Those of them that later ones were seen behind: not late, but gone."""
    disorder: int = 0
    """What came in the wrong order, or twice."""
    closed: int = 0
    us_per_delivery: float = 0.0
    """CPU of all processes of the server."""
    server_core: float = 0.0
    client_core: float = 0.0
    shared_core: float = 0.0
    """Of the core that is not the server's, all of it that was busy."""
    publisher_late_s: float = 0.0
    kib_per_connection: float = 0.0
    """Of the server's memory (PSS), subscribed and idle."""
    p50: float = 0.0
    p90: float = 0.0
    p99: float = 0.0
    p999: float = 0.0
    max: float = 0.0
    failed: str = ""
    """Why there are no figures."""

    @property
    def faults(self) -> int:
        return self.missing + self.disorder + self.closed

    @property
    def holds(self) -> bool:
        return not self.failed and not self.faults and self.p99 <= P99_MAX_MS

    @property
    def is_client_limited(self) -> bool:
        """Whether those around the server were at their limit and it was not."""
        others = self.client_core > _CLIENT_CORE_MAX or self.shared_core > _SHARED_CORE_MAX
        return others and self.server_core < _SERVER_CORE_MAX


class Field(msgspec.Struct, frozen=True):
    """What all trials use."""

    load_client: str
    """The compiled program."""
    redis_path: str
    programs: Mapping[str, str]
    """What was compiled for peers."""


def run(
    field: Field, peer: Peer, load: Load, *, repeat: int, seconds: float, patience_s: float
) -> Trial:
    """A peer that can't be started, or ends early, is a failed trial, not an error."""
    try:
        with tempfile.TemporaryDirectory(prefix="tg-") as directory:
            ground = Ground(Path(directory), field.redis_path, dict(field.programs))
            with peer.start(ground) as running:
                return _measured(field, peer, running, load, repeat, seconds, patience_s)
    except (OSError, RuntimeError, subprocess.SubprocessError, msgspec.DecodeError) as error:
        why = f"{type(error).__name__}: {error}"
        return Trial(peer.name, load.name, repeat, load.offered_per_s, failed=why)


def _measured(
    field: Field,
    peer: Peer,
    running: Running,
    load: Load,
    repeat: int,
    seconds: float,
    patience_s: float,
) -> Trial:
    server_id, expected = running.process.pid, load.deliveries(seconds)
    client = LoadClient(
        port=running.port,
        connections=load.connections,
        channels=load.channels,
        each=load.each,
        expected=expected,
        limit_s=_WARM_UP_S + seconds + patience_s,
        key=running.key,
        dialect=peer.dialect,
        path=peer.path,
    )
    empty_kib = _memory_kib(server_id)
    with listening(field.load_client, client) as hearing:
        kib = (_memory_kib(server_id) - empty_kib) / load.connections
        publisher = _warmed_up(peer, running, load, seconds)
        try:
            started_s = time.monotonic()
            server_s, shared_s = cpu_s(*family(server_id)), _busy_s(CLIENT_CORE)
            told, _ = hearing.communicate(timeout=seconds + patience_s + START_LIMIT_S)
            server_s = cpu_s(*family(server_id)) - server_s
            wall_s = time.monotonic() - started_s
            shared_s = _busy_s(CLIENT_CORE) - shared_s
        finally:
            late_s = _stopped(publisher)
    cost = _Cost(wall_s, server_s, shared_s, late_s, kib)
    return _trial(peer, load, repeat, expected, heard(told), cost)


class _Cost(NamedTuple):
    wall_s: float
    server_s: float
    shared_s: float
    publisher_late_s: float
    kib_per_connection: float


def _trial(peer: Peer, load: Load, repeat: int, expected: int, one: Heard, cost: _Cost) -> Trial:
    span_s = max(one.span_s, 1e-3) if one.messages else math.inf
    return Trial(
        peer=peer.name,
        load=load.name,
        repeat=repeat,
        offered_per_s=load.offered_per_s,
        deliveries_per_s=one.messages / span_s,
        expected=expected,
        missing=expected - one.messages,
        holes=one.holes,
        disorder=one.disorder,
        closed=one.closed,
        us_per_delivery=cost.server_s / max(1, one.messages) * 1e6,
        server_core=cost.server_s / cost.wall_s,
        client_core=one.cpu_s / cost.wall_s,
        shared_core=cost.shared_s / cost.wall_s,
        publisher_late_s=cost.publisher_late_s,
        kib_per_connection=cost.kib_per_connection,
        p50=one.p50_us / 1_000,
        p90=one.p90_us / 1_000,
        p99=one.p99_us / 1_000,
        p999=one.p999_us / 1_000,
        max=one.max_us / 1_000,
    )


def _warmed_up(peer: Peer, running: Running, load: Load, seconds: float) -> "subprocess.Popen[str]":
    """A publisher that is about to publish what counts."""
    words = (peer.wire, running.publish_to, load.channels, load.ticks_per_s, load.ticks(seconds))
    publisher = subprocess.Popen(
        pinned(OTHERS_CORE, sys.executable, "-m", "bench.peers.publish", *words),
        stdout=subprocess.PIPE,
        text=True,
    )
    assert publisher.stdout is not None
    if publisher.stdout.readline() != WARM:
        publisher.wait()
        raise RuntimeError("the publisher could not publish")
    time.sleep(LEAD_S - _MARGIN_S)
    return publisher


def _stopped(publisher: "subprocess.Popen[str]") -> float:
    """How late it was; -1 if the server took less than all."""
    publisher.terminate()
    told, _ = publisher.communicate()
    return msgspec.json.decode(told, type=Published).late_s if told else -1.0


def _memory_kib(process_id: int) -> int:
    """What these processes have for themselves, and their share of what they share."""
    return sum(_pss_kib(one) for one in family(process_id))


def _pss_kib(process_id: int) -> int:
    for line in Path(f"/proc/{process_id}/smaps_rollup").read_text().splitlines():
        if line.startswith("Pss:"):
            return int(line.split()[1])
    return 0


_TICKS_PER_S: Final = 100
"""Of /proc/stat: USER_HZ, which Linux has fixed."""


def _busy_s(core: int) -> float:
    """Seconds that a core has not been idle, for whomever."""
    for line in Path("/proc/stat").read_text().splitlines():
        words = line.split()
        if words[0] == f"cpu{core}":
            user, nice, system, _idle, _iowait, hard, soft = map(int, words[1:8])
            return (user + nice + system + hard + soft) / _TICKS_PER_S
    return 0.0
