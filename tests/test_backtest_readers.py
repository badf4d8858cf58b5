"""What is read of each format, and what is said of files that are none."""

import gzip
from pathlib import Path

import pytest

from feeds.backtest.files import File
from feeds.backtest.readers import recognised
from feeds.backtest.source import Event, Faults, FileError, Source, merged
from feeds.market import Candle, Channel, Quote, Status, Tick, Trade
from feeds.recordings.recording import RecordingWriter
from tests.backtest_files import MINUTE_US, START_US, lean_zip, messages
from tests.conftest import SHARED

REPLAY = SHARED / "replay"
DAY_US = 1_763_596_800_000_000
"""2025-11-20 00:00 UTC."""
CAPTURES = Path(__file__).parent / "captures"


def source(path: Path, symbol: str | None = None) -> Source:
    return recognised(File(path), symbol)


def events(path: Path, symbol: str | None = None) -> tuple[list[Event], Faults]:
    faults = Faults()
    return list(source(path, symbol).events(faults)), faults


def only_ticks(path: Path, symbol: str | None = None) -> list[Tick]:
    return [tick for event in events(path, symbol)[0] for tick in event.ticks]


def written(path: Path, text: str) -> Path:
    path.write_text(text)
    return path


@pytest.mark.parametrize(
    "start",
    [
        "1763640000",
        "1763640000000",
        "1763640000000000",
        "1763640000000000000",
        "2025-11-20 12:00:00.000000",
        "2025-11-20T12:00:00Z",
        "2025-11-20T13:00:00+01:00",
    ],
)
def test_a_candle_is_known_when_its_minute_is_over(tmp_path: Path, start: str) -> None:
    text = f"start,open,high,low,close,volume\n{start},10.5,11.0,10,10.70,4\n1763640060,1,1,1,1,0\n"
    (first, second), faults = events(written(tmp_path / "My candles.csv", text), "BTC-USD")
    (tick,) = first.ticks
    assert first.at_us == START_US + MINUTE_US
    assert tick.channel == Channel("candle.1m", "my-candles", "BTC-USD")
    assert tick.payload == Candle(
        START_US, "10.5", "11.0", "10", "10.70", "4", "42.2", "10.55", "2", 1, True,
        venue_us=START_US,
    )  # fmt: skip
    (flat,) = second.ticks
    assert isinstance(flat.payload, Candle)
    assert (flat.payload.trades, flat.payload.volume) == (0, "0")
    assert not faults.lines


@pytest.mark.parametrize(
    ("starts_s", "interval"),
    [((0, 60, 180), "1m"), ((0, 7_200, 14_400), "1h"), ((0, 86_400), "1d")],
)
def test_how_far_candles_are_apart_says_how_long_they_are(
    tmp_path: Path, starts_s: tuple[int, ...], interval: str
) -> None:
    rows = "".join(f"{1_763_596_800 + start_s},1,1,1,1,1\n" for start_s in starts_s)
    path = written(tmp_path / "a.csv", f"start,open,high,low,close,volume\n{rows}")
    assert source(path, "BTC-USD").bar == interval


def test_twelve_columns_without_a_header_are_binances_own_candles(tmp_path: Path) -> None:
    text = "1763640000000,1,2,1,2,9,1763640059999,13,5,6,9,0\n"
    text += "1763640060000,2,2,2,2,0,1763640119999,0,0,0,0,0\n"
    first, _ = only_ticks(written(tmp_path / "a.csv", text), "BTC-USDT")
    candle = first.payload
    assert isinstance(candle, Candle)
    assert (candle.quote_volume, candle.trades, candle.buy_volume) == ("13", 5, "6")
    assert candle.vwap == "1.4444"


def test_a_candle_that_can_not_be_is_a_bad_line_and_the_next_is_read(tmp_path: Path) -> None:
    rows = ["1763640000,1,1,1,1,1", "1763640060,1,1,1,9,1", "x", "1763640120,1,1,1,1,1"]
    path = written(tmp_path / "a.csv", "start,open,high,low,close,volume\n" + "\n".join(rows))
    found, faults = events(path, "BTC-USD")
    assert len(found) == 2
    assert faults.lines == 2
    assert faults.first.startswith("a.csv:3: a high of 1")


def test_a_file_that_names_no_pair_wants_one(tmp_path: Path) -> None:
    path = written(tmp_path / "a.csv", "start,open,high,low,close,volume\n1763640000,1,1,1,1,1\n")
    with pytest.raises(FileError, match=r"a\.csv does not say of which pair it is: give --pair"):
        source(path)


