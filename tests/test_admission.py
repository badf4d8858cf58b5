"""Who is let in: keys, tokens and tickets at one door, and patience with those who guess."""

import asyncio
from pathlib import Path

import msgspec
import pytest
from redis.asyncio import Redis

from gateway.access.admission import Admission, Refusal
from gateway.access.key_store import KeyStore, KnownKeys
from gateway.access.keys import Holder
from gateway.access.limit_store import LimitStore
from gateway.access.plans import FALLBACK, PLANS
from gateway.access.tickets import LIFE_MS, Tickets
from gateway.access.token_keys import TokenKeys
from gateway.access.tokens import Tokens
from gateway.settings import TokenSettings
from tests.conftest import RedisServer
from tests.manual_clock import ManualClock
from tests.token_issuer import ISSUER, claims_at, jwks, rsa_jwk, signed

FAILURES = 4
"""So few that Redis' own clock forgives none of them while a test counts: each takes 15 s."""
HERE = "192.0.2.7"
WRONG = "tg_aaaaaaaa_" + "A" * 43


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def store(redis: Redis, clock: ManualClock) -> KeyStore:
    return KeyStore(redis, clock)


@pytest.fixture
def tickets(redis: Redis) -> Tickets:
    return Tickets(redis)


class Doors:
    """Each as one of several workers has it."""

    def __init__(self, redis: Redis, store: KeyStore, clock: ManualClock) -> None:
        self._redis = redis
        self._store = store
        self._clock = clock

    def door(self, tokens: Tokens | None = None) -> Admission:
        return Admission(
            KnownKeys(self._store, self._clock, cache_s=2.0, grace_s=60.0),
            Tickets(self._redis),
            tokens,
            LimitStore(self._redis, self._clock, answer_limit_s=5.0),
            PLANS,
            failures_per_minute=FAILURES,
        )


@pytest.fixture
def doors(redis: Redis, store: KeyStore, clock: ManualClock) -> Doors:
    return Doors(redis, store, clock)


@pytest.fixture
def door(doors: Doors) -> Admission:
    return doors.door()


@pytest.fixture
async def tokens(tmp_path: Path, clock: ManualClock) -> Tokens:
    path = tmp_path / "jwks.json"
    path.write_bytes(jwks(rsa_jwk()))
    keys = TokenKeys(str(path), "RS256", clock, refresh_s=60.0)
    await keys.load()
    return Tokens(TokenSettings(issuer=ISSUER), keys, clock)


async def refusal(door: Admission, shown: str, address: str = HERE) -> Refusal:
    with pytest.raises(Refusal) as refused:
        await door.holder_of_key(shown, address)
    return refused.value


@pytest.mark.parametrize("header", ["x-api-key: {}", "authorization: Bearer {}"])
async def test_a_key_in_a_header_is_its_holder(
    door: Admission, store: KeyStore, header: str
) -> None:
    record, key = await store.create("bot", "pro", channels=("trade:*:*",))
    name, _, value = header.format(key).partition(": ")
    holder = await door.holder_of({name: value}, b"", HERE)
    assert holder == record.holder(key)


async def test_whoever_shows_nothing_is_nobody_yet(door: Admission) -> None:
    assert await door.holder_of({}, b"a=1&ticket=tt_x", HERE) is None


@pytest.mark.parametrize("query", [b"key=%s", b"a=1&access_token=%s", b"API_KEY=%s", b"%%6bey=%s"])
async def test_a_key_in_the_url_is_refused_and_not_repeated(
    door: Admission, store: KeyStore, query: bytes
) -> None:
    _, key = await store.create("bot", "pro")
    with pytest.raises(Refusal) as refused:
        await door.holder_of({"x-api-key": key}, query % key.encode(), HERE)
    assert (refused.value.status, refused.value.body["code"]) == (400, "key_in_url")
    assert key not in str(refused.value) + str(refused.value.body) + str(refused.value.headers)


