"""What clients may say, in both encodings: good, malformed, and hostile."""

from typing import Any

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from gateway.errors import CLOSES, ERRORS, CommandError, next_after
from gateway.protocol import (
    Accepted,
    Ack,
    Auth,
    Command,
    EncodingName,
    Error,
    Gap,
    List,
    Ping,
    Pong,
    Rejected,
    Reset,
    State,
    Subscribe,
    Unsubscribe,
    decode_command,
    encode,
    id_of,
)

SUBSCRIBE = {
    "op": "subscribe",
    "id": 7,
    "channels": ["trade:kraken:BTC-USD"],
    "rate": "all",
    "on_lag": "gap",
    "since": {"trade:kraken:BTC-USD": ["k3", 1842]},
}


def in_json(value: object) -> str:
    return msgspec.json.encode(value).decode()


in_msgpack = msgspec.msgpack.encode


@pytest.mark.parametrize("written", [in_json, in_msgpack])
@pytest.mark.parametrize(
    ("said", "command"),
    [
        (
            SUBSCRIBE,
            Subscribe(
                ["trade:kraken:BTC-USD"],
                7,
                "all",
                "gap",
                {"trade:kraken:BTC-USD": ["k3", 1842]},
            ),
        ),
        ({"op": "subscribe", "channels": []}, Subscribe([])),
        ({"op": "unsubscribe", "id": "x", "channels": ["a"]}, Unsubscribe(["a"], "x")),
        ({"op": "list", "id": 9}, List(9)),
        ({"op": "ping"}, Ping()),
        ({"op": "ping", "id": None}, Ping()),
        ({"id": 1, "key": "tg_…", "op": "auth"}, Auth("tg_…", 1)),
    ],
)
def test_a_command_means_the_same_in_both_encodings(
    written: Any, said: dict[str, object], command: Command
) -> None:
    assert decode_command(written(said)) == command


@pytest.mark.parametrize("written", [in_json, in_msgpack])
@pytest.mark.parametrize(
    "said",
    [
        {},
        [],
        "ping",
        None,
        {"op": "fly"},
        {"op": "PING"},
        {"op": 1},
        {"channels": ["trade:kraken:BTC-USD"]},
        {"op": "subscribe"},
        {"op": "subscribe", "channels": "trade:kraken:BTC-USD"},
        {"op": "subscribe", "channels": [1]},
        {"op": "subscribe", "channels": [], "on_lag": "explode"},
        {"op": "subscribe", "channels": [], "rate": 5},
        {"op": "subscribe", "channels": [], "since": []},
        {"op": "subscribe", "channels": [], "nonce": 1},
        {"op": "ping", "id": 1.5},
        {"op": "ping", "id": [1]},
        {"op": "ping", "id": True},
        {"op": "auth"},
        {"op": "auth", "key": None},
    ],
)
def test_what_is_no_command_is_refused(written: Any, said: object) -> None:
    with pytest.raises(CommandError) as raised:
        decode_command(written(said))
    assert raised.value.row.code == "bad_message"
    assert raised.value.detail


@pytest.mark.parametrize(
    "text",
    ["", " ", "{", '{"op":"ping"', '{"op":"ping"}{}', "\ufeff{}", '{"op":"ping","id":NaN}', "\x00"],
)
def test_what_is_no_json_is_refused(text: str) -> None:
    with pytest.raises(CommandError, match=r"."):
        decode_command(text)
    assert id_of(text) is None


@pytest.mark.parametrize(
    "message",
    [
        '{"op":"subscribe","channels":[],"since":' + '{"a":' * 30_000 + "1" + "}" * 30_001,
        "[" * 65_000,
        b"\x91" * 65_000,
        b"\x82\xa2op\xa9subscribe\xa5since" + b"\x81\xa1a" * 20_000 + b"\xc0",
    ],
)
def test_deep_nesting_is_refused_in_words(message: str | bytes) -> None:
    with pytest.raises(CommandError) as raised:
        decode_command(message)
    assert raised.value.row.code == "bad_message"
    assert id_of(message) is None


@pytest.mark.parametrize(
    ("message", "command_id"),
    [
        ('{"op":"fly","id":7}', 7),
        ('{"id":"seven"}', "seven"),
        (in_msgpack({"op": "fly", "id": 7}), 7),
        ('{"op":"fly"}', None),
        ('{"id":[7]}', None),
        ('{"id":7', None),
        ("7", None),
    ],
)
def test_a_refusal_finds_the_id_of_what_it_refuses(
    message: str | bytes, command_id: int | str | None
) -> None:
    assert id_of(message) == command_id


