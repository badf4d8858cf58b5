"""Limits in a real Redis: exact over processes, quotas by month, and a share of them without it."""

import asyncio
import os
import signal
import sys
from collections.abc import Coroutine
from datetime import UTC, datetime

import msgspec
import pytest
from redis.asyncio import Redis

from bench.limiting_worker import Admitted
from gateway.access.keys import Holder
from gateway.access.limit_store import LimitStore, month_at, rate_key, usage_key
from gateway.access.limits import Verdict
from gateway.access.plans import PLANS, Plan
from gateway.access.rate_headers import rate_headers
from gateway.access.script_calls import Unanswered
from gateway.access.usage import Ledger, Month, Traffic
from gateway.processes.embedded_redis import forget_bus
from tests.conftest import RedisServer
from tests.manual_clock import ManualClock
from tests.running_tickgate import REPOSITORY
from tests.until_answer import until_answer

HOLDER = Holder("aaaaaaaa", "free")
FREE = PLANS["free"]
ANSWER_LIMIT_S = 20.0
"""Longer than a Redis takes that is there; one that is gone says so at once."""


def plan_with(**fields: object) -> Plan:
    return msgspec.structs.replace(FREE, **fields)


@pytest.fixture
def clock() -> ManualClock:
    """Only for what a worker remembers: the buckets go by Redis' own."""
    return ManualClock()


@pytest.fixture
async def store(redis: Redis, clock: ManualClock) -> LimitStore:
    return LimitStore(redis, clock, answer_limit_s=ANSWER_LIMIT_S)


