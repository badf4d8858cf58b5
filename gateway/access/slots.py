"""EDGE (redis): which connections are open, over all workers, so that no key has too many.

A slot belongs to a worker and lives as long as the worker's lease, which is one number, renewed
every few seconds however many sessions there are: a crash gives all its slots back. While Redis is
away each worker lets in its share; when it is back, what is too many is ended.
"""

import asyncio
import logging
from collections import Counter
from collections.abc import Callable
from typing import Final

import msgspec
from redis.asyncio import Redis
from redis.exceptions import RedisError

from gateway.access.limit_store import WORKERS_KEY, LimitStore, slots_key
from gateway.access.plans import OverLimit, Plan, share_of_count
from gateway.access.script_calls import Unanswered
from gateway.cancelling import stop_if_cancelled
from gateway.patience import patience

_log = logging.getLogger(__name__)

LEASE_S: Final = 10.0
RENEW_S: Final = 3.0
_RETRY_S: Final = 0.5
_RESTORED_AT_ONCE: Final = 100
_LISTEN_S: Final = 2
"""So long one question for sessions to end stays open in Redis."""
_LEAVE_LIMIT_S: Final = 1.0


class _Slot(msgspec.Struct, frozen=True):
    holder_id: str
    most: int


class Slots:
    """One worker's. `end` is called with the id of a session that has lost its slot."""

    def __init__(
        self,
        redis: Redis,
        store: LimitStore,
        worker_id: str,
        *,
        end: Callable[[str], None],
        lease_s: float = LEASE_S,
        renew_s: float = RENEW_S,
    ) -> None:
        self._redis = redis
        self._store = store
        self._worker_id = worker_id
        self._end = end
        self._lease_us = round(lease_s * 1e6)
        self._renew_s = renew_s
        self._held: dict[str, _Slot] = {}
        """By session."""
        self._count: Counter[str] = Counter()
        """Slots held, by holder."""
        self._closing: list[tuple[str, str]] = []
        """Sessions and their holders, whose slots are to be given back."""
        self._has_closing = asyncio.Event()
        self._opening: set[str] = set()
        """Sessions whose slots are asked for just now."""
        self._has_lease = False
        self._in_doubt = False
        """Redis may think that this worker holds something else."""

    def __len__(self) -> int:
        return len(self._held)

    async def open(self, session_id: str, holder_id: str, plan: Plan) -> bool:
        """Whether there is room for one more connection. What is opened must be closed."""
        slot = _Slot(holder_id, plan.connections_max)
        self._opening.add(session_id)
        try:
            opened = await self._ask(session_id, slot, plan.over_limit)
        except Unanswered:
            self._in_doubt = True
            share = share_of_count(slot.most, self._store.workers)
            opened = not slot.most or self._count[holder_id] < share
        except asyncio.CancelledError:
            # It may have been opened for one who is gone.
            self._give_back(session_id, holder_id)
            raise
        finally:
            self._opening.discard(session_id)
        if opened:
            self._held[session_id] = slot
            self._count[holder_id] += 1
        return opened

    async def _ask(self, session_id: str, slot: _Slot, over_limit: OverLimit) -> bool:
        opened, was_known = await self._store.call(
            [slots_key(slot.holder_id)],
            "open",
            self._worker_id,
            session_id,
            slot.holder_id,
            slot.most,
            over_limit,
            self._lease_us,
        )
        self._note_lease(was_known)
        return bool(opened)

    def close(self, session_id: str) -> None:
        """Gives the slot of a session back, very soon. Twice is once."""
        slot = self._held.pop(session_id, None)
        if slot is not None:
            self._count[slot.holder_id] -= 1
            if not self._count[slot.holder_id]:
                del self._count[slot.holder_id]
            self._give_back(session_id, slot.holder_id)

    async def run(self) -> None:
        """Until cancelled; then all slots are given back."""
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._keep_renewing(), name="lease")
                group.create_task(self._keep_closing(), name="slots")
                group.create_task(self._keep_ending(), name="ended slots")
        finally:
            await self._leave()

    def _give_back(self, session_id: str, holder_id: str) -> None:
        if self._store.is_away:
            # Everything will be told anew: there is no use in remembering this.
            self._in_doubt = True
        else:
            self._closing.append((session_id, holder_id))
            self._has_closing.set()

    async def _keep_renewing(self) -> None:
        while True:
            stop_if_cancelled()
            try:
                await self._renew()
            except Unanswered:
                self._in_doubt = True
                await asyncio.sleep(_RETRY_S)
            else:
                await asyncio.sleep(self._renew_s)

    async def _renew(self) -> None:
        was_known, workers = await self._store.call(
            [WORKERS_KEY], "renew", self._worker_id, self._lease_us
        )
        self._store.workers = workers
        self._note_lease(was_known)
        if self._in_doubt:
            await self._restore()

    def _note_lease(self, was_known: int) -> None:
        """A worker that had a lease, and is not known any more, has lost all its slots."""
        self._in_doubt = self._in_doubt or (self._has_lease and not was_known)
        self._has_lease = True

    async def _restore(self) -> None:
        """Makes Redis hold what this worker holds; who finds no room any more is ended."""
        self._in_doubt = False
        self._closing.clear()
        for holder_id, session_id in await self._known_to_redis():
            if session_id not in self._held and session_id not in self._opening:
                await self._tell_closed(session_id, holder_id)
        held = list(self._held.items())
        for first in range(0, len(held), _RESTORED_AT_ONCE):
            some = held[first : first + _RESTORED_AT_ONCE]
            told = [word for id_, slot in some for word in (id_, slot.holder_id, slot.most)]
            restored = await self._store.call([WORKERS_KEY], "restore", self._worker_id, *told)
            for (session_id, slot), is_held in zip(some, restored, strict=True):
                if not is_held:
                    self._lose(session_id)
                elif session_id not in self._held:
                    # It was closed while its slot was on its way.
                    self._give_back(session_id, slot.holder_id)

    async def _known_to_redis(self) -> list[tuple[str, str]]:
        """Holder and session of each slot that is this worker's there. Raises Unanswered."""
        try:
            async with patience(self._renew_s):
                rows = await self._redis.smembers(f"tickgate:{{limits}}:worker:{self._worker_id}")
        except (RedisError, OSError, TimeoutError) as error:
            raise Unanswered(str(error)) from error
        pairs = (row.decode().partition(" ") for row in rows if isinstance(row, bytes))
        return [(holder_id, session_id) for holder_id, _, session_id in pairs]

    async def _keep_closing(self) -> None:
        while True:
            stop_if_cancelled()
            await self._has_closing.wait()
            self._has_closing.clear()
            closing, self._closing = self._closing, []
            async with asyncio.TaskGroup() as group:
                for session_id, holder_id in closing:
                    group.create_task(self._try_to_close(session_id, holder_id))

    async def _try_to_close(self, session_id: str, holder_id: str) -> None:
        # Not by except*: a group that fails while it is being cancelled drops the cancellation.
        try:
            await self._tell_closed(session_id, holder_id)
        except Unanswered:
            self._in_doubt = True

    async def _tell_closed(self, session_id: str, holder_id: str) -> None:
        key = slots_key(holder_id)
        await self._store.call([key], "close", self._worker_id, session_id, holder_id)

    async def _keep_ending(self) -> None:
        """Hears which sessions have lost their slot to a newer one of their key."""
        key = f"tickgate:{{limits}}:ended:{self._worker_id}"
        while True:
            stop_if_cancelled()
            try:
                async with asyncio.timeout(_LISTEN_S + self._renew_s):
                    ended = await self._redis.blpop([key], timeout=_LISTEN_S)
            except (RedisError, OSError, TimeoutError):
                # Who renews the lease says so already.
                await asyncio.sleep(_RETRY_S)
            else:
                if ended is not None:
                    session_id = ended[1]
                    assert isinstance(session_id, bytes)
                    self._lose(session_id.decode())

    def _lose(self, session_id: str) -> None:
        slot = self._held.get(session_id)
        if slot is not None:
            _log.info("a connection too many is ended key=%s", slot.holder_id)
            self.close(session_id)
            self._end(session_id)

    async def _leave(self) -> None:
        try:
            async with patience(_LEAVE_LIMIT_S):
                await self._store.call([WORKERS_KEY], "leave", self._worker_id)
        except (Unanswered, TimeoutError):
            pass  # The lease ends by itself.
