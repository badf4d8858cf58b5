"""`tickgate bench` as users run it: a process of its own, against a real gateway."""

import asyncio
import contextlib
import fcntl
import os
import re
import signal
import struct
import termios
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from redis.asyncio import Redis

from feeds.market import SystemClock
from gateway.access.key_store import KeyStore
from gateway.fanout.frames import frame
from gateway.fanout.session import Session
from gateway.measure.report import Report
from tests.client_gateway import Publisher
from tests.gateway_server import GatewayServer
from tests.kept_port import kept_port
from tests.running_tickgate import COMMAND, environment, run_to_end, tickgate_run
from tests.until import until

TRADES = "trade:sim:BTC-USD"
LISTENS = rb"\d s left"
COUNTS = rb"[1-9][\d,]* messages"


class Benching:
    """A `tickgate bench` that runs; `terminal`: ours, of what it draws."""

    def __init__(self, process: asyncio.subprocess.Process, terminal: int = -1) -> None:
        self.process = process
        self._terminal = terminal

    async def draws(self, pattern: bytes) -> None:
        """Returns once it has shown that."""
        await asyncio.to_thread(read_until, self._terminal, pattern)

    async def stopped(self) -> tuple[int | None, Report]:
        """By Ctrl-C. What was written to its sockets before, it hears before it reports."""
        self.process.send_signal(signal.SIGINT)
        return await self.reported()

    async def ended(self) -> tuple[int | None, str, str]:
        """Its status, what it printed and its complaint."""
        async with asyncio.timeout(40):
            out, err = await self.process.communicate()
        return self.process.returncode, (out or b"").decode(), (err or b"").decode()

    async def reported(self) -> tuple[int | None, Report]:
        status, out, complaint = await self.ended()
        assert complaint == ""
        return status, msgspec.json.decode(out, type=Report)


@contextlib.asynccontextmanager
async def benching(
    url: str, key: str, tmp_path: Path, *arguments: str, **streams: Any
) -> AsyncIterator[Benching]:
    named = {"stdout": asyncio.subprocess.PIPE, "stderr": asyncio.subprocess.PIPE} | streams
    process = await asyncio.create_subprocess_exec(
        *(*COMMAND, "bench", url, *arguments),
        env=environment(tmp_path, TICKGATE_KEY=key, TERM="xterm-256color"),
        start_new_session=True,
        **named,
    )
    try:
        yield Benching(process)
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


@contextlib.asynccontextmanager
async def drawing(
    gateway: GatewayServer, tmp_path: Path, *arguments: str
) -> AsyncIterator[Benching]:
    """One that shows its progress, and goes on until it is stopped."""
    ours, theirs = os.openpty()
    words = ("--seconds", "600", *arguments)
    try:
        async with benching(gateway.url, gateway.key, tmp_path, *words, stderr=theirs) as bench:
            os.close(theirs)
            yield Benching(bench.process, ours)
    finally:
        os.close(ours)


@contextlib.asynccontextmanager
async def publishing(redis: Redis, name: str = TRADES) -> AsyncIterator[Publisher]:
    """A trade every few milliseconds, until the end; the first one is there at the start."""
    publisher = Publisher(redis)
    await publisher.trades(name, "1")

    is_enough = asyncio.Event()

    async def go_on() -> None:
        while not is_enough.is_set():
            await publisher.trades(name, "2")
            await asyncio.sleep(0.005)

    async with asyncio.TaskGroup() as group:
        group.create_task(go_on())
        try:
            yield publisher
        finally:
            is_enough.set()  # A cancellation is swallowed by redis-py on Python 3.11.


def read_until(terminal: int, pattern: bytes) -> None:
    """What a program draws there, until it says that."""
    drawn = b""
    while re.search(pattern, drawn) is None:
        drawn += os.read(terminal, 65_536)


def read_on(terminal: int) -> bytes:
    """All that a program draws there, to its end: it waits where nobody reads."""
    drawn = b""
    with contextlib.suppress(OSError):  # Linux's word for the end.
        while more := os.read(terminal, 65_536):
            drawn += more
    return drawn


def trade(seq: int) -> bytes:
    """Framed, as a gateway writes it."""
    return frame(b'{"ch":"%b","seq":%d,"px":"1","gw":1}' % (TRADES.encode(), seq), "json")


