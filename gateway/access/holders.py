"""EDGE: who is connected to this worker, and by what right: how many, how long, how much.

Ends the sockets of keys that are over, counts what keys use, and sends what waited for a plan's
messages per second. A few timers for the whole worker; nothing here is done per message.
"""

import asyncio
import contextlib
from collections.abc import Mapping

from redis.asyncio import Redis

from feeds.market import Clock, moment
from gateway.access.admission import Admission
from gateway.access.key_store import KeyStore, KeysUnavailable, KnownKeys
from gateway.access.keys import Holder
from gateway.access.limit_store import LimitStore
from gateway.access.plans import Plan
from gateway.access.slots import Slots
from gateway.access.tickets import Tickets
from gateway.access.tokens import Tokens
from gateway.access.usage import Ledger, Month, Traffic
from gateway.cancelling import stop_if_cancelled
from gateway.errors import CLOSES
from gateway.fanout.hub import Hub
from gateway.fanout.session import Session
from gateway.patience import patience
from gateway.settings import GatewaySettings

_RELEASE_S = 0.1
"""So often is looked who was sent as much as its plan allows."""
_LAST_WRITE_LIMIT_S = 1.0
_NOTHING = Traffic()


class Holders:
    """Of one worker. Its sessions are those of its hub."""

    def __init__(
        self,
        hub: Hub,
        redis: Redis,
        settings: GatewaySettings,
        clock: Clock,
        worker_id: str,
        *,
        plans: Mapping[str, Plan],
        tokens: Tokens | None,
    ) -> None:
        """`tokens`: None where there are only API keys."""
        self._hub = hub
        self._settings = settings
        self._clock = clock
        self.keys = KnownKeys(
            KeyStore(redis, clock),
            clock,
            cache_s=settings.key_cache_s,
            grace_s=settings.key_grace_s,
        )
        self.limits = LimitStore(redis, clock)
        self.tickets = Tickets(redis)
        self.admission = Admission(
            self.keys,
            self.tickets,
            tokens,
            self.limits,
            plans,
            failures_per_minute=settings.failures_per_minute,
        )
        self.slots = Slots(redis, self.limits, worker_id, end=self._end_too_many)
        self._tokens = tokens
        self._ledger = Ledger()

    async def run(self) -> None:
        """Until cancelled; then all slots are given back, and what was used is written."""
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self.slots.run(), name="slots")
                group.create_task(self._keep_checking(), name="keys")
                group.create_task(self._keep_counting(), name="usage")
                group.create_task(self._keep_releasing(), name="budgets")
                if self._tokens is not None:
                    group.create_task(self._tokens.keep_keys_fresh(), name="token keys")
        finally:
            with contextlib.suppress(TimeoutError):
                async with patience(_LAST_WRITE_LIMIT_S):
                    await self._write_usage()

    @property
    def usage_dropped(self) -> int:
        """Keys whose use was not counted any more, as too much waited to be written."""
        return self._ledger.dropped

    async def usage(self, holder_id: str) -> Month:
        """What a key has used, with all that this worker has counted. Raises Unanswered."""
        await self._write_usage()
        return await self.limits.usage(holder_id)

    def leave(self, session: Session) -> None:
        """A session that is over."""
        self._take_down(session)
        self.slots.close(session.id)

    async def _keep_checking(self) -> None:
        """Ends the sockets of keys that were revoked or rotated away, or have expired."""
        while True:
            stop_if_cancelled()
            await asyncio.sleep(self._settings.key_cache_s)
            self._end_those_of(await self._ended())

    def _end_those_of(self, ended: set[Holder]) -> None:
        for session in list(self._hub.sessions):
            if session.holder in ended:
                session.end(CLOSES["key_revoked"])

    async def _ended(self) -> set[Holder]:
        holders = {session.holder for session in self._hub.sessions}
        keys_are_there = True
        try:
            # Some hundreds with one question: one by one, ten thousand would take seconds.
            await self.keys.refresh([holder.id for holder in holders if holder.proof])
        except KeysUnavailable:
            keys_are_there = False
        ended: set[Holder] = set()
        for holder in holders:
            now_us = moment(self._clock).utc_us
            if holder.ends_us is not None and holder.ends_us <= now_us:
                ended.add(holder)
            elif keys_are_there:
                try:
                    if not await self.admission.still_admits(holder, now_us):
                        ended.add(holder)
                except KeysUnavailable:
                    # Who is here may stay until somebody can say that they may not.
                    keys_are_there = False
        return ended

    def _end_too_many(self, session_id: str) -> None:
        for session in list(self._hub.sessions):
            if session.id == session_id:
                session.end(CLOSES["connections"])

    async def _write_usage(self) -> None:
        """Adds what sessions have counted to their keys' usage, where Redis takes it."""
        for session in self._hub.sessions:
            self._take_down(session)
        await self.limits.write(self._ledger)

    def _take_down(self, session: Session) -> None:
        traffic = session.take_traffic()
        if traffic != _NOTHING:
            self._ledger.of(session.holder.id).add(traffic)

    async def _keep_counting(self) -> None:
        while True:
            stop_if_cancelled()
            await asyncio.sleep(self._settings.usage_interval_s)
            await self._write_usage()

    async def _keep_releasing(self) -> None:
        """Sends what waited for a plan's messages per second, as these come back."""
        while True:
            await asyncio.sleep(_RELEASE_S)
            self._release()

    def _release(self) -> None:
        now_s = self._clock.monotonic_s()
        for session in list(self._hub.sessions):
            if session.outbox.is_throttled:
                session.release(now_s)