COMMANDS = (
    st.fixed_dictionaries(
        {},
        optional={
            "op": st.sampled_from(("subscribe", "unsubscribe", "list", "ping", "auth", "x")),
            "id": st.one_of(st.none(), st.integers(), st.text(), st.floats(allow_nan=False)),
            "channels": st.lists(st.text(max_size=5), max_size=3),
            "key": st.text(max_size=5),
            "rate": st.text(max_size=5),
            "since": st.dictionaries(st.text(max_size=3), st.integers(), max_size=2),
        },
    )
    .map(msgspec.json.encode)
    .map(bytes.decode)
)
MESSAGES = st.one_of(st.binary(max_size=200), st.text(max_size=200), COMMANDS)


@given(message=MESSAGES)
@example(message='{"op":"ping","id":"\\ud800"}')
@example(message='{"op":"ping","\\ud800":1}')
@example(message='{"op":"ping","id":18446744073709551616}')
@example(message='{"op":"ping","id":-9223372036854775809}')
@example(message='{"op":"fly","id":123456789012345678901234567890}')
@example(message="\ud800")
def test_any_message_at_all_is_a_command_or_refused_and_can_be_answered(
    message: str | bytes,
) -> None:
    try:
        command = decode_command(message)
    except CommandError as error:
        answer: Pong | Error = Error(id_of(message), error.row.code, error.detail, False)
    else:
        answer = Pong(command.id, 1)
    assert encode(answer, "json")
    assert encode(answer, "msgpack")


@pytest.mark.parametrize("encoding", ["json", "msgpack"])
def test_announcements_are_spelt_as_the_protocol_says(encoding: EncodingName) -> None:
    decode = msgspec.json.decode if encoding == "json" else msgspec.msgpack.decode
    accepted = Accepted("trade:k:A", "k3", 1850, "all", recovered=True, state="live")
    rejected = Rejected("trade:k:B", "unknown_symbol", "no B", retry=False, hint="A")

    def spelt(announcement: Any) -> object:
        return decode(encode(announcement, encoding))

    assert spelt(Ack(7, [accepted], [rejected])) == {
        "type": "ack",
        "id": 7,
        "ok": [
            {
                "ch": "trade:k:A",
                "epoch": "k3",
                "seq": 1850,
                "rate": "all",
                "recovered": True,
                "state": "live",
            }
        ],
        "err": [
            {
                "ch": "trade:k:B",
                "code": "unknown_symbol",
                "message": "no B",
                "retry": False,
                "hint": "A",
            }
        ],
    }
    assert spelt(Ack(1)) == {"type": "ack", "id": 1, "ok": [], "err": []}
    gap = {"type": "gap", "ch": "trade:k:A", "from": 3, "to": 5, "by": "slow"}
    assert spelt(Gap("trade:k:A", 3, 5, "slow")) == gap
    reset = {"type": "reset", "ch": "trade:k:A", "epoch": "k4", "seq": 0, "by": "bus"}
    assert spelt(Reset("trade:k:A", "k4", 0, "bus")) == reset
    state = {"type": "state", "ch": "trade:k:A", "state": "stale", "since": 9, "by": "feed"}
    assert spelt(State("trade:k:A", "stale", 9, "feed")) == state
    assert spelt(Error(None, "rate_limited", "slower", retry=True, after_ms=800)) == {
        "type": "error",
        "id": None,
        "code": "rate_limited",
        "message": "slower",
        "retry": True,
        "after_ms": 800,
    }


def test_every_row_of_the_tables_says_what_it_is_about() -> None:
    assert all(code == row.code and row.text for code, row in ERRORS.items())
    assert all(name == row.name and row.text for name, row in CLOSES.items())
    assert len({row.code for row in CLOSES.values()}) == len(CLOSES)
    # A close frame has room for 123 bytes of reason (RFC 6455, 5.5).
    assert all(len(row.text.encode()) <= 123 for row in CLOSES.values())


@pytest.mark.parametrize(
    ("code", "what"),
    [
        (4000, "stop"),
        (4003, "stop"),
        (4099, "stop"),
        (1008, "stop"),
        (1009, "stop"),
        (4100, "back_off"),
        (4105, "back_off"),
        (4199, "back_off"),
        (4200, "come_back"),
        (4299, "come_back"),
        (1000, "come_back"),
        (1001, "come_back"),
        (1006, "come_back"),
        (1011, "come_back"),
        (1012, "come_back"),
    ],
)
def test_the_band_of_a_close_code_says_what_to_do_next(code: int, what: str) -> None:
    assert next_after(code) == what
