"""The reference client against a real gateway on a real Redis, over a network that breaks."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from http import HTTPStatus

import msgspec
import pytest
from redis.asyncio import Redis
from websockets.asyncio.server import ServerConnection, serve
from websockets.http11 import Request, Response

from feeds.market.bus_names import DIRECTORY_KEY
from gateway.client import (
    Ack,
    ChannelsRefusedError,
    CommandRefusedError,
    Data,
    Drain,
    Gap,
    KeyRefusedError,
    Message,
    Missed,
    Position,
    Reconnecting,
    RefusedError,
    Reset,
    State,
    Stream,
    StreamError,
    UnreachableError,
    Welcome,
    connect,
)
from gateway.protocol import EncodingName
from gateway.serve import listening_socket
from gateway.settings import GatewaySettings
from tests.client_gateway import HOST, Eager, Publisher, gateway
from tests.conftest import in_one_task
from tests.proxy import Proxy, proxy_to

TRADES = "trade:sim:BTC-USD"
QUOTES = "quote:sim:BTC-USD"


@pytest.fixture
async def publisher(redis: Redis) -> Publisher:
    """Its channels are known before the gateway starts: it asks for new ones 4 times a second."""
    publisher = Publisher(redis)
    await publisher.announce(TRADES, QUOTES)
    return publisher


@pytest.fixture
async def network(redis_url: str, publisher: Publisher) -> AsyncIterator[Proxy]:
    """A gateway, and the line to it."""
    async with in_one_task(line_to_gateway(redis_url)) as line:
        yield line


@contextlib.asynccontextmanager
async def line_to_gateway(redis_url: str) -> AsyncIterator[Proxy]:
    async with gateway(redis_url) as port, proxy_to(port) as line:
        yield line


@contextlib.asynccontextmanager
async def connected(port: int, key: str, encoding: EncodingName = "json") -> AsyncIterator[Stream]:
    """A stream that comes back without delay."""
    url = f"ws://{HOST}:{port}/v1/stream"
    async with asyncio.timeout(20), connect(url, key, encoding=encoding, random=Eager()) as stream:
        yield stream


async def read_until(stream: Stream, is_last: Callable[[Message], bool]) -> list[Message]:
    """All messages up to the first that is the last; states, which time decides, are left out."""
    read: list[Message] = []
    async for message in stream:
        if not isinstance(message, State):
            read.append(message)
        if is_last(message):
            return read
    raise AssertionError("a stream does not just end")


async def read(stream: Stream, count: int) -> list[Data]:
    """The next data, and nothing but data."""
    told: list[Data] = []
    async for message in stream:
        if isinstance(message, State):
            continue
        assert isinstance(message, dict), message
        told.append(message)
        if len(told) == count:
            break
    return told


def is_data(message: Message) -> bool:
    return isinstance(message, dict)


def is_ack(message: Message) -> bool:
    return isinstance(message, Ack)


def is_reconnecting(message: Message) -> bool:
    return isinstance(message, Reconnecting)


@pytest.mark.parametrize("encoding", ["json", "msgpack"])
async def test_what_is_published_comes_in_order_and_as_published(
    network: Proxy, publisher: Publisher, encoding: EncodingName
) -> None:
    _, key = await publisher.key()
    async with connected(network.port, key, encoding) as stream:
        ack = await stream.subscribe("trade:sim:*")
        await publisher.trades(TRADES, "68900.50", "68900.60")
        told = await read(stream, 2)
    assert [row.ch for row in ack.ok] == [TRADES]
    assert [(row["ch"], row["seq"], row["px"]) for row in told] == [
        (TRADES, 1, "68900.50"),
        (TRADES, 2, "68900.60"),
    ]


async def test_the_gateways_http_address_is_as_good(network: Proxy, publisher: Publisher) -> None:
    _, key = await publisher.key()
    async with connect(f"http://{HOST}:{network.port}", key) as stream:
        assert isinstance(stream.welcome, Welcome)


@pytest.mark.parametrize("key", ["tg_wrong", "", "two words", "a\nb: c", "ключ"])
async def test_a_wrong_key_is_refused(network: Proxy, key: str) -> None:
    with pytest.raises(KeyRefusedError, match="key"):
        async with connected(network.port, key):
            pass


async def test_nothing_listening_is_told_with_the_place() -> None:
    with listening_socket(HOST, 0) as bound:
        port = bound.getsockname()[1]
    with pytest.raises(UnreachableError, match=f"no gateway at {HOST}:{port}: connection refused"):
        async with connected(port, "tg_any"):
            pass


async def test_an_address_that_is_none_is_told() -> None:
    with pytest.raises(UnreachableError, match="not the address of a stream"):
        async with connect("ftp://somewhere", "tg_any"):
            pass


async def test_another_websocket_server_is_no_gateway() -> None:
    async def chat(connection: ServerConnection) -> None:
        await connection.send("hello")
        await connection.wait_closed()

    protocols = ["tickgate.v1.json"]
    async with serve(chat, HOST, 0, subprotocols=protocols) as server:  # type: ignore[arg-type]
        port = server.sockets[0].getsockname()[1]
        with pytest.raises(UnreachableError, match="is no Tickgate"):
            async with connected(port, "tg_any"):
                pass


async def test_a_redirect_is_not_followed_with_the_key() -> None:
    def elsewhere(connection: ServerConnection, _: Request) -> Response:
        response = connection.respond(HTTPStatus.FOUND, "")
        response.headers["Location"] = "ws://127.0.0.1:1/v1/stream"
        return response

    async def nobody(_: ServerConnection) -> None: ...

    async with serve(nobody, HOST, 0, process_request=elsewhere) as server:
        port = server.sockets[0].getsockname()[1]
        with pytest.raises(RefusedError) as refused:
            async with connected(port, "tg_any"):
                pass
    assert refused.value.status == HTTPStatus.FOUND


async def test_an_unknown_channel_is_told_and_the_others_are_subscribed(
    network: Proxy, publisher: Publisher
) -> None:
    _, key = await publisher.key()
    async with connected(network.port, key) as stream:
        with pytest.raises(ChannelsRefusedError, match="did you mean BTC-USD") as refused:
            await stream.subscribe("trade:sim:BTC-USX", TRADES)
        await publisher.trades(TRADES, "1")
        assert (await read(stream, 1))[0]["ch"] == TRADES
    assert [row.ch for row in refused.value.ack.ok] == [TRADES]


async def test_a_command_that_is_refused_whole_is_told(
    network: Proxy, publisher: Publisher
) -> None:
    _, key = await publisher.key()
    async with connected(network.port, key) as stream:
        with pytest.raises(CommandRefusedError, match="bad_rate"):
            await stream.subscribe(TRADES, rate="7ms")


async def test_more_channels_than_a_command_may_name_are_subscribed(
    redis_url: str, publisher: Publisher
) -> None:
    _, key = await publisher.key()
    names = [f"trade:sim:S{number}-USD" for number in range(120)]
    await publisher.announce(*names)
    async with gateway(redis_url) as port, connected(port, key) as stream:
        ack = await stream.subscribe(*names)
    assert [row.ch for row in ack.ok] == names


async def test_commands_beyond_the_plans_rate_wait_their_turn(
    network: Proxy, publisher: Publisher
) -> None:
    _, key = await publisher.key("free")
    async with connected(network.port, key) as stream:
        for _ in range(23):
            ack = await stream.subscribe(TRADES)
            assert ack.ok


async def test_after_unsubscribing_nothing_comes(network: Proxy, publisher: Publisher) -> None:
    _, key = await publisher.key()
    async with connected(network.port, key) as stream:
        await stream.subscribe(TRADES, QUOTES)
        await stream.unsubscribe(QUOTES)
        await publisher.trades(QUOTES, "1")
        await publisher.trades(TRADES, "2")
        assert (await read(stream, 1))[0]["ch"] == TRADES
        with pytest.raises(ChannelsRefusedError, match="not_subscribed"):
            await stream.unsubscribe(QUOTES)


async def test_the_newest_quote_comes_at_once_and_to_subscribe_again_does_not_repeat_it(
    network: Proxy, publisher: Publisher
) -> None:
    _, key = await publisher.key()
    await publisher.trades(QUOTES, "1", "2")
    async with connected(network.port, key) as stream:
        await stream.subscribe(QUOTES)
        await stream.subscribe(QUOTES)
        await publisher.trades(QUOTES, "3")
        assert [row["seq"] for row in await read(stream, 2)] == [2, 3]


async def test_one_task_may_subscribe_while_another_waits_for_a_message(
    network: Proxy, publisher: Publisher
) -> None:
    _, key = await publisher.key()
    async with connected(network.port, key) as stream, asyncio.TaskGroup() as group:
        reading = group.create_task(read(stream, 1))
        await asyncio.sleep(0)
        # The heartbeat that would free a reader comes after 5 s.
        async with asyncio.timeout(3):
            await stream.subscribe(TRADES)
        await publisher.trades(TRADES, "1")
        assert (await reading)[0]["px"] == "1"


async def test_to_be_cancelled_while_waiting_loses_nothing(
    network: Proxy, publisher: Publisher
) -> None:
    _, key = await publisher.key()
    async with connected(network.port, key) as stream:
        await stream.subscribe(TRADES)
        for price in map(str, range(20)):
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(0):
                    await read(stream, 1)
            await publisher.trades(TRADES, price)
            assert [row["px"] for row in await read(stream, 1)] == [price]


async def test_what_was_published_while_away_comes_after_the_return(
    network: Proxy, publisher: Publisher
) -> None:
    _, key = await publisher.key()
    await publisher.trades(TRADES, "1")
    async with connected(network.port, key) as stream:
        await stream.subscribe(TRADES)
        network.is_refusing = True
        network.cut()
        lost = await anext(stream)
        await publisher.trades(TRADES, "2", "3", "4")
        network.is_refusing = False
        told = await read_until(stream, is_data)
        await publisher.trades(TRADES, "5")
        after = [told[-1], *await read(stream, 3)]
    assert isinstance(lost, Reconnecting)
    assert lost.attempt == 1
    assert [type(message) for message in told][-3:-1] == [Welcome, Ack]
    assert [(row["seq"], row["px"]) for row in after] == [(n, f"{n}") for n in (2, 3, 4, 5)]


async def test_what_the_stream_no_longer_has_is_missed_by_name(
    redis_url: str, publisher: Publisher
) -> None:
    _, key = await publisher.key()
    await publisher.trades(TRADES, "1")
    async with gateway(redis_url) as port, connected(port, key) as stream:
        await stream.subscribe(TRADES)
        kept = stream.positions
    await publisher.trades(TRADES, "2", "3", "4")
    await publisher.trim(TRADES, 2)
    async with gateway(redis_url) as port, connected(port, key) as stream:
        ack = await stream.subscribe(TRADES, since=kept)
        told = await read_until(stream, is_data)
    assert ack.ok[0].recovered is False
    # The newest is told to one who could not resume.
    assert told[0] == Missed(TRADES, 2, 3, "away")
    assert told[1]["seq"] == 4


async def test_nothing_is_missed_where_nothing_was_published(
    network: Proxy, publisher: Publisher
) -> None:
    _, key = await publisher.key()
    async with connected(network.port, key) as stream:
        await stream.subscribe(TRADES)
        # The channel began after the ack, which so could not tell its epoch: a listing did.
        await publisher.trades(TRADES, "1", "2")
        await read(stream, 2)
        while not stream.positions:
            await publisher.trades(TRADES, "x")
            await read(stream, 1)
        network.cut()
        told = await read_until(stream, is_ack)
        await publisher.trades(TRADES, "3")
        await read(stream, 1)
    ack = told[-1]
    assert isinstance(ack, Ack)
    assert ack.ok[0].recovered is True


async def test_a_redis_that_forgot_everything_while_we_were_away_is_a_reset(
    network: Proxy, publisher: Publisher, redis: Redis
) -> None:
    _, key = await publisher.key()
    await publisher.trades(TRADES, "1", "2")
    async with connected(network.port, key) as stream:
        ack = await stream.subscribe(TRADES)
        network.is_refusing = True
        network.cut()
        await anext(stream)
        await redis.delete("tickgate:{trade:sim:BTC-USD}:head", "tickgate:{trade:sim:BTC-USD}:log")
        await publisher.trades(TRADES, "3", "4", "5")
        network.is_refusing = False
        told = await read_until(stream, lambda message: isinstance(message, Reset))
        await publisher.trades(TRADES, "6")
        after = await read(stream, 2)
    assert isinstance(told[-1], Reset)
    assert told[-1].epoch != ack.ok[0].epoch
    assert told[-1].seq == 3
    assert [(row["seq"], row["px"]) for row in after] == [(3, "5"), (4, "6")]


async def test_a_position_that_was_kept_takes_a_later_run_on_from_there(
    network: Proxy, publisher: Publisher
) -> None:
    _, key = await publisher.key()
    await publisher.trades(TRADES, "1", "2")
    async with connected(network.port, key) as stream:
        await stream.subscribe(TRADES)
        kept = stream.positions
    await publisher.trades(TRADES, "3", "4")
    async with connected(network.port, key) as stream:
        ack = await stream.subscribe("trade:sim:*", since=kept)
        told = await read(stream, 2)
    assert kept == {TRADES: Position(str(ack.ok[0].epoch), 2)}
    assert ack.ok[0].recovered is True
    assert [row["seq"] for row in told] == [3, 4]


async def test_a_gap_that_is_announced_is_passed_on_and_is_no_hole(
    network: Proxy, publisher: Publisher
) -> None:
    _, key = await publisher.key()
    await publisher.trades(TRADES, "1")
    async with connected(network.port, key) as stream:
        await stream.subscribe(TRADES)
        await publisher.trades(TRADES, "5", missing="venue:3")
        told = await read_until(stream, is_data)
    assert told[0] == Gap(TRADES, 2, 4, "venue")
    assert len(told) == 2


async def test_a_revoked_key_ends_the_stream(redis_url: str, publisher: Publisher) -> None:
    key_id, key = await publisher.key()
    settings = GatewaySettings(key_cache_s=0.05)
    async with gateway(redis_url, settings) as port, connected(port, key) as stream:
        await publisher.revoke(key_id)
        with pytest.raises(KeyRefusedError, match="revoked"):
            await anext(stream)
        with pytest.raises(KeyRefusedError):
            await stream.subscribe(TRADES)


async def test_a_stopping_gateway_is_left_and_the_next_one_is_found(
    redis_url: str, publisher: Publisher
) -> None:
    _, key = await publisher.key()
    await publisher.trades(TRADES, "1")
    async with contextlib.AsyncExitStack() as stack, contextlib.AsyncExitStack() as first:
        port = await first.enter_async_context(gateway(redis_url))
        line = await stack.enter_async_context(proxy_to(port))
        stream = await stack.enter_async_context(connected(line.port, key))
        await stream.subscribe(TRADES)
        async with asyncio.TaskGroup() as group:
            leaving = group.create_task(read_until(stream, is_reconnecting))
            line.is_refusing = True
            await first.aclose()
        await stack.enter_async_context(gateway(redis_url, port=port))
        line.is_refusing = False
        await read_until(stream, is_ack)
        await publisher.trades(TRADES, "2")
        after = await read(stream, 1)
    told = leaving.result()
    assert isinstance(told[0], Drain)
    assert "4200" in getattr(told[-1], "reason", "")
    assert after[0]["seq"] == 2


async def test_a_gateway_that_falls_silent_is_left(redis_url: str, publisher: Publisher) -> None:
    _, key = await publisher.key()
    settings = GatewaySettings(heartbeat_ms=100)
    async with (
        gateway(redis_url, settings) as port,
        proxy_to(port) as network,
        connected(network.port, key) as stream,
    ):
        await stream.subscribe(TRADES)
        network.answers.is_dropping = True
        lost = await read_until(stream, is_reconnecting)
        network.answers.is_dropping = False
        await read_until(stream, is_ack)
    assert "silent" in getattr(lost[-1], "reason", "")


async def test_a_channel_that_is_refused_on_return_is_asked_for_until_it_is_there(
    redis_url: str, redis: Redis, publisher: Publisher
) -> None:
    _, key = await publisher.key()
    await publisher.trades(TRADES, "1")
    async with contextlib.AsyncExitStack() as stack, contextlib.AsyncExitStack() as first:
        port = await first.enter_async_context(gateway(redis_url))
        stream = await stack.enter_async_context(connected(port, key))
        await stream.subscribe(TRADES)
        await first.aclose()
        # The next gateway knows of no channels: nobody has published yet.
        await redis.delete(DIRECTORY_KEY)
        await stack.enter_async_context(gateway(redis_url, port=port))
        refused = await read_until(stream, is_ack)
        await publisher.announce(TRADES)
        accepted = await read_until(stream, is_ack)
        await publisher.trades(TRADES, "2")
        assert (await read(stream, 1))[0]["px"] == "2"
    assert isinstance(refused[-1], Ack)
    assert [row.code for row in refused[-1].err] == ["unknown_venue"]
    assert isinstance(accepted[-1], Ack)
    assert [row.ch for row in accepted[-1].ok] == [TRADES]


async def test_a_closed_stream_says_so(network: Proxy, publisher: Publisher) -> None:
    _, key = await publisher.key()
    async with connected(network.port, key) as stream:
        pass
    with pytest.raises(StreamError, match="closed by its user"):
        await anext(stream)


def test_messages_of_the_client_itself_are_json_like_the_others() -> None:
    told = msgspec.json.decode(msgspec.json.encode(Missed(TRADES, 2, 3, "away")))
    assert told == {"type": "missed", "ch": TRADES, "from": 2, "to": 3, "why": "away"}


async def test_one_line_subscribes_and_leaving_it_closes(
    network: Proxy, publisher: Publisher
) -> None:
    _, key = await publisher.key()
    await publisher.trades(QUOTES, "1")
    url = f"http://{HOST}:{network.port}"
    async with contextlib.aclosing(connect(url, key).subscribe(QUOTES, rate="1s")) as messages:
        told = [await anext(messages)]
    assert [message["seq"] for message in told if isinstance(message, dict)] == [1]
    with pytest.raises(ChannelsRefusedError):
        async for _ in connect(url, key).subscribe("trade:nowhere:BTC-USD"):
            pass
