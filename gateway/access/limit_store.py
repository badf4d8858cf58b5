"""EDGE (redis): the limits of a key, exact over all gateway processes: rates, REST calls, usage.

While Redis is away each worker enforces its share of them, from memory.
"""

import logging
import math
from collections import OrderedDict
from collections.abc import Sequence
from datetime import UTC, datetime
from importlib.resources import files
from itertools import islice
from typing import Final

import msgspec
from redis.asyncio import Redis

from feeds.market import Clock
from gateway.access.keys import Holder
from gateway.access.limits import Gcra, Over, Verdict, interval_us
from gateway.access.plans import Plan, share_of, share_of_count
from gateway.access.script_calls import Answer, Argument, ScriptCalls, Unanswered
from gateway.access.usage import Ledger, Month, Traffic

_log = logging.getLogger(__name__)

LIMITS_SCRIPT: Final = files("gateway.access").joinpath("limits.lua").read_text()
WORKERS_KEY: Final = "tickgate:{limits}:workers"
ANSWER_LIMIT_S: Final = 0.5
"""However silent Redis is, a command waits no longer."""

_RETRY_S: Final = 0.5
_REMEMBERED_MAX: Final = 10_000
_COUNTED_AT_ONCE: Final = 50


def rate_key(name: str) -> str:
    return f"tickgate:{{limits}}:rate:{name}"


def usage_key(holder_id: str) -> str:
    return f"tickgate:usage:{{limits}}:{holder_id}"


def slots_key(holder_id: str) -> str:
    return f"tickgate:{{limits}}:slots:{holder_id}"


