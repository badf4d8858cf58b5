"""The bus script, called as a program in any language would, by what its header comment says."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from redis import Redis as BlockingRedis
from redis.exceptions import NoScriptError, ResponseError

import feeds
from feeds.market import Publication
from tests.conftest import RedisServer

BTC = "custom:desk:BTC-USD"
ETH = "custom:desk:ETH-USD"


class Part(NamedTuple):
    """What one call says of one channel."""

    channel: str
    payloads: tuple[bytes, ...]
    missing: str = "-"
    max: int = 1_000


class Program:
    """A stranger's publisher: knows Redis, and the comment on top of feeds/bus.lua."""

    def __init__(self, redis: BlockingRedis) -> None:
        self.redis: Any = redis
        self.script = (Path(feeds.__file__).parent / "bus.lua").read_text()
        self.sha = self.redis.script_load(self.script)

    def call(self, *parts: Part, publisher: str = "", batch: int | str = 0) -> list[Any]:
        keys: list[str] = []
        arguments: list[Any] = []
        for part in parts:
            keys += [f"tickgate:{{{part.channel}}}:head", f"tickgate:{{{part.channel}}}:log"]
            arguments += [part.max, part.missing, len(part.payloads), *part.payloads]
        answer = self.redis.evalsha(self.sha, len(keys), *keys, publisher, batch, *arguments)
        return [word.decode() if isinstance(word, bytes) else word for word in answer]

    def publish(self, *payloads: bytes, channel: str = BTC, **named: Any) -> tuple[str, int]:
        epoch, seq = self.call(Part(channel, payloads), **named)
        return epoch, seq

    def log(self, channel: str = BTC) -> list[Publication]:
        entries = self.redis.xrange(f"tickgate:{{{channel}}}:log")
        publications = [Publication.decode(fields[b"m"]) for _, fields in entries]
        assert [f"{one.seq}-0".encode() for one in publications] == [name for name, _ in entries]
        return publications

    def seqs(self, channel: str = BTC) -> list[int]:
        return [publication.seq for publication in self.log(channel)]

    def state(self) -> dict[bytes, Any]:
        """Everything that Redis keeps, to compare."""
        return {key: self.redis.dump(key) for key in sorted(self.redis.keys("*"))}


@pytest.fixture
def program(redis_server: RedisServer) -> Iterator[Program]:
    with BlockingRedis(unix_socket_path=str(redis_server.socket)) as redis:
        yield Program(redis)


def payloads(count: int, first: int = 1) -> list[bytes]:
    return [b'{"n":%d}' % number for number in range(first, first + count)]


def test_the_first_message_of_a_channel_begins_an_epoch_at_one(program: Program) -> None:
    epoch, seq = program.publish(b'{"n":1}')
    assert seq == 1
    assert program.log() == [Publication(epoch, 1, b'{"n":1}')]
    assert len(epoch) <= 32
    assert epoch.isalnum()


def test_seq_is_contiguous_over_calls_of_any_size(program: Program) -> None:
    answers = [program.publish(*payloads(count)) for count in (1, 5, 0, 200, 3)]
    assert len({epoch for epoch, _ in answers}) == 1
    assert [seq for _, seq in answers] == [1, 6, 6, 206, 209]
    assert program.seqs() == list(range(1, 210))


def test_what_is_published_is_what_is_kept_and_in_the_same_order(program: Program) -> None:
    with program.redis.pubsub(ignore_subscribe_messages=True) as pubsub:
        pubsub.subscribe(f"tickgate:{{{BTC}}}")
        assert pubsub.get_message(timeout=20) is None
        program.publish(*payloads(50))
        heard = [pubsub.get_message(timeout=20)["data"] for _ in range(50)]
    assert [Publication.decode(message) for message in heard] == program.log()


def test_each_channel_of_a_call_has_its_own_seq_and_answer(program: Program) -> None:
    program.publish(*payloads(7), channel=ETH)
    parts = Part(BTC, tuple(payloads(2))), Part("custom:desk:SOL-USD", ())
    btc, btc_seq, _, sol_seq, eth, eth_seq = program.call(*parts, Part(ETH, tuple(payloads(3))))
    assert (btc_seq, sol_seq, eth_seq) == (2, 0, 10)
    assert {one.epoch for one in program.log(BTC)} == {btc}
    assert {one.epoch for one in program.log(ETH)} == {eth}
    assert [one.payload for one in program.log(ETH)[-3:]] == payloads(3)


def test_missing_messages_take_seqs_and_are_told_before_the_first(program: Program) -> None:
    program.publish(*payloads(2))
    program.call(Part(BTC, tuple(payloads(2)), missing="feed:7"))
    program.call(Part(BTC, tuple(payloads(1)), missing="venue:1"))
    kept = [(one.seq, one.missing) for one in program.log()]
    assert kept == [(1, None), (2, None), (10, ("feed", 7)), (11, None), (13, ("venue", 1))]