async def the_session(gateway: GatewayServer) -> Session:
    """The bench's, once it is subscribed."""
    sessions = gateway.worker.hub.sessions
    return await until(lambda: next((one for one in sessions if one.channels), None))


async def test_a_calm_run_reports_rates_hops_and_clock(
    gateway: GatewayServer, redis: Redis, tmp_path: Path
) -> None:
    async with publishing(redis), drawing(gateway, tmp_path, "--connections", "3") as bench:
        await bench.draws(COUNTS)
        status, report = await bench.stopped()
    assert status == 0
    assert (report.channels, report.channels_heard, len(report.connections)) == (1, 1, 3)
    assert report.asked_channels == ["trade:sim:*"]
    rates = [row.messages_per_s for row in report.connections]
    assert report.messages_per_s == pytest.approx(sum(rates), abs=0.21)  # To a tenth each.
    client = next(hop for hop in report.hops if hop.name == "client")
    assert client.delays.count == report.messages > 0
    assert report.clock.is_one_clock
    assert report.clock.pings >= 3 * 8
    assert (report.connect.count, report.subscribe.count) == (3, 3)
    assert not report.faults.broke_a_promise


async def test_a_hole_in_silence_is_named_and_fails(
    gateway: GatewayServer, redis: Redis, tmp_path: Path
) -> None:
    await Publisher(redis).trades(TRADES, "1")
    async with drawing(gateway, tmp_path, "--channels", TRADES) as bench:
        session = await the_session(gateway)
        # As a gateway with a fault would: from 1 to 5, and not a word of what lies between.
        session.sink.write(trade(5))
        await bench.draws(LISTENS)
        status, report = await bench.stopped()
    assert status == 1
    assert (report.faults.holes, report.faults.lost_in_silence) == (1, 3)
    assert report.faults.named == [f"{TRADES}: hole, 2 to 4 did not come and no gap said so"]


async def test_disorder_fails(gateway: GatewayServer, redis: Redis, tmp_path: Path) -> None:
    await Publisher(redis).trades(TRADES, "1")
    async with drawing(gateway, tmp_path, "--channels", TRADES) as bench:
        session = await the_session(gateway)
        for seq in (2, 3, 2):
            session.sink.write(trade(seq))
        await bench.draws(LISTENS)
        status, report = await bench.stopped()
    assert (status, report.faults.out_of_order, report.faults.holes) == (1, 1, 0)


async def test_an_announced_gap_is_shown_and_is_no_failure(
    gateway: GatewayServer, redis: Redis, tmp_path: Path
) -> None:
    publisher = Publisher(redis)
    await publisher.trades(TRADES, "1")
    async with drawing(gateway, tmp_path, "--channels", TRADES) as bench:
        await the_session(gateway)
        async with gateway.client() as another:
            await another.subscribe(TRADES)
            await publisher.trades(TRADES, "2", missing="venue:3")
            await another.data(1)
        await bench.draws(LISTENS)
        status, report = await bench.stopped()
    assert (status, report.faults.gaps, report.faults.missed) == (0, 1, 3)
    assert report.faults.named == [f"{TRADES}: gap, 2 to 4 will not come, by venue"]


async def test_on_a_terminal_it_shows_progress_and_a_table(
    gateway: GatewayServer, redis: Redis, tmp_path: Path
) -> None:
    ours, theirs = os.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
    async with (
        publishing(redis),
        benching(
            gateway.url, gateway.key, tmp_path, "--seconds", "3", stdout=theirs, stderr=theirs
        ) as bench,
    ):
        os.close(theirs)
        drawn = (await asyncio.to_thread(read_on, ours)).decode()
        status, _, _ = await bench.ended()
    os.close(ours)
    assert status == 0
    assert "s left" in drawn
    assert "gateway to here" in drawn
    assert "nothing lost in silence" in drawn


async def test_ctrl_c_ends_it_early_with_what_was_measured(
    gateway: GatewayServer, redis: Redis, tmp_path: Path
) -> None:
    async with publishing(redis), drawing(gateway, tmp_path) as bench:
        await bench.draws(COUNTS)
        status, report = await bench.stopped()
    assert status == 0
    assert report.seconds < 600
    assert report.messages > 0