def test_trades_of_a_csv_name_their_venue_and_pair(tmp_path: Path) -> None:
    text = (
        "t_ms,exchange,symbol,side,price,amount\n1763640000123,kraken,XBT/USD,sell,10749.4,0.004\n"
    )
    (event,), _ = events(written(tmp_path / "a.csv", text))
    assert event.at_us == START_US + 123_000
    (tick,) = event.ticks
    assert tick.channel == Channel("trade", "kraken", "BTC-USD")
    assert tick.payload == Trade("10749.4", "0.004", "sell", "2", START_US + 123_000)


def test_trades_of_a_csv_go_through_the_screen(tmp_path: Path) -> None:
    rows = [(number, 100) for number in range(1, 40)] + [(39, 100), (40, 300), (41, 100)]
    text = "t,exchange,symbol,side,price,amount,id\n" + "".join(
        f"{1_763_640_000 + number},kraken,BTC/USD,sell,{price},1,{number}\n"
        for number, price in rows
    )
    found, faults = events(written(tmp_path / "a.csv", text))
    trades = [tick.payload for event in found for tick in event.ticks]
    assert [one.id for one in trades if isinstance(one, Trade) and one.suspect] == ["40"]
    assert len(trades) == 41
    assert (faults.lines, faults.first.partition(": ")[0]) == (1, "a.csv:41")


@pytest.mark.parametrize("row", ["1,a,B/C,sell,1", "z,a,B/C,sell,1,1", "1763640000,a,B/C,up,1,1"])
def test_a_trade_that_can_not_be_is_a_bad_line(tmp_path: Path, row: str) -> None:
    header = "t_ms,exchange,symbol,side,price,amount\n"
    found, faults = events(written(tmp_path / "a.csv", f"{header}{row}\n"))
    assert (found, faults.lines) == ([], 1)


def test_bars_of_lean_say_by_name_and_folder_what_they_are(tmp_path: Path) -> None:
    folder = tmp_path / "cryptofuture" / "binance" / "minute" / "adausdt"
    folder.mkdir(parents=True)
    path = lean_zip(
        folder, "20251120_quote", ["60000,1,2,1,2,7.5,1.5,2.5,1.5,2.5,8", "120000,,,,,,1,1,1,1,1"]
    )
    (event,), faults = events(path)
    assert source(path).format == "1m bars of quotes, binance ADA-USDT-PERP"
    assert event.at_us == DAY_US + 2 * MINUTE_US
    assert event.ticks == [
        Tick(
            Channel("quote", "binance", "ADA-USDT-PERP"),
            Quote("2", "2.5", "7.5", "8", event.at_us),
        )
    ]
    assert not faults.lines


def test_hours_and_days_of_lean_have_their_date_in_each_row(tmp_path: Path) -> None:
    path = lean_zip(tmp_path, "crypto_bitfinex_hour_btcusd_trade", ["20251120 12:00,1,2,1,2,3"])
    (event,), _ = events(path)
    assert event.at_us == START_US + 60 * MINUTE_US
    assert event.ticks[0].channel == Channel("candle.1h", "bitfinex", "BTC-USD")


def test_messages_of_subscribers_give_what_venues_said_and_nothing_derived(tmp_path: Path) -> None:
    some: list[dict[str, object]] = [
        {"type": "ack", "id": 1},
        {"ch": "quote:sim:BTC-USD", "seq": 7, "bid": "1", "ask": "2", "t": 4, "rx": 5, "tx": 6},
        {"type": "gap", "ch": "trade:sim:BTC-USD", "from": 8, "to": 9, "by": "venue"},
        {"ch": "price:agg:BTC-USD", "seq": 3, "px": "1.5"},
        {"ch": "trade:sim:BTC-USD", "px": "1", "sz": "2", "side": "buy", "id": "a", "rx": 8},
        {"ch": "status:sim:VENUE", "seq": 1, "state": "stale", "since": 9, "rx": 9},
        {"ch": "status:agg:VENUE", "seq": 1, "state": "live", "since": 9, "rx": 9},
    ]  # fmt: skip
    for name in ("watched.jsonl", "watched.jsonl.gz"):
        found, faults = events(messages(tmp_path / name, some))
        assert [event.at_us for event in found] == [5, 8, 9]
        quote, trade, status = (event.ticks[0] for event in found)
        assert quote.payload == Quote("1", "2", venue_us=4, received_us=5)
        assert trade.payload == Trade("1", "2", "buy", "a", received_us=8)
        assert trade.missing is not None
        assert trade.missing == ("venue", 2)
        assert status.payload == Status("stale", 9, received_us=9)
        assert not faults.lines
        assert source(tmp_path / name).venues == {"sim"}


