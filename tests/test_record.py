"""`tickgate record`: what the venue sent, frame by frame, readable again."""

import asyncio
import copy
import errno
import io
from random import Random

import pytest
import uvloop

from feeds.chosen import venue_feed
from feeds.connection import FrameTap
from feeds.errors import RecordError
from feeds.feed import TickSink
from feeds.market import SystemClock
from feeds.recordings.record import RecordProgress, record
from feeds.recordings.recording import Frame, Header, RecordingWriter, read_rows
from feeds.settings import ConnectionSettings, FeedSettings, VenueSettings
from feeds.venue_feed import VenueFeed
from tests.kept_port import kept_port
from tests.venue_server import VenueServer, binance_trade, running, until

LOOPS = {"asyncio": asyncio.new_event_loop, "uvloop": uvloop.new_event_loop}


def settings_for(server: VenueServer) -> FeedSettings:
    return FeedSettings(
        venue={"binance": VenueSettings(url=server.url, symbols=("BTC-USDT",))},
        connection=ConnectionSettings(backoff_first_s=0.001, close_limit_s=0.2),
    )


class Recording:
    """One run of `record` against a server, into memory."""

    def __init__(self, server: VenueServer, stream: io.BytesIO | None = None, **limits: float):
        self.stream = stream or io.BytesIO()
        self.stopping = asyncio.Event()
        self.seen: list[RecordProgress] = []
        self._settings = settings_for(server)
        self._limits = limits
        self._writer = RecordingWriter(self.stream, "binance", SystemClock().now_ns())

    def write(self, frame: str | bytes, received_ns: int) -> None:
        self._writer.received(frame, received_ns)

    async def run(self) -> RecordProgress:
        def make_feed(sink: TickSink, tap: FrameTap) -> VenueFeed:
            return venue_feed(
                "binance", self._settings, sink, clock=SystemClock(), random=Random(7), tap=tap
            )

        return await record(
            make_feed,
            self,
            clock=SystemClock(),
            stopping=self.stopping,
            progress=lambda progress: self.seen.append(copy.copy(progress)),
            **self._limits,
        )

    def frames(self) -> list[str | bytes]:
        self.stream.seek(0)
        return [row.frame for row in read_rows(self.stream) if isinstance(row, Frame)]


async def test_every_frame_is_recorded_as_it_came_and_can_be_read_again() -> None:
    sent = [
        binance_trade(1),
        "<what is this>",
        '{"result":null,"id":1}',
        b"\x00\xff",
        binance_trade(2),
    ]
    async with VenueServer() as server:
        recording = Recording(server, bytes_max=sum(map(len, sent)))
        async with asyncio.TaskGroup() as group:
            recorded = group.create_task(recording.run())
            side = await server.next_side()
            await side.send(*sent)
    assert recording.frames() == sent
    final = recorded.result()
    assert (final.frames, final.ticks, final.frame_bytes) == (5, 2, sum(map(len, sent)))
    recording.stream.seek(0)
    header, *rows = read_rows(recording.stream)
    assert isinstance(header, Header)
    assert header.venue == "binance"
    received = [row.received_ns for row in rows if isinstance(row, Frame)]
    assert received == sorted(received)
    assert received[0] >= header.start_ns


async def test_it_goes_on_across_a_lost_connection_until_it_is_stopped() -> None:
    async with VenueServer() as server:
        recording = Recording(server)
        async with asyncio.TaskGroup() as group:
            recorded = group.create_task(recording.run())
            side = await server.next_side()
            await side.send(binance_trade(1))
            await side.close(1001)
            side = await server.next_side()
            await side.send(binance_trade(2))
            await until(lambda: recording.seen[-1].frames == 2)
            recording.stopping.set()
    assert recording.frames() == [binance_trade(1), binance_trade(2)]
    assert recording.seen[-1].state == "live"
    assert recording.seen[-1] == recorded.result()


async def test_it_ends_after_the_given_time_though_nothing_came() -> None:
    server = VenueServer()
    with kept_port() as server.port:
        recording = Recording(server, duration_s=0.3)
        final = await recording.run()
    assert final.frames == 0
    assert final.elapsed_s > 0.28
    assert recording.frames() == []


async def test_it_says_meanwhile_why_nothing_comes() -> None:
    server = VenueServer()
    why = "can't be reached (connection refused)"
    with kept_port() as server.port:
        recording = Recording(server)
        async with asyncio.TaskGroup() as group:
            recorded = group.create_task(recording.run())
            await until(lambda: any(told.reason == why for told in recording.seen))
            recording.stopping.set()
    assert recorded.result().reason == why


class FullDisk(io.BytesIO):
    """Takes so many bytes, then fails as a full disk does."""

    def __init__(self, bytes_max: int) -> None:
        super().__init__()
        self._bytes_max = bytes_max

    def write(self, data: bytes, /) -> int:  # type: ignore[override]
        if self.tell() + len(data) > self._bytes_max:
            raise OSError(errno.ENOSPC, "No space left on device")
        return super().write(data)


async def test_a_full_disk_ends_it_with_one_clear_error() -> None:
    async with VenueServer() as server:
        recording = Recording(server, FullDisk(1_000))
        async with running(give_trades(server)):
            with pytest.raises(RecordError, match="can't be written: No space left on device"):
                await recording.run()


async def test_a_flush_that_fails_ends_it_as_clearly() -> None:
    async with VenueServer() as server:
        recording = Recording(server)
        recording.seen = BrokenList()
        with pytest.raises(RecordError, match="can't be written: No space left on device"):
            await recording.run()


class BrokenList(list[RecordProgress]):
    def append(self, _: RecordProgress) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")


async def give_trades(server: VenueServer) -> None:
    side = await server.next_side()
    await side.send(*[binance_trade(number) for number in range(50)])