class LimitStore:
    """One worker's way to the limits that it shares with the others."""

    def __init__(
        self, redis: Redis, clock: Clock, *, answer_limit_s: float = ANSWER_LIMIT_S
    ) -> None:
        self._calls = ScriptCalls(redis, LIMITS_SCRIPT, answer_limit_s=answer_limit_s)
        self._clock = clock
        self.workers = 1
        """How many share the limits, as far as is known."""
        self._quiet_until_s = -math.inf
        """Redis is away: until then it isn't asked."""
        self._is_away = False
        self._refused: OrderedDict[str, float] = OrderedDict()
        """Until when (monotonic seconds) a rate is known to be used up."""
        self._local: OrderedDict[str, Gcra] = OrderedDict()
        """Shares of rates, while Redis is away."""

    @property
    def is_away(self) -> bool:
        """Whether limits are local just now."""
        return self._is_away

    async def call(self, keys: Sequence[str], *arguments: Argument) -> Answer:
        """The script's answer. Raises Unanswered, at once where Redis was away a moment ago."""
        now_s = self._clock.monotonic_s()
        if now_s < self._quiet_until_s:
            raise Unanswered("Redis was away a moment ago")
        if self._is_away:
            # One asks whether it is back; meanwhile the others need not wait.
            self._quiet_until_s = now_s + _RETRY_S
        try:
            answer = await self._calls.call(keys, *arguments)
        except Unanswered as error:
            self._quiet_until_s = self._clock.monotonic_s() + _RETRY_S
            if not self._is_away:
                _log.warning(
                    "limits are local until Redis is back (%s)", str(error) or type(error).__name__
                )
            self._is_away = True
            raise
        if self._is_away:
            self._is_away = False
            self._quiet_until_s = -math.inf
            self._local.clear()
        return answer

    def refused_s(self, name: str) -> float:
        """How long a rate is known to be used up; 0.0: perhaps it isn't. Counts nothing."""
        until_s = self._refused.get(name)
        if until_s is None:
            return 0.0
        left_s = until_s - self._clock.monotonic_s()
        if left_s <= 0:
            del self._refused[name]
        return max(0.0, left_s)

    async def wait_s(self, name: str, rate_per_s: float, burst: int) -> float:
        """0.0 where it may happen now, and it is counted; else the seconds until it may."""
        left_s = self.refused_s(name)
        if left_s:
            return left_s
        try:
            answer = await self.call([rate_key(name)], "take", interval_us(rate_per_s), burst)
        except Unanswered:
            share_per_s = share_of(rate_per_s, self.workers) if rate_per_s > 1 else rate_per_s
            return self._local_wait_s(name, share_per_s, share_of_count(burst, self.workers))
        admitted, wait_us = answer[0], answer[1]
        if admitted:
            return 0.0
        self._remember(name, wait_us / 1e6)
        return wait_us / 1e6

    async def command_wait_s(self, holder: Holder, plan: Plan) -> float:
        """The same, of one command of a key."""
        return await self.wait_s(f"{holder.id}:commands", plan.commands_per_s, plan.commands_burst)

    async def rest(self, holder: Holder, plan: Plan) -> Verdict:
        """One REST call of a key."""
        per_minute, month = plan.rest_per_minute, month_at(self._clock)
        interval = interval_us(per_minute / 60) if per_minute else 0
        keys = [rate_key(f"{holder.id}:rest"), usage_key(holder.id)]
        try:
            over, wait_us, left, reset_us, used = await self.call(
                keys, "rest", interval, per_minute, month.name, plan.rest_per_month
            )
        except Unanswered:
            return self._local_rest(holder, plan, month)
        wait_s = month.left_s if over == 2 else wait_us / 1e6
        names: tuple[Over, ...] = ("", "minute", "month")
        return Verdict(names[over], wait_s, left, reset_us / 1e6, used, month.left_s)

    async def write(self, ledger: Ledger) -> None:
        """Adds what was counted to the usage of the keys; what Redis doesn't take stays in it.

        Where an answer is lost on its way, what it was for is counted twice.
        """
        month = month_at(self._clock).name
        left = ledger.take()
        try:
            while left:
                some = list(islice(left, _COUNTED_AT_ONCE))
                numbers = [number for name in some for number in left[name].told()]
                await self.call([usage_key(name) for name in some], "count", month, *numbers)
                for name in some:
                    del left[name]
        except Unanswered:
            pass
        finally:
            ledger.put_back(left)

    async def usage(self, holder_id: str) -> Month:
        """What a key has used in this month, and its open connections. Raises Unanswered."""
        month = month_at(self._clock)
        keys = [usage_key(holder_id), slots_key(holder_id)]
        open_, rest, *counted = await self.call(keys, "usage", month.name)
        return Month(month.name, open_, rest, Traffic(*counted))

    def _remember(self, name: str, wait_s: float) -> None:
        self._refused[name] = self._clock.monotonic_s() + wait_s
        self._refused.move_to_end(name)
        if len(self._refused) > _REMEMBERED_MAX:
            self._refused.popitem(last=False)

    def _local_wait_s(self, name: str, rate_per_s: float, burst: int) -> float:
        bucket = self._local.get(name)
        if bucket is None:
            bucket = self._local[name] = Gcra(rate_per_s, burst)
            if len(self._local) > _REMEMBERED_MAX:
                self._local.popitem(last=False)
        return bucket.wait_s(self._clock.monotonic_s())

    def _local_rest(self, holder: Holder, plan: Plan, month: "MonthNow") -> Verdict:
        """Without a quota: nobody can say what was used, and it is not the client's fault."""
        if not plan.rest_per_minute:
            return Verdict("", 0.0, 0, 0.0, 0, month.left_s)
        share = share_of_count(plan.rest_per_minute, self.workers)
        wait_s = self._local_wait_s(f"{holder.id}:rest", share / 60, share)
        return Verdict("minute" if wait_s else "", wait_s, 0, wait_s, 0, month.left_s)


class MonthNow(msgspec.Struct, frozen=True):
    """The running calendar month, UTC."""

    name: str
    """As in `2025-11`."""
    left_s: float
    length_s: int


def month_at(clock: Clock) -> MonthNow:
    now = datetime.fromtimestamp(clock.now_ns() / 1e9, UTC)
    first = now.replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    next_ = first.replace(year=first.year + first.month // 12, month=first.month % 12 + 1)
    left_s = (next_ - now).total_seconds()
    return MonthNow(f"{first:%Y-%m}", left_s, int((next_ - first).total_seconds()))