def test_a_recording_goes_through_its_venues_parser_and_screen(tmp_path: Path) -> None:
    frame = (CAPTURES / "binance" / "frames.jsonl").read_text().splitlines()[0]
    path = tmp_path / "binance.jsonl.gz"
    with path.open("wb") as stream, RecordingWriter(stream, "binance", 1, gzip=True) as writer:
        writer.received(frame, 1_723_161_255_343_000_999)
        writer.received(frame, 1_723_161_255_343_000_999)
        writer.received("no frame", 1_723_161_255_343_000_999)
    found, faults = events(path)
    assert {event.at_us for event in found} == {1_723_161_255_343_000}
    ids = [t.payload.id for e in found for t in e.ticks if isinstance(t.payload, Trade)]
    assert len(ids) == len(set(ids))
    assert faults.lines == 2
    assert "id came before" in faults.first


@pytest.mark.parametrize("venue", ["binance", "coinbase", "kraken", "bitstamp", "okx"])
def test_raw_messages_are_of_the_venue_whose_parser_understands_them(venue: str) -> None:
    path = CAPTURES / venue / "frames.jsonl"
    assert source(path).format == f"a recording of {venue}"
    assert all(tick.channel.venue == venue for tick in only_ticks(path))


def test_a_recording_that_breaks_off_gives_what_is_whole(tmp_path: Path) -> None:
    packed = gzip.compress((CAPTURES / "kraken" / "frames.jsonl").read_bytes())
    path = tmp_path / "cut.gz"
    path.write_bytes(packed[:-20])
    found, faults = events(path)
    assert found
    assert "broken" in faults.first


@pytest.mark.parametrize(
    "content", [b"", b"hello\n", b"\x00\xff" * 500, b"a,b,c\n1,2,3\n", b'{"no":"channel"}\n' * 3]
)
def test_what_is_no_such_file_is_told_with_all_that_can_be_read(
    tmp_path: Path, content: bytes
) -> None:
    path = tmp_path / "what"
    path.write_bytes(content)
    with pytest.raises(FileError, match=r"what is none of what can be read: .*candles as CSV"):
        source(path)


def test_what_is_not_there_or_is_broken_is_told_by_name(tmp_path: Path) -> None:
    with pytest.raises(FileError, match="none can't be read: No such file"):
        File(tmp_path / "none")
    (tmp_path / "bad.zip").write_bytes(b"PK\x03\x04 but no more")
    with pytest.raises(FileError, match=r"bad\.zip is broken"):
        File(tmp_path / "bad.zip")
    rows = "".join(f"{1763640000 + 60 * n},1,1,1,1,1\n" for n in range(50_000))
    packed = gzip.compress(f"start,open,high,low,close,volume\n{rows}".encode())
    (tmp_path / "cut.csv.gz").write_bytes(packed[: len(packed) // 2])
    with pytest.raises(FileError, match=r"cut\.csv\.gz is broken"):
        events(tmp_path / "cut.csv.gz", "BTC-USD")


def test_files_become_one_by_time_and_one_moment_is_told_together() -> None:
    tick = Tick(Channel("quote", "a", "B-C"), Quote("1", "2"))
    first = [Event(1, [tick]), Event(5, [tick]), Event(4, [tick])]
    second = [Event(1, [tick]), Event(4, [tick, tick])]
    found = [(at_us, len(ticks)) for at_us, ticks in merged([iter(first), iter(second)])]
    assert found == [(1, 2), (4, 2), (5, 2)]


@pytest.mark.skipif(not REPLAY.exists(), reason="needs the recordings of ../shared")
@pytest.mark.parametrize(
    ("name", "format_", "count"),
    [
        ("spot_btcusdt_20240808.gz", "a recording of binance", 37_797),
        ("kraken_BTCUSD_trades_20190701_00h.csv.gz", "trades (CSV)", 2_672),
        ("btc-perp-20211231-20220201_1m.csv.gz", "1m candles (CSV)", 45_031),
        (
            "lean_minute/crypto_bybit_minute_btcusdt_20221213_quote.zip",
            "1m bars of quotes, bybit BTC-USDT",
            721,
        ),
        (
            "lean_minute/cryptofuture_binance_minute_btcusd_20221213_trade.zip",
            "1m bars of trades, binance BTC-USD-PERP",
            1_439,
        ),
    ],
)
def test_the_shared_recordings_are_read_to_their_ends(name: str, format_: str, count: int) -> None:
    path = REPLAY / name
    assert source(path, "BTC-USD-PERP").format == format_
    found, faults = events(path, "BTC-USD-PERP")
    assert sum(len(event.ticks) for event in found) == count
    assert not faults.lines


def test_how_much_was_read_is_told(tmp_path: Path) -> None:
    path = messages(
        tmp_path / "a.jsonl.gz", [{"ch": "status:a:VENUE", "state": "live", "since": 1}]
    )
    file = File(path)
    read: list[int] = []
    file.advance = read.append
    assert list(recognised(file, None).events(Faults()))
    assert sum(read) >= path.stat().st_size
