"""Question (W4): how much memory does an idle connection cost the gateway, and where does it go?

5,000 WebSocket connections that nobody publishes to, of four kinds, each kind on a new gateway:
upgraded only (the key is still to be shown), authenticated, subscribed to one channel, subscribed
to 20 of 100. Memory is the gateway's after minus before, when a first heartbeat has gone out;
warmed up by connections that have left, so that code is not counted. Apart from it: the kernel's
socket buffers, of both ends. Not shown: the kernel's socket structures, TLS.
`python -m bench.fanout.idle`.
"""

import argparse
import resource
import select
import socket
import statistics
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any, Final, NamedTuple

import msgspec
from rich.table import Table

from bench.cpu import stay_off_the_server_core
from bench.fanout.figures import Spread, differences
from bench.fanout.loads import channel
from bench.fanout.memory import memory_of
from bench.fanout.plain_socket import subscribe, upgraded
from bench.fanout.rig import Rig, rig
from bench.setting import described
from bench.verdict import Asked, add_options, at_most, console, keep, table_of

_ASKED_KIB: Final = 16.0
_CHANNELS: Final = 100
_WARM_UP: Final = 10
"""Few: what they leave behind is memory that those who count need not ask for again."""
_SETTINGS: Final[dict[str, Any]] = {"auth_limit_s": 300.0, "ping_interval_s": 300.0}
"""What would end or enlarge an idle connection while it is looked at."""
_IDLE_S: Final = 6.5
"""By default: a heartbeat has gone to everyone by then."""
_SPARE_FILES: Final = 200


class Kind(NamedTuple):
    """What a connection has done before it is idle."""

    name: str
    shows_key: bool
    each: int
    """Channels that it subscribes to."""


KINDS: Final = (
    Kind("upgraded, without a key", shows_key=False, each=0),
    Kind("authenticated", shows_key=True, each=0),
    Kind("subscribed to 1", shows_key=True, each=1),
    Kind("subscribed to 20 of 100", shows_key=True, each=20),
)
_SUBSCRIBED: Final = KINDS[2].name


class Held(msgspec.Struct, frozen=True):
    """What one connection of a kind costs, KiB."""

    kind: str
    connections: int
    rss_kib: float
    pss_kib: float
    sockets_kib: float
    connections_per_s: float


def measured(rig: Rig, kind: Kind, connections: int, idle_s: float) -> Held:
    with opened(rig, kind, _WARM_UP):
        pass
    rig.await_quiet()
    before = memory_of(rig.gateway_id)
    started_s = time.monotonic()
    with opened(rig, kind, connections) as sockets:
        opening_s = time.monotonic() - started_s
        _settle(rig, sockets, idle_s)
        after = memory_of(rig.gateway_id)
    rss, pss, buffers = (
        (late - early) / 1_024 / connections for early, late in zip(before, after, strict=True)
    )
    return Held(kind.name, connections, rss, pss, buffers, connections / opening_s)


@contextmanager
def opened(rig: Rig, kind: Kind, connections: int) -> Iterator[list[socket.socket]]:
    with ExitStack() as stack:
        yield [stack.enter_context(_opened(rig, kind, number)) for number in range(connections)]


def _opened(rig: Rig, kind: Kind, number: int) -> socket.socket:
    """In turn, and waited for: nothing is measured but what is left when all have come."""
    one = upgraded(rig.port, rig.key if kind.shows_key else None)
    if kind.each:
        # One channel is the same for all; of many, each has others.
        first = number * kind.each if kind.each > 1 else 0
        subscribe(one, [channel(at % _CHANNELS) for at in range(first, first + kind.each)])
    return one


def _settle(rig: Rig, sockets: Sequence[socket.socket], idle_s: float) -> None:
    """They are left alone, whatever comes is read, and nothing is left to do."""
    poll = select.epoll()
    for one in sockets:
        one.setblocking(False)
        poll.register(one, select.EPOLLIN)
    by_descriptor = {one.fileno(): one for one in sockets}
    end_s = time.monotonic() + idle_s
    while (left_s := end_s - time.monotonic()) > 0:
        for descriptor, _ in poll.poll(left_s, 1_000):
            assert by_descriptor[descriptor].recv(65_536), "closed by the gateway while idle"
    poll.close()
    rig.await_quiet()


def shown(runs: Sequence[Held]) -> Table:
    table = Table("a connection, KiB", box=None, pad_edge=False)
    for title in ("RSS", "PSS", "to the one above", "kernel buffers", "opened/s"):
        table.add_column(title, justify="right")
    of_kind = {name: [one for one in runs if one.kind == name] for name in _names(runs)}
    steps = differences(
        {name: statistics.median(one.rss_kib for one in ones) for name, ones in of_kind.items()}
    )
    for name, ones in of_kind.items():
        table.add_row(
            name,
            Spread.of(one.rss_kib for one in ones).told(),
            Spread.of(one.pss_kib for one in ones).told(),
            f"{steps[name]:+.1f}",
            Spread.of(one.sockets_kib for one in ones).told(),
            f"{statistics.median(one.connections_per_s for one in ones):,.0f}",
        )
    return table


def _names(runs: Sequence[Held]) -> list[str]:
    return list(dict.fromkeys(one.kind for one in runs))


def asked(runs: Sequence[Held]) -> list[Asked]:
    rss = statistics.median(one.rss_kib for one in runs if one.kind == _SUBSCRIBED)
    return [at_most("W4 an idle, subscribed connection", rss, _ASKED_KIB, " KiB")]


def _allow_files(connections: int) -> None:
    """Raises ValueError where the system doesn't; the gateway inherits it."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = connections + _SPARE_FILES
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def main() -> None:
    parser = argparse.ArgumentParser(prog="bench.fanout.idle", description=__doc__.splitlines()[0])
    add_options(parser, seconds=_IDLE_S)
    parser.add_argument("--connections", type=int, default=5_000)
    options = parser.parse_args()
    stay_off_the_server_core()
    _allow_files(options.connections)
    runs: list[Held] = []
    for number in range(options.repeats):
        for kind in KINDS:
            told = f"idle, repeat {number + 1} of {options.repeats}: {kind.name}"
            print(told, file=sys.stderr)
            with rig("", channels=_CHANNELS, **_SETTINGS) as one:
                runs.append(measured(one, kind, options.connections, options.seconds))
    rows = asked(runs)
    screen = console()
    screen.print(*described(), sep="\n")
    screen.print(shown(runs), table_of(rows))
    path = keep("idle", __doc__, vars(options), runs, rows, options.output)
    screen.print(f"written: {path}")


if __name__ == "__main__":
    main()
