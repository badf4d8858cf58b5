"""bench.peers and the load client: what they count, and how they look for the most."""

import asyncio
import contextlib
import json
import shutil
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
from websockets.asyncio.server import ServerConnection, serve

from bench.fanout.figures import Spread
from bench.fanout.loads import W2, W3, Load
from bench.load.client import Heard, LoadClient, compiled, heard
from bench.load.client import built as built_of
from bench.peers import bare_c
from bench.peers.climb import RATE_MAX, Climb, again
from bench.peers.figures import Peak, ratio_of_peaks, rows
from bench.peers.peer import Peer
from bench.peers.trial import Field, Trial, run
from bench.peers.wires import message, mqtt_packet, wires
from bench.setting import redis_server

_NEEDS_COMPILER = pytest.mark.skipif(
    not any(map(shutil.which, ("cc", "gcc", "clang"))), reason="there is no C compiler"
)
_BARE = Path(bare_c.__file__).with_name("bare.c")


@pytest.fixture(scope="module")
def program() -> Iterator[str]:
    with compiled() as path:
        yield path


def test_only_options_that_differ_from_the_default_are_said() -> None:
    client = LoadClient(port=7, connections=3, limit_s=2.5, receive_buffer=4_096)
    assert client.command("load") == [
        *("load", "--port", "7", "--connections", "3", "--limit-s", "2.5"),
        *("--receive-buffer", "4096"),
    ]


def test_other_servers_send_what_the_gateway_makes_of_its_publication() -> None:
    tick = ("trade:bench:C00000", 9, 1_763_632_800_123_456)
    payload = wires(b"b1")["tickgate"].encode(*tick).partition(b" - ")[2].removesuffix(b"\r\n")
    spliced = b'{"ch":"trade:bench:C00000","seq":9,%b,"gw":1763632800123456}' % payload[1:-1]
    assert message(*tick) == spliced


@pytest.mark.parametrize("wire", ["redis", "nats", "mqtt", "nchan", "centrifugo"])
def test_a_wire_carries_the_message_as_it_is(wire: str) -> None:
    text = message("trade:bench:C00000", 9, 1_763_632_800_123_456)
    assert text in wires(b"b1")[wire].encode("trade:bench:C00000", 9, 1_763_632_800_123_456)


def test_the_size_of_a_long_mqtt_packet_takes_two_bytes() -> None:
    assert mqtt_packet(0x30, bytes(321))[:3] == bytes((0x30, 0xC1, 0x02))


def test_a_climb_ends_between_what_held_and_what_failed() -> None:
    assert _climbed(Climb(100), limit=1_330) == pytest.approx(1_330, rel=0.2)


def test_a_climb_goes_down_when_the_first_rate_fails() -> None:
    assert _climbed(Climb(100), limit=30) == pytest.approx(30, rel=0.2)


def test_a_server_that_fares_better_with_more_to_join_is_found_out() -> None:
    climb = Climb(100)
    while (rate := climb.next_rate()) is not None:
        climb.tell(rate, holds=300 < rate < 2_000)
    assert climb.held == pytest.approx(2_000, rel=0.2)


def test_a_climb_gives_up_when_nothing_holds() -> None:
    assert _climbed(Climb(100), limit=0) == 0


def test_a_climb_ends_at_what_the_publisher_can_do() -> None:
    assert _climbed(Climb(100), limit=1e9) == RATE_MAX


def test_a_later_climb_takes_two_steps_when_nothing_has_changed() -> None:
    climb = again(800)
    climb.tell(800, holds=True)
    climb.tell(960, holds=False)
    assert (climb.held, climb.next_rate()) == (800, None)


def test_a_climb_that_ends_at_the_publisher_is_client_limited() -> None:
    climb = Climb(RATE_MAX)
    climb.tell(RATE_MAX, holds=True)
    assert (climb.held, climb.is_client_limited, climb.next_rate()) == (RATE_MAX, True, None)


