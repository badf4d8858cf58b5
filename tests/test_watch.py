"""`tickgate watch`: what its table says, and what comes out of it into a pipe."""

import asyncio
import contextlib
import fcntl
import math
import os
import struct
import termios
from collections.abc import AsyncIterator

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from redis.asyncio import Redis
from rich.cells import cell_len

from feeds.market import Moment
from gateway.client import Ack, Gap, Message, Missed, Reconnecting, Reset, State, Welcome
from gateway.protocol import Accepted, SessionId
from gateway.serve import listening_socket
from gateway.watch.board import Board, Delays, Figure, Rate
from gateway.watch.table import Layout
from tests.client_gateway import HOST, Publisher, gateway
from tests.running_tickgate import COMMAND, REPOSITORY

TRADES = "trade:sim:BTC-USD"
QUOTES = "quote:kraken:BTC-USD"
AT = Moment(1_763_632_800_000_000, 1_000.0)


def trade(seq: int = 1, price: str = "68900.50", name: str = TRADES, **other: object) -> Message:
    return {"ch": name, "seq": seq, "px": price, "sz": "0.00150000", "gw": AT.utc_us} | other


def later(seconds: float) -> Moment:
    return Moment(AT.utc_us + round(seconds * 1e6), AT.monotonic_s + seconds)


def board_of(*messages: Message) -> Board:
    board = Board()
    for message in messages:
        board.hear(message, AT)
    return board


def drawn(board: Board, width: int = 120, height: int = 30, at: Moment = AT) -> list[str]:
    lines = Layout().lines(board, at, "127.0.0.1:8787", width, height)
    return [line.plain.rstrip() for line in lines]


def line_of(board: Board, symbol: str = "BTC-USD") -> str:
    return next(line for line in drawn(board, width=140) if symbol in line)


def test_a_trade_shows_price_size_and_state() -> None:
    accepted = Accepted(TRADES, "e1", 0, "all", None, "live")
    line = line_of(board_of(Ack(1, [accepted]), trade()))
    words = "simulated BTC-USD trade 68900.50 0.0015 1.0 0.0s 0.00/0.00 live"
    assert " ".join(line.split()) == words


def test_a_quote_shows_bid_and_ask() -> None:
    quote: Message = {"ch": QUOTES, "seq": 1, "bid": "1.10", "ask": "1.20", "gw": 1}
    assert "1.10 1.20" in line_of(board_of(quote))


def test_what_is_generated_is_never_shown_as_a_venues_price() -> None:
    told = "\n".join(drawn(board_of(trade()), width=80))
    assert "simulated: no real prices" in told
    assert "simulated BTC-USD" in told


def test_many_channels_are_set_in_blocks_that_still_say_what_is_no_market() -> None:
    board = board_of(*(trade(name=f"trade:sim:S{n}-USD") for n in range(100)))
    lines = drawn(board, width=120, height=40)
    assert all(any(f"S{n}-USD" in line for line in lines) for n in range(100))
    assert "simulated" in lines[-1]


def test_channels_that_do_not_fit_are_counted_with_their_troubles() -> None:
    board = board_of(*(trade(name=f"trade:kraken:S{n:03}-USD") for n in range(300)))
    board.hear(State("trade:kraken:S299-USD", "stale", 1, "venue"), AT)
    lines = drawn(board, width=80, height=24)
    shown = sum(line.count("-USD") for line in lines)
    # The other 299 have not been told to be live either.
    assert lines[-1] == f"{300 - shown} more in a larger terminal, {300 - shown} of them not live"


@pytest.mark.parametrize(
    ("prices", "direction", "style"), [(("1.0", "1.1"), 1, "green"), (("1.1", "1.0"), -1, "red")]
)
def test_a_price_is_coloured_by_where_it_moved(
    prices: tuple[str, str], direction: int, style: str
) -> None:
    board = board_of(*(trade(seq, price) for seq, price in enumerate(prices, 1)))
    assert board.rows[TRADES].figures[0].direction == direction
    [line] = [line for line in Layout().lines(board, AT, "", 120, 30) if "BTC-USD" in line]
    assert style in {str(span.style) for span in line.spans}