def test_the_same_batch_again_publishes_nothing_twice(program: Program) -> None:
    first = program.publish(*payloads(3), publisher="p", batch=5)
    before = program.state()
    assert program.publish(*payloads(3), publisher="p", batch=5) == first
    assert program.publish(*payloads(9), publisher="p", batch=4) == first
    assert program.state() == before
    assert program.publish(b"{}", publisher="p", batch=6) == (first[0], 4)


def test_a_batch_is_remembered_channel_by_channel(program: Program) -> None:
    program.call(Part(BTC, (b"{}",)), publisher="p", batch=7)
    program.call(Part(BTC, (b"{}",)), Part(ETH, (b"{}",)), publisher="p", batch=7)
    assert (program.seqs(BTC), program.seqs(ETH)) == ([1], [1])


def test_another_publishers_numbers_mean_nothing(program: Program) -> None:
    program.publish(b"{}", publisher="p", batch=100)
    assert program.publish(b"{}", publisher="q", batch=1)[1] == 2


def test_a_publisher_without_a_name_is_not_remembered(program: Program) -> None:
    assert [program.publish(b"{}")[1] for _ in range(3)] == [1, 2, 3]


def test_the_stream_is_capped_and_the_newest_stay(program: Program) -> None:
    for _ in range(30):
        program.call(Part(BTC, tuple(payloads(100)), max=200))
    seqs = program.seqs()
    # Redis trims whole nodes of a hundred.
    assert 200 <= len(seqs) <= 300
    assert seqs == list(range(3_001 - len(seqs), 3_001))


def test_a_lost_head_begins_a_new_epoch_and_a_new_log(program: Program) -> None:
    old, _ = program.publish(*payloads(5))
    program.redis.delete(f"tickgate:{{{BTC}}}:head")
    new, seq = program.publish(*payloads(2))
    assert new != old
    assert seq == 2
    assert [(one.epoch, one.seq) for one in program.log()] == [(new, 1), (new, 2)]


def test_a_lost_log_leaves_the_numbering_alone(program: Program) -> None:
    old = program.publish(*payloads(5))
    program.redis.delete(f"tickgate:{{{BTC}}}:log")
    assert program.publish(b"{}") == (old[0], 6)
    assert program.seqs() == [6]


def test_a_head_behind_its_own_log_begins_a_new_epoch(program: Program) -> None:
    old, _ = program.publish(*payloads(5))
    program.redis.hset(f"tickgate:{{{BTC}}}:head", "seq", 3)
    new, seq = program.publish(*payloads(3, 20))
    assert new != old
    assert seq == 3
    kept = [(one.epoch, one.seq, one.payload) for one in program.log()]
    assert kept == [(new, at + 1, payload) for at, payload in enumerate(payloads(3, 20))]
    assert program.publish(b"{}") == (new, 4)


def test_a_redis_that_lost_everything_begins_new_epochs(program: Program) -> None:
    old = program.publish(*payloads(5), publisher="p", batch=9)
    program.redis.flushall()
    new = program.publish(*payloads(2), publisher="p", batch=9)
    assert new[0] != old[0]
    assert new[1] == 2


def test_no_epoch_is_ever_used_twice(program: Program) -> None:
    epochs = []
    for _ in range(300):
        epochs.append(program.publish(b"{}")[0])
        program.redis.delete(f"tickgate:{{{BTC}}}:head")
    assert len(set(epochs)) == 300


def test_a_script_that_redis_forgot_is_said_to_be_unknown_and_can_be_loaded_again(
    program: Program,
) -> None:
    program.publish(b"{}")
    program.redis.script_flush()
    with pytest.raises(NoScriptError):
        program.publish(b"{}")
    assert program.redis.script_load(program.script) == program.sha
    assert program.publish(b"{}")[1] == 2


@pytest.mark.parametrize(
    "payload",
    [
        '{"name":"Zürich ✓ 比特币 🚀"}'.encode(),
        b'{"a b":  "c d"}',
        b'{"a":"\n"}',
        b'{"\x00":"\xff\xfe"}',
        b'{"n":"' + b"x" * 200_000 + b'"}',
        b"{}",
        b"%d %s {}",
    ],
)
def test_a_payload_is_carried_byte_for_byte(program: Program, payload: bytes) -> None:
    program.publish(payload, payload)
    entries = program.redis.xrange(f"tickgate:{{{BTC}}}:log")
    assert [fields[b"m"].split(b" ", 3)[3] for _, fields in entries] == [payload, payload]