@pytest.mark.parametrize(
    "shown", ["", " ", WRONG, "a.b.c", "x" * 100_000, "tg_\u00e9", "\ud800", "..", "tt_" + "A" * 43]
)
async def test_any_other_text_is_refused(door: Admission, shown: str) -> None:
    refused = await refusal(door, shown)
    assert (refused.status, refused.body["code"]) == (401, "auth_failed")
    assert refused.headers["WWW-Authenticate"] == "Bearer"


async def test_so_many_wrong_keys_a_minute_are_borne_from_one_address(
    door: Admission, store: KeyStore
) -> None:
    _, key = await store.create("bot", "pro")
    statuses = [(await refusal(door, WRONG)).status for _ in range(FAILURES + 5)]
    assert statuses == [401] * FAILURES + [429] * 5
    refused = await refusal(door, key)
    assert refused.status == 429, "not even a right one is looked at"
    assert 1 <= int(refused.headers["Retry-After"]) <= 60 / FAILURES
    assert await door.holder_of_key(key, "192.0.2.8"), "others are not its business"


async def test_failures_count_together_over_all_workers(doors: Doors) -> None:
    workers = [doors.door() for _ in range(4)]
    statuses = [(await refusal(workers[n % 4], WRONG)).status for n in range(FAILURES + 4)]
    assert statuses == [401] * FAILURES + [429] * 4


async def test_patience_comes_back_with_time(
    door: Admission, clock: ManualClock, redis: Redis, store: KeyStore
) -> None:
    _, key = await store.create("bot", "pro")
    for _ in range(FAILURES + 1):
        await refusal(door, WRONG)
    clock.advance(60 / FAILURES)
    assert await door.holder_of_key(key, HERE)


async def test_good_keys_cost_no_patience(door: Admission, store: KeyStore) -> None:
    _, key = await store.create("bot", "pro")
    for _ in range(3 * FAILURES):
        assert await door.holder_of_key(key, HERE)
    assert (await refusal(door, WRONG)).status == 401


@pytest.mark.parametrize(
    ("first", "second", "together"),
    [
        ("2001:db8:1:2::1", "2001:db8:1:2:ffff::9", True),
        ("2001:db8:1:2::1", "2001:db8:1:3::1", False),
        ("::ffff:192.0.2.1", "192.0.2.1", True),
        ("fe80::1%eth0", "fe80::2", True),
        ("", "no address", True),
    ],
)
async def test_addresses_that_are_one_persons_are_one(
    door: Admission, first: str, second: str, together: bool
) -> None:
    for _ in range(FAILURES):
        await refusal(door, WRONG, first)
    assert (await refusal(door, WRONG, second)).status == (429 if together else 401)


