"""API keys: their shape, what Redis keeps of them, and how long a worker believes what it read."""

import asyncio
import re

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from redis.asyncio import Redis

from gateway.access.key_store import KEYS_KEY, KeyStore, KeysUnavailable, KnownKeys
from gateway.access.keys import LABEL_MAX, KeyRecord, id_in
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
    assert record.admits(key, 1)
    wrong = [other, "", key[:-1], key + "x", key.upper(), f"tg_{record.id}_" + "A" * 43, "\ud800"]
    assert [record.admits(text, 1) for text in wrong] == [False] * len(wrong)


def test_a_revoked_record_admits_nothing() -> None:
    record, key = KeyRecord.made("bot", "free", 1)
    revoked = msgspec.structs.replace(record, revoked_us=2)
    assert not revoked.admits(key, 1)
    assert revoked.state(1) == "revoked"


def test_a_key_is_good_until_the_moment_it_expires() -> None:
    record, key = KeyRecord.made("bot", "free", 1, expires_us=1_000)
    assert [record.admits(key, now_us) for now_us in (999, 1_000, 1_001)] == [True, False, False]
    assert [record.state(now_us) for now_us in (999, 1_000)] == ["valid", "expired"]
    assert record.holder(key).ends_us == 1_000


def test_after_a_rotation_both_keys_are_good_until_the_overlap_ends() -> None:
    record, old = KeyRecord.made("bot", "free", 1)
    rotated, new = record.rotated(100, 50)
    assert rotated.id == record.id == id_in(new)
    assert [rotated.admits(new, now_us) for now_us in (100, 150, 10**15)] == [True] * 3
    assert [rotated.admits(old, now_us) for now_us in (100, 149, 150)] == [True, True, False]
    assert (rotated.holder(old).ends_us, rotated.holder(new).ends_us) == (150, None)


def test_a_rotation_without_overlap_ends_the_old_key_at_once() -> None:
    record, old = KeyRecord.made("bot", "free", 1)
    rotated, new = record.rotated(100, 0)
    assert not rotated.admits(old, 100)
    assert rotated.admits(new, 100)


def test_a_second_rotation_ends_the_overlap_of_the_first() -> None:
    record, first = KeyRecord.made("bot", "free", 1)
    once, second = record.rotated(100, 1_000)
    twice, third = once.rotated(200, 1_000)
    assert [twice.admits(key, 300) for key in (first, second, third)] == [False, True, True]


def test_a_holder_is_bound_to_the_very_key_that_was_shown() -> None:
    record, old = KeyRecord.made("bot", "free", 1, channels=("trade:*:*",))
    shown = record.holder(old)
    assert (shown.id, shown.plan, shown.channels) == (record.id, "free", ("trade:*:*",))
    rotated, _ = record.rotated(100, 50)
    assert rotated.still_admits(shown.proof, 149)
    assert not rotated.still_admits(shown.proof, 150)
    assert not rotated.still_admits("", 149), "a token's holder has no proof of a key"


def test_a_record_of_before_there_was_an_end_has_none() -> None:
    kept = b'{"id":"aaaaaaaa","label":"","plan":"pro","sha256":"ab","created_us":1}'
    record = msgspec.json.decode(kept, type=KeyRecord)
    assert (record.expires_us, record.channels, record.previous_sha256) == (None, None, "")
    assert record.state(10**15) == "valid"


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


async def test_a_rotated_key_and_its_predecessor_are_admitted_until_the_overlap_ends(
    store: KeyStore, known: KnownKeys, clock: ManualClock
) -> None:
    record, old = await store.create("bot", "free")
    rotated = await store.rotate(record.id, 3_600)
    assert rotated is not None
    changed, new = rotated
    assert await known.admitted(old) == await known.admitted(new) == changed
    clock.advance(3_601)
    assert await known.admitted(old) is None
    assert await known.admitted(new) == changed


async def test_a_rotated_key_is_admitted_at_once_where_the_one_before_is_known(
    store: KeyStore, known: KnownKeys
) -> None:
    record, old = await store.create("bot", "free")
    assert await known.admitted(old)
    rotated = await store.rotate(record.id, 0)
    assert rotated is not None
    assert await known.admitted(rotated[1]) == rotated[0]
    assert await known.admitted(old) is None


async def test_an_expiry_needs_no_reading_to_be_seen(
    store: KeyStore, known: KnownKeys, clock: ManualClock
) -> None:
    _, key = await store.create("bot", "free", expires_in_s=1)
    assert await known.admitted(key)
    clock.advance(CACHE_S / 2)
    assert await known.admitted(key) is None


async def test_what_is_over_is_not_rotated(store: KeyStore, clock: ManualClock) -> None:
    revoked, _ = await store.create("bot", "free")
    expired, _ = await store.create("bot", "free", expires_in_s=1)
    await store.revoke(revoked.id)
    clock.advance(2)
    assert await store.rotate(revoked.id, 60) is None
    assert await store.rotate(expired.id, 60) is None
    assert await store.rotate("aaaaaaaa", 60) is None


async def test_a_rotation_never_undoes_a_revocation(redis: Redis, clock: ManualClock) -> None:
    store = KeyStore(redis, clock)
    for _ in range(50):
        record, _ = await store.create("bot", "free")
        await asyncio.gather(store.rotate(record.id, 60), store.revoke(record.id))
        left = await store.get(record.id)
        assert left is not None
        assert left.revoked_us is not None


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
    assert not await known.still_admits(record.holder(key))
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
    assert known.failures == 3


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
