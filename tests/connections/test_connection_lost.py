"""Connections that fall silent, break, are refused or refuse: each is met again, and named."""

import asyncio

import pytest
import uvloop

from tests.manual_clock import ManualClock
from tests.toy_venue import (
    a_feed,
    a_trade,
    changed,
    live,
    payload_id,
    row_with,
    says,
    trade,
    wants,
)
from tests.venue_server import Side, TickList, VenueServer, running, until

LOOPS = {"asyncio": asyncio.new_event_loop, "uvloop": uvloop.new_event_loop}


async def test_a_silent_connection_is_left_and_opened_again(
    server: VenueServer, sink: TickList, caplog: pytest.LogCaptureFixture
) -> None:
    clock = ManualClock()
    feed = a_feed(server, sink, row=row_with(silence_limit_s=0.15), clock=clock)
    async with running(feed.run()):
        silent = await live(server, sink, 1)
        clock.advance(0.15)
        await silent.is_left()
        await live(server, sink, 2)
        assert feed.status().state == "live"
    assert caplog.messages[0] == (
        "toy fell silent (nothing for 0.15 s); trying again, at most 0.01 s apart"
    )
    assert caplog.messages[1].startswith("toy is back after ")


async def test_heartbeats_and_acks_are_no_data(
    server: VenueServer, sink: TickList, caplog: pytest.LogCaptureFixture
) -> None:
    clock = ManualClock()
    feed = a_feed(
        server,
        sink,
        row=row_with(silence_limit_s=0.1),
        settings=changed(data_silence_limit_s=0.2),
        clock=clock,
    )
    async with running(feed.run()):
        side = await live(server, sink)
        for frames in (3, 5, 7):
            clock.advance(0.05)
            await side.send(says(["beat"]), says(["ok"]))
            await until(lambda: feed.counts.frames == frames)  # noqa: B023
        clock.advance(0.05)
        await side.is_left()
    assert "toy sends no data (only heartbeats for 0.2 s)" in caplog.messages[0]


async def test_data_keeps_a_connection_for_longer_than_either_limit(
    server: VenueServer, sink: TickList
) -> None:
    clock = ManualClock()
    feed = a_feed(
        server,
        sink,
        row=row_with(silence_limit_s=0.02),
        settings=changed(data_silence_limit_s=0.02),
        clock=clock,
    )
    async with running(feed.run()):
        side = await server.next_side()
        for number in range(20):
            clock.advance(0.015)
            await side.send(trade(number))
            await sink.reach(number + 1)
            await asyncio.sleep(0.015)  # The runtime's timeout runs out and finds no silence.
        assert not side.gone.is_set()
    assert server.accepted == 1


async def test_a_venue_that_closes_is_met_again_and_told_of_once(
    server: VenueServer, sink: TickList, caplog: pytest.LogCaptureFixture
) -> None:
    feed = a_feed(server, sink)
    async with running(feed.run()):
        side = await live(server, sink)
        await side.close(1001, "maintenance")
        for _ in range(3):
            side = await server.next_side()
            await side.close(1013)
        await live(server, sink)
    lost = [text for text in caplog.messages if "trying again" in text]
    assert lost == [
        "toy closed the connection (1001 maintenance); trying again, at most 0.01 s apart"
    ]
    assert feed.counts.reconnects == 4


async def test_a_cut_line_is_mended(server: VenueServer, sink: TickList) -> None:
    feed = a_feed(server, sink)
    async with running(feed.run()):
        side = await live(server, sink, 1)
        side.cut()
        await until(lambda: feed.status().state == "stale")
        assert feed.status().by == "venue"
        await live(server, sink, 2)
        assert feed.status().state == "live"