async def test_guessing_many_addresses_takes_bounded_memory(
    redis: Redis, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gateway.access.limit_store._REMEMBERED_MAX", 10)
    limits = LimitStore(redis, clock, answer_limit_s=5.0)
    for n in range(30):
        for _ in range(2):
            await limits.wait_s(f"failures:192.0.2.{n}", 1 / 60, 1)
    known = [n for n in range(30) if limits.refused_s(f"failures:192.0.2.{n}")]
    assert known == list(range(20, 30))


async def test_without_redis_unknown_keys_are_told_to_come_back(
    redis_server: RedisServer, door: Admission, store: KeyStore
) -> None:
    _, known = await store.create("bot", "pro")
    _, unseen = await store.create("bot", "pro")
    await door.holder_of_key(known, HERE)
    redis_server.kill()
    assert await door.holder_of_key(known, HERE)
    refused = await refusal(door, unseen)
    assert (refused.status, refused.body["code"]) == (503, "keys_unavailable")
    assert refused.headers["Retry-After"] == "1"


async def test_a_ticket_opens_one_door_once(
    door: Admission, store: KeyStore, tickets: Tickets
) -> None:
    record, key = await store.create("bot", "pro")
    ticket = await tickets.sell(record.holder(key))
    query = f"ticket={ticket}".encode()
    assert await door.holder_of({}, query, HERE) is None, "only where tickets are good"
    assert await door.holder_of({}, query, HERE, tickets=True) == record.holder(key)
    with pytest.raises(Refusal) as refused:
        await door.holder_of({}, query, HERE, tickets=True)
    assert refused.value.status == 401
    assert ticket not in str(refused.value.body)


async def test_of_many_who_show_one_ticket_at_once_one_is_let_in(
    door: Admission, store: KeyStore, tickets: Tickets
) -> None:
    record, key = await store.create("bot", "pro")
    query = f"ticket={await tickets.sell(record.holder(key))}".encode()
    answers = await asyncio.gather(
        *(door.holder_of({}, query, f"192.0.2.{n}", tickets=True) for n in range(20)),
        return_exceptions=True,
    )
    assert sum(isinstance(answer, Holder) for answer in answers) == 1


async def test_a_ticket_is_worth_nothing_once_its_key_is_revoked(
    door: Admission, store: KeyStore, tickets: Tickets
) -> None:
    record, key = await store.create("bot", "pro")
    ticket = await tickets.sell(record.holder(key))
    await store.revoke(record.id)
    with pytest.raises(Refusal) as refused:
        await door.holder_of({}, f"ticket={ticket}".encode(), HERE, tickets=True)
    assert refused.value.status == 401


async def test_redis_keeps_a_ticket_for_thirty_seconds_and_only_its_hash(
    redis: Redis, tickets: Tickets
) -> None:
    ticket = await tickets.sell(Holder("aaaaaaaa", "pro"))
    (place,) = await redis.keys("tickgate:ticket:*")
    assert LIFE_MS / 2 < await redis.pttl(place) <= LIFE_MS
    assert ticket.encode() not in place + await redis.get(place)


async def test_tokens_are_let_in_where_there_is_an_issuer(
    doors: Doors, tokens: Tokens, clock: ManualClock
) -> None:
    token = signed(claims_at(clock.now_ns() / 1e9))
    holder = await doors.door(tokens).holder_of({"authorization": f"Bearer {token}"}, b"", HERE)
    assert holder is not None
    assert holder.id.startswith("jwt_")
    assert (await refusal(doors.door(), token)).status == 401


async def test_a_token_with_a_plan_that_is_not_there_is_refused(
    doors: Doors, tokens: Tokens, clock: ManualClock
) -> None:
    token = signed(claims_at(clock.now_ns() / 1e9, plan="gold"))
    assert (await refusal(doors.door(tokens), token)).status == 401


async def test_a_token_admits_until_its_end_and_no_longer(
    doors: Doors, tokens: Tokens, clock: ManualClock
) -> None:
    door = doors.door(tokens)
    holder = await door.holder_of_key(signed(claims_at(clock.now_ns() / 1e9)), HERE)
    end_us = clock.now_ns() // 1_000 + 600_000_000
    assert [await door.still_admits(holder, end_us + n) for n in (-1, 0)] == [True, False]


async def test_a_key_admits_until_it_is_revoked_rotated_away_or_expires(
    door: Admission, store: KeyStore, clock: ManualClock
) -> None:
    made = [await store.create("bot", "pro", expires_in_s=60) for _ in range(4)]
    stays, revoked, rotated, _ = [await door.holder_of_key(key, HERE) for _, key in made]
    await store.revoke(revoked.id)
    await store.rotate(rotated.id, 0)
    clock.advance(5)
    now_us = store.now_us
    still = [await door.still_admits(one, now_us) for one in (stays, revoked, rotated)]
    assert still == [True, False, False]
    clock.advance(60)
    assert not await door.still_admits(stays, store.now_us)


def test_a_plan_that_is_gone_leaves_its_keys_the_fallback(door: Admission) -> None:
    assert door.plan_of(Holder("aaaaaaaa", "pro")) == PLANS["pro"]
    assert door.plan_of(Holder("aaaaaaaa", "gone")) == PLANS[FALLBACK]


def test_a_holder_travels_whole() -> None:
    holder = Holder("aaaaaaaa", "pro", ("*",), 5, "ab")
    assert msgspec.json.decode(msgspec.json.encode(holder), type=Holder) == holder