def test_a_climb_goes_on_while_it_holds_though_the_client_is_busy() -> None:
    climb = Climb(100)
    climb.tell(100, holds=True, is_client_limited=True)
    assert (climb.is_client_limited, climb.next_rate()) == (False, 200)


def test_a_climb_says_who_was_at_the_limit_where_it_failed() -> None:
    climb = Climb(100)
    climb.tell(100, holds=True)
    climb.tell(200, holds=False, is_client_limited=True)
    climb.tell(141, holds=False)
    assert not climb.is_client_limited


def test_cost_is_compared_with_the_reference_of_the_same_repeat() -> None:
    trials = [_w2("bare_c", 1, 5.0), _w2("x", 1, 6.0), _w2("bare_c", 2, 10.0), _w2("x", 2, 10.0)]
    other = rows(trials, [], "bare_c")[1]
    assert other.w2_ratio == Spread(1.1, 1.0, 1.2)


def test_a_failed_trial_is_told_and_not_counted() -> None:
    trials = [_w2("x", 1, 6.0), Trial("x", W2.name, 2, 1.0, failed="no such thing")]
    (row,) = rows(trials, [], "bare_c")
    assert row.w2_us == Spread(6.0, 6.0, 6.0)
    assert row.failures == ["no such thing"]


def test_whatever_is_wrong_in_w3_is_missing() -> None:
    trial = Trial("x", W3.name, 1, 1.0, missing=3, disorder=2, closed=1)
    assert rows([trial], [], "bare_c")[0].w3_missing == 6


def test_peaks_are_compared_by_their_medians() -> None:
    trials = [_w2("x", 1, 1.0), _w2("y", 1, 1.0)]
    heights = {"x": (3e6, 4e6, 9e6), "y": (1e6, 2e6, 2e6)}
    peaks = [
        Peak(name, number, height, is_client_limited=False)
        for name, three in heights.items()
        for number, height in enumerate(three)
    ]
    told = rows(trials, peaks, "bare_c")
    assert ratio_of_peaks(told, "x", "y") == 2.0
    assert ratio_of_peaks(told, "x", "absent") is None


def _climbed(climb: Climb, limit: float) -> float:
    """Where a server ends that keeps up with exactly so much."""
    while (rate := climb.next_rate()) is not None:
        climb.tell(rate, holds=rate <= limit)
    return climb.held


def _w2(peer: str, repeat: int, us_per_delivery: float) -> Trial:
    return Trial(peer, W2.name, repeat, 1e5, us_per_delivery=us_per_delivery)


@_NEEDS_COMPILER
async def test_the_load_client_counts_what_is_amiss(program: str) -> None:
    async with _serving(
        *(_tick(1), _tick(2), _tick(5), _tick(4)),
        *('{"type":"gap","ch":"trade:bench:C00000","from":6,"to":6}', _tick(7, n=2)),
        *(_tick(8, channel="trade:bench:C00009"), _tick(8, age_us=3_600_000_000)),
    ) as server:
        one = await _heard(program, server, LoadClient(port=server.port, dialect="plain", path="/"))
    assert one.messages == 5
    assert one.holes == 2
    assert one.disorder == 1
    assert (one.skipped, one.conflated) == (2, 1)
    assert (one.gaps, one.strangers, one.early) == (1, 1, 1)
    assert (one.closed, one.close_codes) == (1, {"4105": 1})
    assert sum(count for _, count in one.buckets) == 5


@_NEEDS_COMPILER
async def test_at_a_rate_what_is_passed_over_is_no_hole(program: str) -> None:
    async with _serving(_tick(1), _tick(5)) as server:
        one = await _heard(
            program, server, LoadClient(port=server.port, dialect="plain", path="/", rate="100ms")
        )
    assert (one.messages, one.holes, one.skipped) == (2, 0, 3)


@_NEEDS_COMPILER
async def test_the_load_client_finds_channels_by_names_of_a_file(
    program: str, tmp_path: Path
) -> None:
    names = tmp_path / "names"
    names.write_text("quote:sim:BTC-USD\ntrade:sim:BTC-USD\n")
    async with _serving(
        _tick(4, channel="quote:sim:BTC-USD"), _tick(7, channel="trade:sim:BTC-USD")
    ) as server:
        client = LoadClient(port=server.port, dialect="plain", path="/", each=2, names=str(names))
        one = await _heard(program, server, client)
    assert (one.messages, one.holes, one.strangers) == (2, 0, 0)