def test_an_unchanged_price_keeps_its_colour() -> None:
    board = board_of(trade(1, "1.0"), trade(2, "1.1"), trade(3, "1.10"))
    assert board.rows[TRADES].figures[0].direction == 1


@pytest.mark.parametrize(
    ("digits", "expected"),
    [("68900.00000000", "68900.00"), ("0.00012300", "0.000123"), ("5", "5"), ("1.5", "1.5")],
)
def test_a_price_is_shown_without_its_venues_empty_decimals(digits: str, expected: str) -> None:
    figure = Figure()
    figure.show(digits)
    assert figure.text == expected


def test_a_price_keeps_the_decimals_it_once_needed() -> None:
    figure = Figure()
    for digits in ("1.2345000", "1.2000000"):
        figure.show(digits)
    assert figure.text == "1.2000"


def test_a_state_that_is_not_live_names_whose_fault_it_is() -> None:
    board = board_of(trade(), State(TRADES, "stale", 1, "venue"))
    assert line_of(board).endswith("stale venue")
    assert "1 not live" in drawn(board)[0]


def test_what_did_not_come_is_counted() -> None:
    board = board_of(
        trade(),
        State(TRADES, "live", 1),
        Gap(TRADES, 2, 4, "bus"),
        Missed(TRADES, 6, 6, "away"),
        Reset(TRADES, "e2", 0, "bus"),
    )
    assert line_of(board).endswith("live 2 gaps: 4 reset")
    assert "4 missed" in drawn(board)[0]


def test_to_be_reconnecting_is_said_until_there_is_a_connection() -> None:
    board = board_of(trade(), Reconnecting("the connection was closed: it broke (1006)", 1, 2.0))
    assert drawn(board, at=later(0.5))[0].startswith("RECONNECTING in 1.5 s: the connection was")
    board.hear(Welcome(SessionId("s"), 1, 5_000, {}), AT)
    assert "RECONNECTING" not in drawn(board)[0]


def test_each_hop_is_measured_between_its_stamps() -> None:
    now_us = AT.utc_us
    told = trade(t=now_us - 15_000, rx=now_us - 7_000, tx=now_us - 3_000, gw=now_us - 1_000)
    board = board_of(told)
    found = [delays.quantiles(AT.monotonic_s) for delays in board.rows[TRADES].hops]
    for quantiles, expected_us in zip(found, (8_000, 4_000, 2_000, 1_000), strict=True):
        assert quantiles is not None
        assert quantiles[0] == pytest.approx(expected_us, rel=1 / 16)


def test_a_message_from_before_the_subscription_is_no_delay() -> None:
    board = board_of(Ack(1, [Accepted(TRADES, "e1", 7)]), trade(7, tx=AT.utc_us - 60_000_000))
    assert [delays.quantiles(AT.monotonic_s) for delays in board.hops] == [None] * 4


@given(st.lists(st.integers(0, 10**9), min_size=1, max_size=300))
def test_quantiles_are_those_of_all_delays_within_a_sixteenth(delays_us: list[int]) -> None:
    delays = Delays()
    for delay_us in delays_us:
        delays.add(delay_us, 0.0)
    found = delays.quantiles(0.0)
    assert found is not None
    in_order = sorted(delays_us)
    for part, quantile in zip((0.5, 0.99), found, strict=True):
        exact = in_order[math.ceil(part * len(in_order)) - 1]
        assert quantile == pytest.approx(exact, rel=1 / 16, abs=1)


def test_delays_of_the_past_are_forgotten() -> None:
    delays = Delays()
    delays.add(1_000_000, 100.0)
    delays.add(10, 106.0)
    assert delays.quantiles(106.0) == pytest.approx((10, 1_000_000), rel=1 / 16)
    delays.add(10, 112.0)
    assert delays.quantiles(112.0) == (10, 10)


