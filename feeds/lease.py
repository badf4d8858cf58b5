"""EDGE (redis): of several feed processes on one Redis, only one publishes a venue.

The others stand by, without a connection to the venue, and one takes over when the holder leaves,
or has not renewed its lease in time: it died, or stalls. The fence (bus.lua) keeps out a holder
that wakes up too late; it learns of it and stands by.
"""

import asyncio
import contextlib
import logging
import uuid
from collections.abc import Callable, Coroutine
from importlib.resources import files
from typing import Any, Final, Literal

from redis.asyncio import Redis
from redis.exceptions import RedisError, ResponseError

from feeds.batch import Fence
from feeds.cancelling import stop_if_cancelled
from feeds.market import Clock
from feeds.market.bus_names import lease_keys
from feeds.publisher import Publisher

_log = logging.getLogger(__name__)

_SCRIPT: Final = files("feeds").joinpath("lease.lua").read_text()
_RENEWALS: Final = 4
_QUESTIONS: Final = 10
_PATIENCE: Final = 2
"""How often a lease's length is renewed in it, asked for by others, and waited for an answer."""
_DOUBT_PAUSE_S: Final = 0.02
"""At least between two questions, however often Redis refuses."""


class Lease:
    """One venue's, in this process."""

    def __init__(
        self,
        venue: str,
        redis: Redis,
        publisher: Publisher,
        clock: Clock,
        *,
        lease_s: float,
        is_usually_anothers: bool = False,
    ) -> None:
        """It ends `lease_s` after it was last renewed.

        `is_usually_anothers`: standing by is no incident.
        """
        self.venue = venue
        self.redis = redis
        self.is_held = False
        self.take_overs = 0
        """How often it came from another process, which had held it before."""
        self._script = redis.register_script(_SCRIPT)
        self._keys = lease_keys(venue)
        self._publisher = publisher
        self._lease_s = lease_s
        self._clock = clock
        self._token = ""
        self._has_stood_by = False
        self._level = logging.INFO if is_usually_anothers else logging.WARNING
        self._is_spoilt = False
        """Its key was seen to be something else; told once."""
        self._in_doubt = asyncio.Event()
        """Redis refused what was published under it."""

    def doubt(self) -> None:
        """Whether it is still ours is to be asked now."""
        self._in_doubt.set()

    async def run(self, work: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """Until cancelled, or until `work` ends of itself, which runs whenever the lease is ours.

        A cancellation leaves the lease held, so that what is left can be published: `leave` it.
        """
        while True:
            await self._stand_by()
            self._publisher.publish_under(Fence(self.venue, self._keys[0], self._token))
            async with asyncio.TaskGroup() as group:
                working = group.create_task(work(), name=self.venue)
                keeping = group.create_task(self._keep(), name=f"{self.venue}-lease")
                await asyncio.wait([working, keeping], return_when=asyncio.FIRST_COMPLETED)
                has_ended = working.done()
                working.cancel()
                keeping.cancel()
            stop_if_cancelled()
            if has_ended:
                return
            self.is_held = False
            self._publisher.yield_to_another(self.venue)

    async def leave(self) -> None:
        """In order: who stands by takes over at once."""
        if self.is_held:
            self.is_held = False
            with contextlib.suppress(RedisError, OSError, TimeoutError):
                await self._ask("leave")

    async def _stand_by(self) -> None:
        """Returns when the lease is ours."""
        self._token = uuid.uuid4().hex
        began_s = self._clock.monotonic_s()
        while True:
            stop_if_cancelled()
            with contextlib.suppress(RedisError, OSError, TimeoutError):
                held, was_anothers = await self._ask("ask")
                if held:
                    break
                self._say_that_we_stand_by()
            await asyncio.sleep(self._lease_s / _QUESTIONS)
        self.is_held = True
        self._in_doubt.clear()
        if self._has_stood_by:
            self._has_stood_by = False
            self.take_overs += was_anothers
            waited_s = self._clock.monotonic_s() - began_s
            line = "publishing %s now, after %.3g s of standing by"
            _log.log(self._level, line, self.venue, waited_s)

    async def _keep(self) -> None:
        """Returns when the lease is another's. While Redis is away nobody can take it."""
        while True:
            stop_if_cancelled()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._lease_s / _RENEWALS):
                    await self._in_doubt.wait()
            was_in_doubt = self._in_doubt.is_set()
            self._in_doubt.clear()
            try:
                held, _ = await self._ask("keep")
            except (RedisError, OSError, TimeoutError):
                if was_in_doubt:
                    self._in_doubt.set()
                await asyncio.sleep(self._lease_s / _QUESTIONS)
                continue
            if not held:
                self._say_that_we_stand_by()
                return
            if was_in_doubt:
                self._publisher.publish_under(Fence(self.venue, self._keys[0], self._token))
                await asyncio.sleep(_DOUBT_PAUSE_S)

    async def _ask(self, what: Literal["ask", "keep", "leave"]) -> tuple[int, int]:
        """Whether it is ours now, and whether another process held it before."""
        lease_ms = round(self._lease_s * 1_000)
        try:
            async with asyncio.timeout(self._lease_s / _PATIENCE):
                held, was_anothers = await self._script(
                    keys=self._keys, args=[what, self._token, lease_ms]
                )
        except ResponseError as error:
            if "WRONGTYPE" in str(error) and not self._is_spoilt:
                self._is_spoilt = True
                _log.error("the lease of %s has another type in redis: nothing gets in", self.venue)
            raise
        return held, was_anothers

    def _say_that_we_stand_by(self) -> None:
        if not self._has_stood_by:
            self._has_stood_by = True
            # One that was killed can't be told from one that is there: its lease just ends.
            line = "standing by for %s: another process publishes it, or did so %g s ago at most"
            _log.log(self._level, line, self.venue, self._lease_s)