@_NEEDS_COMPILER
async def test_the_load_client_reads_the_lines_of_centrifugo(program: str) -> None:
    push = '{"push":{"channel":"trade:bench:C00000","pub":{"data":%s}}}'
    has_client = asyncio.Event()

    async def handle(connection: ServerConnection) -> None:
        asked = (await connection.recv()).splitlines()
        assert [json.loads(line)["id"] for line in asked] == [1, 2]
        await connection.send('{"id":1,"connect":{}}\n{"id":2,"subscribe":{}}')
        await connection.send("{}")
        assert await connection.recv() == "{}"
        await has_client.wait()
        ticks = [_tick(seq).replace("NOW", _now_us()) for seq in (1, 2, 4)]
        await connection.send("\n".join(push % tick for tick in ticks))
        await connection.close()

    async with _served(handle, has_client) as server:
        client = LoadClient(port=server.port, dialect="centrifugo")
        one = await _heard(program, server, client)
    assert (one.messages, one.holes, one.close_codes) == (3, 1, {"1000": 1})


@_NEEDS_COMPILER
@pytest.mark.parametrize("peer", [bare_c.EACH, bare_c.JOINED], ids=["each", "joined"])
def test_everything_that_is_published_reaches_everyone(program: str, peer: Peer) -> None:
    load = Load("small", 20, 4, 2, 400)
    with built_of(_BARE) as bare, redis_server() as redis_path:
        field = Field(program, redis_path, {"bare": bare})
        trial = run(field, peer, load, repeat=1, seconds=0.5, patience_s=30)
    assert not trial.failed
    assert trial.expected == 2_000
    assert trial.faults == 0


def _tick(seq: int, channel: str = "trade:bench:C00000", n: int = 0, age_us: int = 0) -> str:
    """NOW is put in by the server; anything old is from before the run."""
    several = f',"n":{n}' if n else ""
    stamp = "NOW" if not age_us else "1000000000000000"
    return (
        f'{{"ch":"{channel}","seq":{seq},"px":"68900.50","sz":"0.1","side":"buy",'
        f'"t":{stamp},"tx":{stamp},"gw":{stamp}{several}}}'
    )


def _now_us() -> str:
    """In the future: the load client counts what is no older than its being ready."""
    return str(time.time_ns() // 1_000 + 1_000_000)


class _Server(NamedTuple):
    port: int
    has_client: asyncio.Event
    """The load client has said that it is ready: from then on it counts."""


@contextlib.asynccontextmanager
async def _serving(*texts: str) -> AsyncIterator[_Server]:
    """A server of the plain dialect that says these things and closes with 4105."""
    has_client = asyncio.Event()

    async def handle(connection: ServerConnection) -> None:
        await connection.recv()
        await connection.send('{"type":"ack"}')
        await has_client.wait()
        for text in texts:
            await connection.send(text.replace("NOW", _now_us()))
        await connection.close(4105)

    async with _served(handle, has_client) as server:
        yield server


@contextlib.asynccontextmanager
async def _served(
    handle: Callable[[ServerConnection], Awaitable[None]], has_client: asyncio.Event
) -> AsyncIterator[_Server]:
    async with serve(handle, "127.0.0.1", 0, compression=None) as server:
        yield _Server(next(iter(server.sockets)).getsockname()[1], has_client)


async def _heard(program: str, server: _Server, client: LoadClient) -> Heard:
    process = await asyncio.create_subprocess_exec(
        *client.command(program), stdout=asyncio.subprocess.PIPE
    )
    assert process.stdout is not None
    async with asyncio.timeout(40):
        assert await process.stdout.readline() == b"ready\n"
        server.has_client.set()
        told, _ = await process.communicate()
    return heard(told.decode())