def test_a_redis_without_memory_refuses_and_has_applied_nothing(program: Program) -> None:
    program.publish(*payloads(2), channel=BTC, publisher="p", batch=1)
    program.publish(*payloads(2), channel=ETH, publisher="p", batch=1)
    before = program.state()
    parts = Part(BTC, tuple(payloads(2))), Part(ETH, tuple(payloads(2)))
    program.redis.config_set("maxmemory", 1)
    with pytest.raises(ResponseError, match="OOM"):
        program.call(*parts, publisher="p", batch=2)
    program.redis.config_set("maxmemory", 0)
    assert program.state() == before
    _, btc_seq, _, eth_seq = program.call(*parts, publisher="p", batch=2)
    assert (btc_seq, eth_seq) == (4, 4)


BTC_KEYS = (f"tickgate:{{{BTC}}}:head", f"tickgate:{{{BTC}}}:log")
ETH_KEYS = (f"tickgate:{{{ETH}}}:head", f"tickgate:{{{ETH}}}:log")


@pytest.mark.parametrize(
    ("keys", "arguments"),
    [
        (BTC_KEYS, ("p", "x", 9, "-", 1, "{}")),
        (BTC_KEYS, ("p", "", 9, "-", 1, "{}")),
        (BTC_KEYS, ("another", "x", 9, "-", 1, "{}")),
        (BTC_KEYS, ("p", 2, 9, "-", 3, "{}", "{}")),
        (BTC_KEYS, ("p", 2, 9, "-", 1, "{}", "{}")),
        (BTC_KEYS, ("p", 2, 9, "-", "one", "{}")),
        (BTC_KEYS, ("p", 2, 9, "-", -1, "{}")),
        (BTC_KEYS, ("p", 2, "many", "-", 1, "{}")),
        (BTC_KEYS, ("p", 2, 9, "feed", 1, "{}")),
        (BTC_KEYS, ("p", 2, 9, "bus:1", 1, "{}")),
        (BTC_KEYS, ("p", 2, 9, "feed:1 x", 1, "{}")),
        (BTC_KEYS, ("p", 2, 9, "feed:0", 1, "{}")),
        (BTC_KEYS, ("p", 2, 9, "feed:99999999999999999999", 1, "{}")),
        (BTC_KEYS, ("p", 2, 9)),
        (BTC_KEYS, ("p",)),
        (BTC_KEYS, ()),
        (BTC_KEYS[:1], ("p", 2, 9, "-", 1, "{}")),
        (BTC_KEYS[::-1], ("p", 2, 9, "-", 1, "{}")),
        (BTC_KEYS + ETH_KEYS, ("p", 2, 9, "-", 1, "{}")),
        (BTC_KEYS + ETH_KEYS, ("p", 2, 9, "-", 1, "{}", 9, "-", 2, "{}")),
    ],
)
def test_a_malformed_call_is_refused_and_has_applied_nothing(
    program: Program, keys: tuple[str, ...], arguments: tuple[Any, ...]
) -> None:
    program.publish(*payloads(2), publisher="p", batch=1)
    program.publish(*payloads(2), channel=ETH, publisher="p", batch=1)
    before = program.state()
    with pytest.raises(ResponseError):
        program.redis.evalsha(program.sha, len(keys), *keys, *arguments)
    assert program.state() == before


class Call(NamedTuple):
    """One step of a history: what is sent, or what befalls Redis before it."""

    size: int
    missing: int
    batch_step: int
    befalls: str


CALLS = st.lists(
    st.builds(
        Call,
        st.integers(0, 4),
        st.integers(0, 3),
        st.sampled_from((1, 1, 1, 0, -1)),
        st.sampled_from(("", "", "", "", "head lost", "log lost", "head back")),
    ),
    max_size=25,
)


@given(calls=CALLS)
@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_history_is_what_a_naive_account_says(program: Program, calls: list[Call]) -> None:
    program.redis.flushall()
    head, log = BTC_KEYS
    epoch, seq, batch, seen = "", 0, 1, 0
    kept: list[tuple[str, int]] = []
    for call in calls:
        batch = max(1, batch + call.batch_step)
        match call.befalls:
            case "head lost":
                program.redis.delete(head)
                epoch, seq, seen = "", 0, 0
            case "log lost":
                program.redis.delete(log)
                kept = []
            case "head back" if seq and kept:
                program.redis.hset(head, "seq", seq - 1)
                seq -= 1
        part = Part(BTC, (b"{}",) * call.size, f"feed:{call.missing}" if call.missing else "-")
        told, told_seq = program.call(part, publisher="p", batch=batch)
        if batch > seen:
            seen = batch
            first = seq + call.missing + 1
            if not epoch or (call.size and any(first <= number for _, number in kept)):
                first = call.missing + 1 if not epoch else 1
                kept = []
                assert told not in {"", epoch}
            epoch, seq = told, first + call.size - 1
            kept += [(epoch, number) for number in range(first, seq + 1)]
        assert (told, told_seq) == (epoch or told, seq)
        assert [(one.epoch, one.seq) for one in program.log()] == kept