async def test_a_venue_that_is_not_there_is_tried_again_and_named_once(
    server: VenueServer, sink: TickList, caplog: pytest.LogCaptureFixture
) -> None:
    await server.refuse()
    feed = a_feed(server, sink)
    async with running(feed.run()):
        await until(lambda: feed.counts.reconnects > 5)
        status = feed.status()
        assert (status.state, status.by) == ("waiting", "venue")
        assert status.reason == "can't be reached (connection refused)"
        await server.listen()
        await live(server, sink)
        assert feed.status().reason is None
    assert caplog.messages[0] == (
        "toy can't be reached (connection refused); trying again, at most 0.01 s apart"
    )
    assert caplog.messages[1].startswith("toy is back after ")
    assert len(caplog.messages) == 2


async def test_several_lost_connections_are_one_incident_until_the_last_is_back(
    server: VenueServer, sink: TickList, caplog: pytest.LogCaptureFixture
) -> None:
    feed = a_feed(server, sink, subscriptions=wants("A-USD", "B-USD", "C-USD"))
    async with running(feed.run()):
        sides = [await live(server, sink), await live(server, sink)]
        for side in sides:
            side.cut()
        await until(lambda: "2 of 2" in (feed.status().reason or ""))
        await live(server, sink)
        assert feed.status().state == "stale"
        await live(server, sink)
        assert feed.status().state == "live"
    assert len([text for text in caplog.messages if "trying again" in text]) == 1
    assert len([text for text in caplog.messages if "is back" in text]) == 1


async def test_a_venue_that_leaves_in_order_is_met_again_at_once(
    server: VenueServer, sink: TickList
) -> None:
    slow = changed(backoff_first_s=60.0, backoff_max_s=60.0)
    async with running(a_feed(server, sink, settings=slow).run()):
        side = await live(server, sink, 1)
        await side.send(says(a_trade(2), ["bye", "24 hours are over"]))
        await live(server, sink, 3)
    assert [payload_id(tick) for tick in sink.ticks] == ["1", "2", "3"]


async def test_a_venue_that_leaves_before_it_was_steady_is_not_stormed(
    server: VenueServer, sink: TickList
) -> None:
    slow = changed(backoff_first_s=60.0, backoff_max_s=60.0, steady_after_s=30.0)
    feed = a_feed(server, sink, settings=slow)
    async with running(feed.run()):
        side = await live(server, sink)
        await side.send(says(["bye", "too many of you"]))
        await side.close(1001)
        await until(lambda: feed.status().state == "stale")
        assert (feed.status().state, feed.status().reason) == (
            "stale",
            "ends the connection (too many of you)",
        )
    assert server.accepted == 1


async def test_a_frame_too_large_ends_the_connection_only(
    server: VenueServer, sink: TickList, caplog: pytest.LogCaptureFixture
) -> None:
    feed = a_feed(server, sink, settings=changed(frame_bytes_max=1_000))
    async with running(feed.run()):
        side = await live(server, sink)
        await side.send("x" * 1_001)
        await live(server, sink)
    assert "toy sent a frame larger than we take" in caplog.messages[0]


async def test_a_fault_of_the_adapter_ends_one_connection_and_is_blamed_on_us(
    server: VenueServer, sink: TickList, caplog: pytest.LogCaptureFixture
) -> None:
    # Once it stands again it is the venue that gives no data: not before that was looked at.
    feed = a_feed(server, sink, settings=changed(backoff_first_s=1.0, backoff_max_s=1.0))
    async with running(feed.run()):
        side = await live(server, sink)
        await server_silent_after(side, says(["bug"]))
        await until(lambda: feed.status().by == "feed")
        assert feed.counts.crashes == 1
        await live(server, sink)
        assert feed.status().state == "live"
    assert any(record.exc_info for record in caplog.records)


async def server_silent_after(side: Side, frame: str) -> None:
    await side.send(frame)
    await side.is_left()


async def test_a_venue_that_accepts_and_says_nothing_is_given_up(
    sink: TickList, caplog: pytest.LogCaptureFixture
) -> None:
    held: list[asyncio.StreamWriter] = []
    async with await asyncio.start_server(
        lambda _, writer: held.append(writer), "127.0.0.1", 0
    ) as mute:
        url = f"ws://127.0.0.1:{mute.sockets[0].getsockname()[1]}"
        feed = a_feed(url, sink, settings=changed(open_limit_s=0.1))
        async with running(feed.run()):
            await until(lambda: feed.counts.reconnects > 1)
        for writer in held:
            writer.close()
    assert "toy can't be reached (no answer within 0.1 s)" in caplog.messages[0]