async def admitted(url: str, rate: int, burst: int, seconds: float) -> Admitted:
    """What one process of its own was admitted."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "bench.limiting_worker"),
        *(url, "key", str(rate), str(burst), str(seconds)),
        cwd=REPOSITORY,
        env=os.environ,
        stdout=asyncio.subprocess.PIPE,
    )
    told, _ = await process.communicate()
    assert process.returncode == 0
    return msgspec.json.decode(told, type=Admitted)


async def test_four_processes_admit_together_what_one_key_may(redis_url: str) -> None:
    rate, burst, seconds = 200, 50, 3.0
    each = await asyncio.gather(*(admitted(redis_url, rate, burst, seconds) for _ in range(4)))
    took_s = max(one.ended_s for one in each) - min(one.began_s for one in each)
    count, allowed = sum(one.count for one in each), rate * took_s + burst
    assert count <= allowed
    # How near it comes is bench.limits' to say: here the processes may not have got their time.
    assert count > burst, "what was used up comes back"
    assert all(one.count for one in each), "every process had a part of it"


async def test_a_burst_is_admitted_at_once_and_no_more_than_it(
    redis: Redis, clock: ManualClock
) -> None:
    """Each asker is a worker of its own: none knows what another was refused."""
    askers = [LimitStore(redis, clock, answer_limit_s=ANSWER_LIMIT_S) for _ in range(50)]
    answers = await asyncio.gather(*(asker.wait_s("key", 1 / 3_600, 20) for asker in askers))
    assert answers.count(0.0) == 20
    waits = sorted(wait_s for wait_s in answers if wait_s)
    assert len(waits) == 30
    assert 3_000 < waits[0] <= waits[-1] <= 3_600


async def test_one_worker_asks_for_many_at_once_and_counts_right(store: LimitStore) -> None:
    answers = await asyncio.gather(*(store.wait_s("key", 1 / 60, 700) for _ in range(1_000)))
    assert answers.count(0.0) == 700


async def test_keys_do_not_share_their_limits(store: LimitStore) -> None:
    assert await store.wait_s("one", 1 / 60, 1) == 0.0
    assert await store.wait_s("two", 1 / 60, 1) == 0.0
    assert await store.wait_s("one", 1 / 60, 1) > 0.0


async def test_a_refusal_is_remembered_and_costs_no_question(
    redis: Redis, store: LimitStore, clock: ManualClock
) -> None:
    await store.wait_s("key", 1 / 60, 1)
    assert store.refused_s("key") == 0.0
    wait_s = await store.wait_s("key", 1 / 60, 1)
    await redis.delete(rate_key("key"))
    clock.advance(20)
    assert await store.wait_s("key", 1 / 60, 1) == pytest.approx(wait_s - 20)
    clock.advance(wait_s)
    assert store.refused_s("key") == 0.0
    assert await store.wait_s("key", 1 / 60, 1) == 0.0


async def test_a_bucket_is_forgotten_by_redis_when_it_is_empty(
    redis: Redis, store: LimitStore
) -> None:
    await store.wait_s("slow", 1 / 3_600, 5)
    assert 3_000_000 < await redis.pttl(rate_key("slow")) <= 3_601_000
    assert await store.wait_s("quick", 10, 1) == 0.0

    async def is_forgotten() -> bool:
        return not await redis.exists(rate_key("quick"))

    await until_answer(is_forgotten)


async def test_a_restarted_redis_is_told_the_script_again(redis: Redis, store: LimitStore) -> None:
    assert await store.wait_s("one", 1, 1) == 0.0
    await redis.script_flush()
    assert await store.wait_s("two", 1, 1) == 0.0
    assert not store.is_away


async def test_whoever_gives_up_waiting_does_not_spoil_it_for_the_others(
    store: LimitStore,
) -> None:
    asking = [asyncio.create_task(store.wait_s(f"key {n}", 1, 1)) for n in range(20)]
    await asyncio.sleep(0)
    for task in asking[::2]:
        task.cancel()
    answers = await asyncio.gather(*asking, return_exceptions=True)
    assert answers[1::2] == [0.0] * 10
    assert all(isinstance(answer, asyncio.CancelledError) for answer in answers[::2])
    assert not store.is_away


async def test_rest_calls_are_counted_by_the_minute_and_by_the_month(store: LimitStore) -> None:
    plan = plan_with(rest_per_minute=3, rest_per_month=100)
    verdicts = [await store.rest(HOLDER, plan) for _ in range(4)]
    assert [one.over for one in verdicts] == ["", "", "", "minute"]
    assert [one.minute_left for one in verdicts] == [2, 1, 0, 0]
    assert [one.month_used for one in verdicts] == [1, 2, 3, 3], "a refusal costs nothing"
    assert 0 < verdicts[3].wait_s <= 20


async def test_a_months_quota_ends_with_the_month(store: LimitStore, clock: ManualClock) -> None:
    plan = plan_with(rest_per_minute=0, rest_per_month=2)
    assert [(await store.rest(HOLDER, plan)).over for _ in range(3)] == ["", "", "month"]
    refused = await store.rest(HOLDER, plan)
    assert refused.wait_s == refused.month_reset_s == month_at(clock).left_s
    clock.advance(refused.wait_s)
    fresh = await store.rest(HOLDER, plan)
    assert (fresh.over, fresh.month_used) == ("", 1)


async def test_a_plan_without_limits_refuses_nothing_and_still_counts(store: LimitStore) -> None:
    for _ in range(5):
        assert (await store.rest(HOLDER, PLANS["unlimited"])).over == ""
    assert (await store.usage(HOLDER.id)).rest_calls == 5


async def test_usage_is_added_up_over_workers_and_kept_by_month(
    redis: Redis, store: LimitStore, clock: ManualClock
) -> None:
    other = LimitStore(redis, clock)
    ledger = Ledger()
    for who in (store, other):
        ledger.of(HOLDER.id).add(Traffic(messages=10, bytes=1_000, commands=3, connections=1))
        ledger.of("bbbbbbbb").messages += 1
        await who.write(ledger)
        assert len(ledger) == 0
    assert await store.usage(HOLDER.id) == Month(
        month_at(clock).name, 0, 0, Traffic(messages=20, bytes=2_000, commands=6, connections=2)
    )
    assert (await store.usage("bbbbbbbb")).traffic.messages == 2
    clock.advance(month_at(clock).left_s)
    assert await store.usage(HOLDER.id) == Month(month_at(clock).name, 0, 0, Traffic())


async def test_old_months_of_a_key_are_forgotten(
    redis: Redis, store: LimitStore, clock: ManualClock
) -> None:
    for _ in range(20):
        await store.rest(HOLDER, FREE)
        await redis.delete(rate_key("aaaaaaaa:rest"))
        clock.advance(month_at(clock).left_s)
    fields = await redis.hkeys(usage_key(HOLDER.id))
    assert len({field[:7] for field in fields}) == 13
    assert await redis.ttl(usage_key(HOLDER.id)) > 390 * 86_400


async def test_usage_outlives_an_embedded_redis_and_its_buckets_do_not(
    redis: Redis, store: LimitStore
) -> None:
    await store.rest(HOLDER, FREE)
    await forget_bus(redis)
    assert (await store.usage(HOLDER.id)).rest_calls == 1
    assert not await redis.exists(rate_key("aaaaaaaa:rest"))


async def test_without_redis_a_worker_enforces_its_share(
    redis_server: RedisServer, store: LimitStore, clock: ManualClock
) -> None:
    await store.wait_s("key", 5, 20)
    store.workers = 4
    redis_server.kill()
    waits = [await store.wait_s("key", 5, 20) for _ in range(10)]
    assert waits[:5] == [0.0] * 5, "a quarter of the burst of 20"
    assert waits[5:] == [pytest.approx(0.8)] * 5, "a quarter of 5 a second"
    assert store.is_away
    clock.advance(0.8)
    assert await store.wait_s("key", 5, 20) == 0.0


async def test_without_redis_rest_goes_on_by_the_minute_and_nothing_counted_is_lost(
    redis_server: RedisServer, store: LimitStore, clock: ManualClock
) -> None:
    store.workers = 30
    redis_server.kill()
    plan = plan_with(rest_per_minute=60, rest_per_month=1)
    assert [(await store.rest(HOLDER, plan)).over for _ in range(3)] == ["", "", "minute"]
    ledger = Ledger()
    ledger.of(HOLDER.id).messages += 7
    await store.write(ledger)
    assert ledger.of(HOLDER.id).messages == 7
    with pytest.raises(Unanswered):
        await store.usage(HOLDER.id)
    redis_server.start()
    clock.advance(1)
    await store.write(ledger)
    assert (await store.usage(HOLDER.id)).traffic.messages == 7
    assert not store.is_away


async def test_while_redis_is_away_nobody_waits_for_it(
    redis_server: RedisServer, redis: Redis, clock: ManualClock
) -> None:
    """It is there, and silent: only the first one waits for its answer."""
    store = LimitStore(redis, clock, answer_limit_s=0.05)
    await store.wait_s("key", 5, 20)
    assert redis_server.process is not None
    redis_server.process.send_signal(signal.SIGSTOP)
    try:
        assert await store.wait_s("key", 1_000, 1_000) == 0.0
        others = [answered_at_once(store.wait_s("key", 1_000, 1_000)) for _ in range(500)]
        assert others == [0.0] * 500
    finally:
        redis_server.process.send_signal(signal.SIGCONT)


def answered_at_once(asking: Coroutine[object, object, float]) -> float:
    """What is answered without a turn of the event loop."""
    with pytest.raises(StopIteration) as answered:
        asking.send(None)
    answer: float = answered.value.value
    return answer


def test_headers_tell_quota_and_what_is_left() -> None:
    verdict = Verdict(
        "minute", 0.4, minute_left=0, minute_reset_s=59.2, month_used=10, month_reset_s=1_000.0
    )
    assert rate_headers(FREE, verdict, 2_592_000) == {
        "RateLimit-Policy": '"minute";q=60;w=60, "month";q=10000;w=2592000',
        "RateLimit": '"minute";r=0;t=60, "month";r=9990;t=1000',
        "Retry-After": "1",
    }
    fine = msgspec.structs.replace(verdict, over="")
    assert rate_headers(PLANS["unlimited"], fine, 2_592_000) == {}


@pytest.mark.parametrize(
    ("text", "name", "left_s", "length_s"),
    [
        ("2025-11-20T10:00:00", "2025-11", 10 * 86_400 + 14 * 3_600, 30 * 86_400),
        ("2025-12-31T23:59:59", "2025-12", 1, 31 * 86_400),
        ("2028-02-01T00:00:00", "2028-02", 29 * 86_400, 29 * 86_400),
    ],
)
def test_months_are_those_of_the_calendar(text: str, name: str, left_s: int, length_s: int) -> None:
    moment = datetime.fromisoformat(text).replace(tzinfo=UTC)
    month = month_at(ManualClock(int(moment.timestamp()) * 1_000_000_000))
    assert (month.name, month.left_s, month.length_s) == (name, left_s, length_s)


def test_a_ledger_gives_up_the_oldest_rather_than_grow(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.access.usage.HOLDERS_MAX", 3)
    ledger = Ledger()
    for holder_id in ("a", "b", "c", "a", "d"):
        ledger.of(holder_id).messages += 1
    assert ledger.dropped == 1
    assert {name: one.messages for name, one in ledger.take().items()} == {"b": 1, "c": 1, "d": 1}
