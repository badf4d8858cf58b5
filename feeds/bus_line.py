"""EDGE (redis): the publisher's own connection: batches out, one answer each, in order.

On each new connection Redis is asked first whether it still knows all that it once took: one that
was restored from an older copy would give out numbers a second time.
"""

import logging
from collections.abc import Mapping, Sequence
from importlib.resources import files
from typing import Final

from redis.asyncio import Redis
from redis.asyncio.connection import AbstractConnection
from redis.exceptions import (
    ConnectionError as RedisConnectionError,
)
from redis.exceptions import (
    NoScriptError,
    ResponseError,
)

from feeds.batch import Batch
from feeds.market.bus_names import head_key, log_key

_log = logging.getLogger(__name__)

BUS_SCRIPT: Final = files("feeds").joinpath("bus.lua").read_text()
_HEADS_SCRIPT: Final = files("feeds").joinpath("heads.lua").read_text()
_HEADS_MAX: Final = 500
"""Channels looked at in one call: what Redis does before it serves anyone else."""

_NOT_NOW = ("OOM", "READONLY", "MISCONF", "NOREPLICAS", "LOADING", "MASTERDOWN", "CLUSTERDOWN")
"""What Redis says when it takes no writes just now, whoever asks."""

Place = tuple[bytes, int]
"""An epoch and a seq in it, as Redis answered them."""


class BusLine:
    """Opened when needed, closed by its failures."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis
        self._connection: AbstractConnection | None = None
        self._sha = ""

    async def exchange(
        self, batches: Sequence[Batch], publisher: str, places: Mapping[str, Place]
    ) -> list[list[bytes] | ResponseError]:
        """What Redis says to each. `places` is how far each channel was when it last answered.

        Raises RedisError, OSError when the connection fails.
        """
        connection = self._connection or await self._open(places)
        if not self._sha:
            self._sha = await self._redis.script_load(BUS_SCRIPT)
        answers: list[list[bytes] | ResponseError] = []
        try:
            await connection.send_packed_command(
                [batch.command(self._sha, publisher) for batch in batches]
            )
            for _ in batches:
                try:
                    answers.append(await connection.read_response())
                except NoScriptError as error:
                    self._sha = ""
                    answers.append(error)
                except ResponseError as error:
                    answers.append(error)
        except BaseException:
            # Answers that are still to come must not be taken for those to other commands.
            await self.close()
            raise
        return answers

    async def close(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            await self._give_back(connection)

    async def _open(self, places: Mapping[str, Place]) -> AbstractConnection:
        connection: AbstractConnection = await self._redis.connection_pool.get_connection()  # type: ignore[no-untyped-call]
        try:
            await self._check_heads(places)
        except BaseException:
            await self._give_back(connection)
            raise
        self._connection = connection
        return connection

    async def _check_heads(self, places: Mapping[str, Place]) -> None:
        """Whatever befell Redis before this connection is seen; what comes later ends it."""
        known = list(places.items())
        behind = 0
        for start in range(0, len(known), _HEADS_MAX):
            keys: list[str] = []
            arguments: list[bytes | int] = []
            for name, place in known[start : start + _HEADS_MAX]:
                keys += (head_key(name), log_key(name))
                arguments += place
            behind += await self._redis.eval(_HEADS_SCRIPT, len(keys), *keys, *arguments)
        if behind:
            _log.warning("redis went back in time; %d channels begin a new epoch", behind)

    async def _give_back(self, connection: AbstractConnection) -> None:
        try:
            await connection.disconnect(nowait=True)
        finally:
            await self._redis.connection_pool.release(connection)


def explained(failure: Exception) -> Exception:
    """What to raise for it: a RedisError, or, for a fault of ours, an AssertionError."""
    if isinstance(failure, NoScriptError):
        return RedisConnectionError("Redis forgot the script")
    if isinstance(failure, ResponseError) and _is_our_fault(failure):
        return AssertionError(f"bus.lua refused a batch of ours: {failure}")
    return failure


def takes_no_writes(refusal: ResponseError) -> bool:
    """Just now, whoever asks."""
    return any(f"{word} " in str(refusal) for word in _NOT_NOW)


def _is_our_fault(refusal: ResponseError) -> bool:
    """Whether the script failed or refused, and not Redis, which may take the same batch later.

    Redis 6 puts the script's line before its own error: `@user_script: 53: -OOM command not …`.
    """
    by_script = "user_script" in str(refusal) or "ERR bus:" in str(refusal)
    return by_script and not takes_no_writes(refusal)
