"""The words of the market: channels, instruments, digits, positions, publications."""

import re
from decimal import Decimal

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from feeds.market import (
    KINDS,
    Book,
    Channel,
    ChannelError,
    DigitsError,
    Instrument,
    InstrumentError,
    Moment,
    Quote,
    Status,
    SystemClock,
    Trade,
    digits,
    moment,
)
from feeds.market.bus_names import channel_of, head_key, log_key, topic
from feeds.market.digits import is_zero, positive
from tests.manual_clock import ManualClock

SYMBOLS = st.from_regex(r"\A[A-Z0-9][A-Z0-9._-]{0,31}\Z")
VENUES = st.from_regex(r"\A[a-z0-9][a-z0-9_-]{0,31}\Z")
KIND_NAMES = st.sampled_from(
    [f"{kind.name}.{variant}" for kind in KINDS.values() for variant in kind.variants]
    + [kind.name for kind in KINDS.values() if not kind.variants]
)


@pytest.mark.parametrize(
    ("name", "kind", "venue", "symbol"),
    [
        ("trade:kraken:BTC-USD", "trade", "kraken", "BTC-USD"),
        ("quote:binance:1INCH-USDT", "quote", "binance", "1INCH-USDT"),
        ("book.10:okx:BTC-USDT-PERP", "book.10", "okx", "BTC-USDT-PERP"),
        ("candle.1m:agg:BTC-USD", "candle.1m", "agg", "BTC-USD"),
        ("custom:my_desk-2:A.B_C", "custom", "my_desk-2", "A.B_C"),
        ("status:kraken:VENUE", "status", "kraken", "VENUE"),
        ("trade:kraken:*", "trade", "kraken", "*"),
    ],
)
def test_a_channel_is_kind_venue_and_symbol(name: str, kind: str, venue: str, symbol: str) -> None:
    channel = Channel.parse(name)
    assert (channel.kind, channel.venue, channel.symbol) == (kind, venue, symbol)
    assert channel.name == name
    assert channel == Channel(kind, venue, symbol)
    assert channel.is_wildcard == (symbol == "*")
    assert channel.promises.name == kind.partition(".")[0]


@pytest.mark.parametrize(
    "name",
    [
        "",
        ":",
        "::",
        "trade",
        "trade:kraken",
        "trade:kraken:BTC-USD:1",
        "Trade:kraken:BTC-USD",
        "trade.:kraken:BTC-USD",
        "candle:agg:BTC-USD",
        "candle.:agg:BTC-USD",
        "candle.3m:agg:BTC-USD",
        "book.10.5:okx:BTC-USD",
        "trade:Kraken:BTC-USD",
        "trade:kra ken:BTC-USD",
        "trade:_kraken:BTC-USD",
        "trade:kraken}:BTC-USD",
        "trade:" + "k" * 33 + ":BTC-USD",
        "trade:*:BTC-USD",
        "trade:kraken:btc-usd",
        "trade:kraken:",
        "trade:kraken:-USD",
        "trade:kraken:BTC/USD",
        "trade:kraken:BTC-USD\n",
        "trade:kraken\n:BTC-USD",
        "trade:kraken:BTC-U*",
        "trade:kraken:**",
        "trade:kraken:" + "B" * 33,
        "trade:kraken:\u0412TC-USD",
        "trade:kraken:<img src=x>",
        "trade:kraken:BTC-USD}:head",
    ],
)
def test_what_is_no_channel_is_refused_in_words(name: str) -> None:
    with pytest.raises(ChannelError, match=r"\w+ \w+"):
        Channel.parse(name)


@given(kind=KIND_NAMES, venue=VENUES, symbol=SYMBOLS)
def test_a_channels_name_says_all_of_it(kind: str, venue: str, symbol: str) -> None:
    channel = Channel(kind, venue, symbol)
    assert Channel.parse(channel.name) == channel
    assert channel_of(topic(channel.name)) == channel.name
    assert head_key(channel.name) == topic(channel.name) + ":head"
    assert log_key(channel.name) == topic(channel.name) + ":log"


