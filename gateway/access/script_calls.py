"""EDGE (redis): calls of one script, gathered. What comes while a batch is on its way goes with the
next: one connection and one round trip at a time, however many ask at once.
"""

import asyncio
from collections import deque
from collections.abc import Sequence
from typing import Final

from redis.asyncio import Redis
from redis.exceptions import NoScriptError, RedisError

from gateway.patience import patience

Argument = str | int | float | bytes
Answer = list[int]

_BATCH_MAX: Final = 200
"""Redis does nothing else meanwhile: at 5 us a call, 1 ms."""


class Unanswered(Exception):  # noqa: N818 - the world's state, named as such
    """Redis did not carry out the call, or nobody knows whether it did."""


class _Call:
    """One that waits, or is on its way; `answer` once it is neither."""

    __slots__ = ("answer", "arguments", "keys")

    def __init__(self, keys: Sequence[str], arguments: Sequence[Argument]) -> None:
        self.keys = keys
        self.arguments = arguments
        self.answer: Answer | Exception | None = None


class ScriptCalls:
    """Of one script, to one Redis. Has no task of its own: whose turn it is, sends for all."""

    def __init__(self, redis: Redis, script: str, *, answer_limit_s: float) -> None:
        self._redis = redis
        self._script = script
        self._sha = ""
        self._answer_limit_s = answer_limit_s
        self._waiting: deque[_Call] = deque()
        self._turn = asyncio.Lock()

    async def call(self, keys: Sequence[str], *arguments: Argument) -> Answer:
        """The script's answer. Raises Unanswered."""
        call = _Call(keys, arguments)
        self._waiting.append(call)
        try:
            async with self._turn:
                while call.answer is None:
                    await self._send_some()
        finally:
            if call.answer is None and call in self._waiting:
                self._waiting.remove(call)
        if isinstance(call.answer, Exception):
            raise Unanswered(str(call.answer)) from call.answer
        return call.answer

    async def _send_some(self) -> None:
        batch = [self._waiting.popleft() for _ in range(min(_BATCH_MAX, len(self._waiting)))]
        try:
            async with patience(self._answer_limit_s):
                await self._send(batch)
        except (RedisError, OSError, TimeoutError) as error:
            for call in batch:
                call.answer = call.answer or error
        finally:
            # Whose turn it was has been cancelled: the others are still waiting for their answers.
            self._waiting.extendleft(call for call in reversed(batch) if call.answer is None)

    async def _send(self, batch: Sequence[_Call]) -> None:
        left = batch
        # Once more after a restart of Redis, which has forgotten the script.
        for _ in range(2):
            if not self._sha:
                self._sha = str(await self._redis.script_load(self._script))
            answers = await self._answers(left)
            for call, answer in zip(left, answers, strict=True):
                call.answer = answer
            left = [call for call in left if isinstance(call.answer, NoScriptError)]
            if not left:
                return
            self._sha = ""

    async def _answers(self, batch: Sequence[_Call]) -> list[Answer | Exception]:
        async with self._redis.pipeline(transaction=False) as pipeline:
            for call in batch:
                pipeline.evalsha(self._sha, len(call.keys), *call.keys, *call.arguments)
            return list(await pipeline.execute(raise_on_error=False))
