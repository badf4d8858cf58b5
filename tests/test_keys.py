"""API keys: their shape, what Redis keeps of them, and how long a worker believes what it read."""

import re

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from redis.asyncio import Redis

from gateway.key_store import KEYS_KEY, KeyStore, KeysUnavailable, KnownKeys
from gateway.keys import LABEL_MAX, KeyRecord, id_in
from tests.conftest import RedisServer
from tests.manual_clock import ManualClock

CACHE_S = 2.0
GRACE_S = 60.0


def test_a_key_holds_its_id_and_256_random_bits() -> None:
    record, key = KeyRecord.made("bot", "free", 1)
    assert re.fullmatch(rf"tg_{record.id}_[A-Za-z0-9_-]{{43}}", key)
    assert id_in(key) == record.id
    assert (record.label, record.plan, record.created_us) == ("bot", "free", 1)
    assert record.revoked_us is None


def test_no_two_keys_are_alike_and_a_record_does_not_hold_its_key() -> None:
    made = [KeyRecord.made("bot", "free", 1) for _ in range(500)]
    assert len({key for _, key in made}) == 500
    assert len({record.id for record, _ in made}) == 500
    secrets = ((msgspec.json.encode(record).decode(), key.split("_", 2)[2]) for record, key in made)
    assert not any(secret in kept for kept, secret in secrets)


def test_a_label_is_cut_at_its_limit() -> None:
    assert len(KeyRecord.made("x" * 10_000, "free", 1)[0].label) == LABEL_MAX


def test_a_record_admits_its_own_key_only() -> None:
    record, key = KeyRecord.made("bot", "free", 1)
    other = KeyRecord.made("bot", "free", 1)[1]
    assert record.admits(key)
    wrong = [other, "", key[:-1], key + "x", key.upper(), f"tg_{record.id}_" + "A" * 43]
    assert [record.admits(text) for text in wrong] == [False] * len(wrong)


def test_a_revoked_record_admits_nothing() -> None:
    record, key = KeyRecord.made("bot", "free", 1)
    assert not msgspec.structs.replace(record, revoked_us=2).admits(key)


@given(text=st.one_of(st.text(), st.from_regex(r"tg_[a-z0-9]{7,9}_[A-Za-z0-9_-]{42,44}")))
def test_any_text_at_all_has_the_shape_of_a_key_or_no_id(text: str) -> None:
    found = id_in(text)
    shaped = re.fullmatch(r"tg_([a-z0-9]{8})_[A-Za-z0-9_-]{43}", text)
    assert found == (shaped.group(1) if shaped else None)


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
async def store(redis: Redis, clock: ManualClock) -> KeyStore:
    return KeyStore(redis, clock)


@pytest.fixture
async def known(store: KeyStore, clock: ManualClock) -> KnownKeys:
    return KnownKeys(store, clock, cache_s=CACHE_S, grace_s=GRACE_S)


async def test_keys_are_listed_oldest_first_and_redis_never_sees_one(
    store: KeyStore, clock: ManualClock, redis: Redis
) -> None:
    made = []
    for label in ("first", "second", "third"):
        made.append(await store.create(label, "pro"))
        clock.advance(1)
    assert [record.label for record in await store.list()] == ["first", "second", "third"]
    kept = repr(await redis.hvals(KEYS_KEY))
    assert not any(key.split("_", 2)[2] in kept for _, key in made)


async def test_revoking_twice_is_once(store: KeyStore, clock: ManualClock) -> None:
    record, _ = await store.create("bot", "free")
    clock.advance(10)
    revoked = await store.revoke(record.id)
    clock.advance(10)
    assert revoked is not None
    assert revoked.revoked_us == record.created_us + 10_000_000
    assert await store.revoke(record.id) == revoked
    assert await store.get(record.id) == revoked


async def test_a_key_that_is_not_there_is_none(store: KeyStore) -> None:
    assert await store.get("aaaaaaaa") is None
    assert await store.revoke("aaaaaaaa") is None
    await store.forget("aaaaaaaa")


async def test_a_forgotten_key_is_gone(store: KeyStore, known: KnownKeys) -> None:
    record, key = await store.create("bot", "free")
    await store.forget(record.id)
    assert await store.list() == []
    assert await known.admitted(key) is None


async def test_a_valid_key_is_admitted_and_no_other_text_is(
    store: KeyStore, known: KnownKeys
) -> None:
    record, key = await store.create("bot", "free")
    assert await known.admitted(key) == record
    for wrong in ("", "tg_", key[:-1], f"tg_{record.id}_" + "A" * 43, "tg_aaaaaaaa_" + "A" * 43):
        assert await known.admitted(wrong) is None


async def test_a_revocation_is_seen_when_the_cache_has_expired_and_not_before(
    store: KeyStore, known: KnownKeys, clock: ManualClock
) -> None:
    record, key = await store.create("bot", "free")
    assert await known.admitted(key)
    await store.revoke(record.id)
    clock.advance(CACHE_S * 0.9)
    assert await known.admitted(key)
    clock.advance(CACHE_S * 0.2)
    assert await known.admitted(key) is None
    current = await known.current(record.id)
    assert current is not None
    assert current.revoked_us is not None


async def test_known_keys_are_believed_for_a_while_without_redis_and_others_are_not(
    redis_server: RedisServer, store: KeyStore, known: KnownKeys, clock: ManualClock
) -> None:
    _, key = await store.create("bot", "free")
    _, unseen = await store.create("other", "free")
    assert await known.admitted(key)
    redis_server.kill()
    clock.advance(GRACE_S * 0.9)
    assert await known.admitted(key)
    with pytest.raises(KeysUnavailable):
        await known.admitted(unseen)
    clock.advance(GRACE_S * 0.2)
    with pytest.raises(KeysUnavailable):
        await known.admitted(key)


async def test_a_text_that_is_no_key_needs_no_redis_to_be_refused(
    redis_server: RedisServer, known: KnownKeys
) -> None:
    redis_server.kill()
    assert await known.admitted("not a key") is None


async def test_a_row_that_is_no_record_is_no_key_and_hides_no_other(
    redis: Redis, store: KeyStore, known: KnownKeys
) -> None:
    record, key = await store.create("bot", "free")
    await redis.hset(KEYS_KEY, "aaaaaaaa", b"not a record")
    assert await known.admitted("tg_aaaaaaaa_" + "A" * 43) is None
    assert await store.list() == [record]
    assert await known.admitted(key) == record