@given(name=st.text())
def test_any_text_at_all_is_a_channel_or_refused(name: str) -> None:
    try:
        assert Channel.parse(name).name == name
    except ChannelError:
        assert not re.fullmatch(r"trade:[a-z0-9]+:[A-Z0-9]{1,32}", name)


@pytest.mark.parametrize(
    ("base", "quote", "symbol"),
    [
        ("BTC", "USD", "BTC-USD"),
        ("xbt", "usd", "BTC-USD"),
        ("XDG", "EUR", "DOGE-EUR"),
        ("ETH", "XBT", "ETH-BTC"),
        ("1inch", "usdt", "1INCH-USDT"),
    ],
)
def test_an_asset_goes_by_one_name_whatever_the_venue_calls_it(
    base: str, quote: str, symbol: str
) -> None:
    assert Instrument.of(base, quote).symbol == symbol


@pytest.mark.parametrize(
    ("base", "quote"),
    [("", "USD"), ("BTC", ""), ("B C", "USD"), ("BTC", "U$D"), ("B" * 30, "USD"), ("BTC", "USD\n")],
)
def test_what_is_no_pair_of_assets_is_refused(base: str, quote: str) -> None:
    with pytest.raises(InstrumentError):
        Instrument.of(base, quote)


@pytest.mark.parametrize(("base", "quote"), [("BTC-USD", "PERP"), ("BTC", "USD-PERP")])
def test_a_dash_in_an_asset_would_make_one_symbol_mean_two_things(base: str, quote: str) -> None:
    with pytest.raises(InstrumentError):
        Instrument.of(base, quote)


@pytest.mark.parametrize("symbol", ["", "BTC", "BTC-", "-USD", "btc-usd", "BTC-USD-", "BTC--USD"])
def test_what_is_no_symbol_is_refused(symbol: str) -> None:
    with pytest.raises(InstrumentError):
        Instrument.parse(symbol)


ASSETS = st.from_regex(r"\A[A-Z0-9][A-Z0-9._]{0,7}\Z")


@given(base=ASSETS, quote=ASSETS, contract=st.sampled_from(("", "PERP", "240628")))
def test_a_symbol_says_all_of_its_instrument(base: str, quote: str, contract: str) -> None:
    instrument = Instrument.of(base, quote, contract)
    assert Instrument.parse(instrument.symbol) == instrument


@given(symbol=st.one_of(st.text(), SYMBOLS))
def test_any_symbol_at_all_is_an_instruments_only_spelling_or_refused(symbol: str) -> None:
    try:
        assert Instrument.parse(symbol).symbol == symbol
    except InstrumentError:
        assert not re.fullmatch(r"[A-Z0-9]{1,15}-[A-Z0-9]{1,15}", symbol)


@pytest.mark.parametrize(
    ("joined", "symbol"),
    [
        ("BTCUSDT", "BTC-USDT"),
        ("btcusd", "BTC-USD"),
        ("BTCTUSD", "BTC-TUSD"),
        ("XBTUSDT", "BTC-USDT"),
    ],
)
def test_a_joined_pair_is_split_at_its_longest_known_quote(joined: str, symbol: str) -> None:
    assert Instrument.split(joined, ("USD", "USDT", "TUSD", "BTC")).symbol == symbol


@pytest.mark.parametrize("joined", ["", "USD", "BTCJPY", "B?USD"])
def test_a_joined_pair_without_a_known_quote_is_refused(joined: str) -> None:
    with pytest.raises(InstrumentError):
        Instrument.split(joined, ("USD", "USDT"))


@pytest.mark.parametrize(
    "text",
    ["0", "1", "0.0", "0.01500000", "68900.50", "123456789012345678901234", "0." + "0" * 23 + "1"],
)
def test_the_venues_own_digits_are_kept(text: str) -> None:
    assert digits(text) == text