def test_a_rate_is_of_the_last_seconds() -> None:
    rate = Rate()
    for message in range(1_000):
        rate.add(100.0 + message / 100)
    assert rate.per_s(110.0) == pytest.approx(100, rel=0.02)
    assert rate.per_s(120.0) == 0


@given(st.integers(1, 200), st.integers(1, 60), st.integers(0, 120))
def test_what_is_drawn_fits_the_terminal(width: int, height: int, channels: int) -> None:
    board = board_of(*(trade(name=f"trade:kraken:SYM{n}-USD") for n in range(channels)))
    lines = Layout().lines(board, AT, "127.0.0.1:8787", width, height)
    assert len(lines) <= max(0, height - 1)
    assert all(cell_len(line.plain) <= width for line in lines)


@given(st.text(), st.dictionaries(st.text(), st.text() | st.integers() | st.none(), max_size=3))
def test_a_publishers_own_text_cannot_move_the_cursor(text: str, other: dict[str, object]) -> None:
    names = ("px", "bid", "ask", "sz", "state", "reason")
    told = other | {name: f"\x1b[2J{text}\n" for name in names if name in text or not text}
    board = board_of({"x": f"\x1b]0;{text}\x07"} | told | {"ch": "custom:a:B", "seq": 1, "gw": 1})
    assert all(line.isprintable() for line in drawn(board))


@contextlib.asynccontextmanager
async def a_gateway(redis_url: str, redis: Redis) -> AsyncIterator[tuple[str, str, Publisher]]:
    """Its URL, a key, and who publishes."""
    publisher = Publisher(redis)
    await publisher.trades(TRADES, "1")
    _, key = await publisher.key()
    async with gateway(redis_url) as port:
        yield f"http://{HOST}:{port}", key, publisher


def environment(key: str) -> dict[str, str]:
    clean = {name: text for name, text in os.environ.items() if not name.startswith("TICKGATE_")}
    return clean | {"PYTHONPATH": str(REPOSITORY), "TICKGATE_KEY": key}


async def watching(*arguments: str, key: str = "") -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        *COMMAND,
        "watch",
        *arguments,
        env=environment(key),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )


async def ended(process: asyncio.subprocess.Process) -> tuple[int | None, list[bytes], str]:
    """Its status, its lines and its complaint."""
    async with asyncio.timeout(40):
        out, err = await process.communicate()
    return process.returncode, (out or b"").splitlines(), err.decode()


async def publish_until_ended(
    publisher: Publisher, process: asyncio.subprocess.Process
) -> tuple[int | None, list[bytes], str]:
    async with asyncio.TaskGroup() as group:
        end = group.create_task(ended(process))
        while not end.done():
            await publisher.trades(TRADES, "2")
            await asyncio.wait([end], timeout=0.02)
        return end.result()


async def test_into_a_pipe_it_prints_one_json_message_a_line(redis_url: str, redis: Redis) -> None:
    async with a_gateway(redis_url, redis) as (url, key, publisher):
        process = await watching("--url", url, "--count", "3", "trade:sim:*", key=key)
        status, lines, complaint = await publish_until_ended(publisher, process)
    told = [msgspec.json.decode(line, type=dict[str, object]) for line in lines]
    data = [row for row in told if "px" in row]
    assert (status, complaint) == (0, "")
    assert [row["ch"] for row in data] == [TRADES] * 3
    first = data[0]["seq"]
    assert isinstance(first, int)
    assert [row["seq"] for row in data] == [first, first + 1, first + 2]


async def test_a_closed_pipe_ends_it_quietly(redis_url: str, redis: Redis) -> None:
    async with a_gateway(redis_url, redis) as (url, key, publisher):
        reading, writing = os.pipe()
        process = await asyncio.create_subprocess_exec(
            *(*COMMAND, "watch", "--url", url, TRADES),
            env=environment(key),
            stdout=writing,
            stderr=asyncio.subprocess.PIPE,
        )
        os.close(writing)
        os.close(reading)
        status, _, complaint = await publish_until_ended(publisher, process)
    assert (status, complaint) == (0, "")