async def test_ctrl_c_before_there_is_anything_to_tell_ends_it_quietly(tmp_path: Path) -> None:
    is_connected = asyncio.Event()

    async def keep_silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        is_connected.set()
        with contextlib.closing(writer):
            await reader.read()

    async with await asyncio.start_server(keep_silent, "127.0.0.1", 0) as server:
        url = f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        async with benching(url, "k", tmp_path) as bench:
            async with asyncio.timeout(40):
                await is_connected.wait()
            bench.process.send_signal(signal.SIGINT)
            assert await bench.ended() == (130, "", "")


async def test_a_connection_that_ends_is_told_and_fails(
    gateway: GatewayServer, redis: Redis, tmp_path: Path
) -> None:
    assert gateway.record is not None
    async with publishing(redis), drawing(gateway, tmp_path) as bench:
        await bench.draws(COUNTS)
        await KeyStore(redis, SystemClock()).revoke(gateway.record.id)
        status, report = await bench.reported()
    assert status == 1
    assert report.messages > 0
    assert ["(4003)" in told for told in report.ended] == [True]


async def test_a_rate_that_is_not_offered_is_one_line(
    gateway: GatewayServer, redis: Redis, tmp_path: Path
) -> None:
    async with (
        publishing(redis),
        benching(gateway.url, gateway.key, tmp_path, "--rate", "fast") as bench,
    ):
        status, out, complaint = await bench.ended()
    assert (status, out, complaint.count("\n")) == (2, "", 1)
    assert "(bad_rate)" in complaint


async def test_where_nothing_is_published_it_says_so(
    gateway: GatewayServer, tmp_path: Path
) -> None:
    async with benching(gateway.url, gateway.key, tmp_path) as bench:
        status, out, complaint = await bench.ended()
    assert (status, out) == (1, "")
    assert complaint == (
        "tickgate: no venue publishes there yet; else name channels by --channels\n"
    )


async def test_channels_that_are_named_must_be_there(
    gateway: GatewayServer, redis: Redis, tmp_path: Path
) -> None:
    async with (
        publishing(redis),
        benching(
            gateway.url, gateway.key, tmp_path, "--channels", f"{TRADES},trade:sim:BTC-USX"
        ) as bench,
    ):
        status, _, complaint = await bench.ended()
    assert status == 2
    assert "did you mean BTC-USD?" in complaint


async def test_the_default_is_what_the_plan_has_room_for(
    gateway: GatewayServer, redis: Redis, tmp_path: Path
) -> None:
    publisher = Publisher(redis)
    await publisher.announce(*(f"quote:sim:S{number}-USD" for number in range(120)))
    await publisher.trades(TRADES, "1")
    _, key = await publisher.key("free")
    status, out, _ = await run_to_end(
        *("bench", gateway.url, "--key", key, "--seconds", "0.2"), data_dir=tmp_path
    )
    report = msgspec.json.decode(out, type=Report)
    assert status == 0
    assert report.asked_channels == ["trade:sim:*"]
    assert any(told.startswith("quote:sim:*: ") for told in report.left_out)


async def test_without_a_key_it_says_how_to_get_one(tmp_path: Path) -> None:
    status, _, complaint = await run_to_end("bench", data_dir=tmp_path)
    assert status == 2
    assert "tickgate keys create" in complaint


async def test_nothing_listening_is_one_line(tmp_path: Path) -> None:
    with kept_port() as port:
        url = f"http://127.0.0.1:{port}"
        told = await run_to_end("bench", url, "--key", "k", data_dir=tmp_path)
    assert told == (1, "", f"tickgate: no gateway at 127.0.0.1:{port}: connection refused\n")


async def test_without_a_url_it_finds_the_running_tickgate(tmp_path: Path) -> None:
    async with tickgate_run(tmp_path) as tickgate:
        status, out, complaint = await run_to_end(
            *("bench", "--seconds", "3"), data_dir=tmp_path, TICKGATE_KEY=tickgate.key
        )
    assert (status, complaint) == (0, "")
    report = msgspec.json.decode(out, type=Report)
    assert report.asked_channels == ["trade:sim:*", "quote:sim:*"]
    assert report.messages > 0
    assert [hop.name for hop in report.hops] == ["sim", "feed", "bus", "client", "all"]
