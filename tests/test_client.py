"""The reference client against a real gateway on a real Redis: what it is told, and asks for."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from http import HTTPStatus

import msgspec
import pytest
from redis.asyncio import Redis
from websockets.asyncio.server import ServerConnection, serve
from websockets.http11 import Request, Response

from gateway.client import (
    ChannelsRefusedError,
    CommandRefusedError,
    KeyRefusedError,
    Missed,
    RefusedError,
    StreamError,
    UnreachableError,
    Welcome,
    connect,
)
from gateway.protocol import EncodingName
from gateway.settings import GatewaySettings
from tests.client_gateway import HOST, Publisher, gateway
from tests.client_streams import (
    QUOTES,
    TRADES,
    connected,
    line_to_gateway,
    read,
)
from tests.conftest import in_one_task
from tests.kept_port import kept_port
from tests.proxy import Proxy


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
    with kept_port() as port:
        place = f"{HOST}:{port}"
        with pytest.raises(UnreachableError, match=f"no gateway at {place}: connection refused"):
            async with connect(f"ws://{place}/v1/stream", "tg_any"):
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
    redis_url: str, publisher: Publisher
) -> None:
    _, key = await publisher.key()
    # A heartbeat would free the reader.
    silent = GatewaySettings(heartbeat_ms=600_000)
    async with (
        gateway(redis_url, silent) as port,
        connected(port, key) as stream,
        asyncio.TaskGroup() as group,
    ):
        reading = group.create_task(read(stream, 1))
        await asyncio.sleep(0)
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


async def test_a_revoked_key_ends_the_stream(redis_url: str, publisher: Publisher) -> None:
    key_id, key = await publisher.key()
    settings = GatewaySettings(key_cache_s=0.05)
    async with gateway(redis_url, settings) as port, connected(port, key) as stream:
        await publisher.revoke(key_id)
        with pytest.raises(KeyRefusedError, match="revoked"):
            await anext(stream)
        with pytest.raises(KeyRefusedError):
            await stream.subscribe(TRADES)


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