@pytest.mark.parametrize(
    ("text", "written_out"),
    [
        ("6.37e-08", "0.0000000637"),
        ("1E5", "100000"),
        ("1.50e1", "15.0"),
        ("1e-24", "0." + "0" * 23 + "1"),
        ("0E-8", "0.00000000"),
    ],
)
def test_scientific_notation_is_written_out(text: str, written_out: str) -> None:
    assert digits(text) == written_out


@pytest.mark.parametrize(
    "text",
    [
        "",
        " 1",
        "1 ",
        "1\n",
        "+1",
        "-1",
        "-0",
        "01",
        "00.1",
        "01e5",
        ".5",
        "5.",
        "1,5",
        "1_000",
        "0x10",
        "NaN",
        "inf",
        "Infinity",
        "1e400",
        "1e-25",
        "1e",
        "٣",
        "1" * 25,
        "0." + "1" * 25,
        "1e5" * 9_000,
    ],
)
def test_what_are_no_digits_is_refused(text: str) -> None:
    with pytest.raises(DigitsError):
        digits(text)


@given(
    number=st.one_of(
        st.decimals(min_value=0, max_value=10**20, allow_nan=False, allow_infinity=False).map(str),
        st.text(),
    )
)
def test_any_text_at_all_is_the_same_number_in_plain_digits_or_refused(number: str) -> None:
    try:
        plain = digits(number)
    except DigitsError:
        return
    assert re.fullmatch(r"(0|[1-9][0-9]*)(\.[0-9]+)?", plain)
    assert Decimal(plain) == Decimal(number)
    assert digits(plain) == plain
    assert is_zero(plain) == (Decimal(number) == 0)


@pytest.mark.parametrize("text", ["0", "0.000", "0e-8", "-1", "x"])
def test_what_must_be_more_than_zero_is_refused_otherwise(text: str) -> None:
    with pytest.raises(DigitsError):
        positive(text)


def test_what_is_more_than_zero_passes() -> None:
    assert positive("0.0000000001") == "0.0000000001"


@pytest.mark.parametrize(
    ("payload", "written"),
    [
        (
            Trade("68900.50", "0.0015", "buy", "995", 1_763_632_800_123_456, 2),
            b'{"px":"68900.50","sz":"0.0015","side":"buy","id":"995","t":1763632800123456,"rx":2}',
        ),
        (Trade("1", "2", "sell", "x"), b'{"px":"1","sz":"2","side":"sell","id":"x"}'),
        (
            Quote("1.0", "1.1", "5", "6", 3, 4),
            b'{"bid":"1.0","ask":"1.1","bid_sz":"5","ask_sz":"6","t":3,"rx":4}',
        ),
        (Quote("1.0", "1.1"), b'{"bid":"1.0","ask":"1.1"}'),
        (
            Book((("1", "2"),), (("3", "4"), ("5", "6"))),
            b'{"bids":[["1","2"]],"asks":[["3","4"],["5","6"]]}',
        ),
        (
            Status("stale", 9, "venue", "is not reached"),
            b'{"state":"stale","since":9,"by":"venue","reason":"is not reached"}',
        ),
        (Status("live", 9, received_us=10), b'{"state":"live","since":9,"rx":10}'),
    ],
)
def test_a_payload_is_spelt_as_the_protocol_says(
    payload: Trade | Quote | Book | Status, written: bytes
) -> None:
    assert msgspec.json.encode(payload) == written


def test_a_moment_reads_both_clocks() -> None:
    clock = ManualClock(5_000_999)
    clock.advance(2.5)
    assert moment(clock) == Moment(2_505_000, 2.5)
    system = SystemClock()
    assert abs(system.now_ns() // 1_000 - moment(system).utc_us) < 1_000_000
    assert system.monotonic_s() <= system.monotonic_s()