async def test_ctrl_c_ends_it_quietly(redis_url: str, redis: Redis) -> None:
    async with a_gateway(redis_url, redis) as (url, key, publisher):
        process = await watching("--url", url, TRADES, key=key)
        assert process.stdout is not None
        async with asyncio.timeout(40), asyncio.TaskGroup() as group:
            first = group.create_task(process.stdout.readline())
            while not first.done():
                await publisher.trades(TRADES, "2")
                await asyncio.wait([first], timeout=0.02)
        process.send_signal(2)
        status, _, complaint = await ended(process)
    assert (status, complaint) == (0, "")


def everything_from(terminal: int) -> str:
    """Until nobody has its other end any more, which is an error of its own."""
    drawn = b""
    with contextlib.suppress(OSError):
        while more := os.read(terminal, 65_536):
            drawn += more
    return drawn.decode()


async def test_on_a_terminal_it_draws_a_table(redis_url: str, redis: Redis) -> None:
    ours, theirs = os.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
    async with a_gateway(redis_url, redis) as (url, key, publisher):
        process = await asyncio.create_subprocess_exec(
            *(*COMMAND, "watch", "--url", url, "--count", "5", TRADES),
            env=environment(key) | {"TERM": "xterm-256color"},
            stdout=theirs,
            stderr=asyncio.subprocess.PIPE,
        )
        os.close(theirs)
        # A terminal takes no more than a few pages that nobody reads.
        async with asyncio.TaskGroup() as group:
            reading = group.create_task(asyncio.to_thread(everything_from, ours))
            status, _, complaint = await publish_until_ended(publisher, process)
    os.close(ours)
    drawing = reading.result()
    assert (status, complaint) == (0, "")
    assert "simulated" in drawing
    assert "BTC-USD" in drawing
    assert "delay p50/p99 ms" in drawing


async def test_seconds_end_it(redis_url: str, redis: Redis) -> None:
    async with a_gateway(redis_url, redis) as (url, key, _):
        process = await watching("--url", url, "--seconds", "0.1", TRADES, key=key)
        assert await ended(process) == (0, [], "")


@pytest.mark.parametrize(
    ("channel", "has_key", "status", "complaint"),
    [
        ("trade:sim:BTC-USX", True, 2, "did you mean BTC-USD?"),
        (TRADES, False, 2, "the gateway refuses the key"),
        ("trade:sim:\x1b[2J", True, 2, "bad_channel"),
    ],
)
async def test_a_mistake_is_one_clear_line(
    redis_url: str, redis: Redis, channel: str, has_key: bool, status: int, complaint: str
) -> None:
    async with a_gateway(redis_url, redis) as (url, key, _):
        process = await watching("--url", url, channel, key=key if has_key else "tg_wrong")
        ended_with, lines, told = await ended(process)
    assert (ended_with, lines, told.count("\n")) == (status, [], 1)
    assert complaint in told
    assert told.rstrip("\n").isprintable()


async def test_nothing_listening_is_one_clear_line() -> None:
    # Held, so that nobody else listens there meanwhile.
    with listening_socket(HOST, 0) as bound:
        port = bound.getsockname()[1]
        process = await watching("--url", f"ws://{HOST}:{port}/v1/stream", TRADES, key="tg_any")
        assert await ended(process) == (
            1,
            [],
            f"tickgate watch: no gateway at {HOST}:{port}: connection refused\n",
        )


async def test_without_a_key_it_says_how_to_get_one() -> None:
    process = await watching("--url", "ws://127.0.0.1:1", TRADES)
    status, _, complaint = await ended(process)
    assert status == 2
    assert "tickgate keys create" in complaint
