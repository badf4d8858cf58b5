"""`tickgate verify`: of a file, and of a live channel, by its output and its exit status."""

import asyncio
import gzip
import itertools
from pathlib import Path

import msgspec
import pytest
import uvloop

from feeds.derived.price import Consolidation
from feeds.derived.settings import PriceSettings
from feeds.market import Channel, Quote, Tick
from gateway.commands.failure import STATUS_MISTAKE, CommandFailure
from gateway.commands.verify import is_channel, verify_channel, verify_file
from tests.gateway_server import GatewayServer, Publishing

LOOPS = {"uvloop": uvloop.new_event_loop}

NOW_US = 1_763_632_800_000_000


def prices(count: int) -> list[Tick]:
    """As two venues make them."""
    one = Consolidation(PriceSettings())
    told: list[Tick] = []
    for number in range(count):
        at_us = NOW_US + number * 100_000
        for venue, bid in (("kraken", "100.5"), ("coinbase", f"100.{number % 10}")):
            quote = Quote(bid, "101.25", received_us=at_us)
            told += one.take([Tick(Channel("quote", venue, "BTC-USD"), quote)], at_us)
        told += one.wake(at_us + 50_000)
    return [tick for tick in told if getattr(tick.payload, "price", None)]


def lines(ticks: list[Tick]) -> list[bytes]:
    """As `tickgate watch` writes them."""
    return [
        b'{"ch":"%b","seq":%d,%b' % (tick.channel.name.encode(), seq, payload[1:])
        for seq, tick in enumerate(ticks, 1)
        for payload in [msgspec.json.encode(tick.payload)]
    ]


def test_prices_of_a_file_are_right(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "prices.jsonl"
    told = lines(prices(20))
    file.write_bytes(b"\n".join([*told, b'{"type":"heartbeat"}', b"", b""]))
    assert verify_file(str(file)) == 0
    said = f"{len(told)} of {len(told)} prices are what their votes come to"
    assert capsys.readouterr().out == f"{said}; 2 lines are no price\n"


def test_a_price_that_was_changed_is_named_also_in_a_packed_file(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "prices.jsonl.gz"
    told = lines(prices(30))
    price = msgspec.json.decode(told[4])["px"]
    told[4] = told[4].replace(b'"px":"%b","conf"' % price.encode(), b'"px":"1","conf"')
    file.write_bytes(gzip.compress(b"\n".join(told)))
    assert verify_file(str(file)) == 1
    out = capsys.readouterr().out
    assert f"price:agg:BTC-USD seq 5: px is 1, its votes come to {price}\n" in out
    assert f"{len(told) - 1} of {len(told)} prices are what their votes come to" in out


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "holds no price"),
        (b'{"ch":"trade:sim:BTC-USD","seq":1,"px":"1"}', "holds no price; 1 lines are no price"),
        (gzip.compress(b"a" * 1_000, mtime=0)[:20], "can't be read: Compressed file ended"),
        (None, "can't be read: No such file or directory"),
    ],
)
def test_where_nothing_can_be_verified_the_command_fails(
    tmp_path: Path, content: bytes | None, message: str
) -> None:
    file = tmp_path / "prices"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(CommandFailure, match=message) as failure:
        verify_file(str(file))
    assert failure.value.status == STATUS_MISTAKE


def test_a_file_may_be_named_like_a_channel(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert is_channel("price:agg:*")
    Path("price:agg:BTC-USD").write_bytes(b"")
    assert not is_channel("price:agg:BTC-USD")
    assert not is_channel("prices.jsonl")


async def test_a_live_channel_is_listened_to_for_as_many_prices_as_are_asked_for(
    gateway: GatewayServer, publish: Publishing, capsys: pytest.CaptureFixture[str]
) -> None:
    told = prices(40)
    await publish(told[:1])

    async def go_on() -> None:
        for tick in itertools.cycle(told):
            await publish([tick])

    listening = asyncio.to_thread(
        verify_channel, "price:agg:*", gateway.url, gateway.key, seconds=40.0, count=5
    )
    async with asyncio.TaskGroup() as group:
        publishing = group.create_task(go_on())
        assert await listening == 0
        publishing.cancel()
    assert capsys.readouterr().out == "5 of 5 prices are what their votes come to\n"


def test_a_file_that_breaks_off_within_a_price_is_not_called_right(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "prices.jsonl"
    told = lines(prices(20))
    file.write_bytes(b"\n".join(told)[:-20])
    assert verify_file(str(file)) == 1
    said = f"{len(told) - 1} of {len(told) - 1} prices are what their votes come to"
    assert (
        f"{said}; 1 can't be read, and may have been: line {len(told)}" in capsys.readouterr().out
    )