async def test_an_http_error_is_named(sink: TickList, caplog: pytest.LogCaptureFixture) -> None:
    async def forbid(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 451 Unavailable\r\nContent-Length: 0\r\n\r\n")
        writer.close()

    async with await asyncio.start_server(forbid, "127.0.0.1", 0) as web:
        feed = a_feed(f"ws://127.0.0.1:{web.sockets[0].getsockname()[1]}", sink)
        async with running(feed.run()):
            await until(lambda: feed.counts.reconnects > 1)
    assert "toy can't be reached (HTTP 451)" in caplog.messages[0]


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (b"HTTP/1.1 400 Bad Request\r\n\r\n", "TLS failed: wrong version number"),
        (b"", "the connection broke"),
    ],
)
async def test_a_venue_that_speaks_no_tls_is_named(
    answer: bytes, reason: str, sink: TickList, caplog: pytest.LogCaptureFixture
) -> None:
    async def speak_plainly(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        writer.write(answer)
        writer.close()

    async with await asyncio.start_server(speak_plainly, "127.0.0.1", 0) as web:
        feed = a_feed(f"wss://127.0.0.1:{web.sockets[0].getsockname()[1]}", sink)
        async with running(feed.run()):
            await until(lambda: feed.counts.reconnects > 0)
    assert f"toy can't be reached ({reason}" in caplog.messages[0]


async def test_a_proxy_of_the_environment_is_asked_but_never_for_loopback(
    server: VenueServer, sink: TickList, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[bytes] = []

    async def refuse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked.append(await reader.readline())
        writer.write(b"HTTP/1.1 403 Forbidden\r\n\r\n")
        writer.close()

    async with await asyncio.start_server(refuse, "127.0.0.1", 0) as proxy:
        port = proxy.sockets[0].getsockname()[1]
        monkeypatch.setenv("https_proxy", f"http://me:secret@127.0.0.1:{port}")
        monkeypatch.delenv("no_proxy", raising=False)
        outside = a_feed("ws://venue.invalid", sink)
        async with running(a_feed(server, sink).run(), outside.run()):
            await live(server, sink)
            await until(lambda: outside.counts.reconnects > 0)
            assert "HTTP 403" in (outside.status().reason or "")
    assert set(asked) - {b""} == {b"CONNECT venue.invalid:80 HTTP/1.1\r\n"}


@pytest.mark.parametrize("proxy", ["socks5://me:secret@127.0.0.1:9", "ftp://me:secret@127.0.0.1"])
async def test_a_proxy_that_cannot_be_used_is_told_without_its_password(
    proxy: str,
    sink: TickList,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setenv("https_proxy", proxy)
    monkeypatch.delenv("no_proxy", raising=False)
    feed = a_feed("wss://venue.invalid", sink)
    async with running(feed.run()):
        await until(lambda: feed.counts.reconnects > 0)
    assert "toy can't be reached (" in caplog.messages[0]
    assert "secret" not in caplog.text


async def test_it_ends_in_time_though_the_venue_ignores_the_close(
    server: VenueServer, sink: TickList
) -> None:
    """Its limit ends it, and nothing else: the same feed with another one waits on."""
    feeds = [a_feed(server, sink, settings=changed(close_limit_s=limit)) for limit in (0.2, 60.0)]
    async with asyncio.TaskGroup() as group:
        sides, tasks = [], []
        for feed in feeds:
            tasks.append(group.create_task(feed.run()))
            sides.append(await live(server, sink))
            sides[-1].stop_reading()
        for task in tasks:
            task.cancel()
        hasty, patient = tasks
        await until(hasty.done)
        assert not patient.done()
        for side in sides:
            side.cut()
