"""EDGE (redis): tickets for browsers, which can't send a header with a WebSocket: one use, 30 s.

A ticket stands in a URL, so it must be worth nothing to who reads it later. Redis keeps its hash.
"""

import hashlib
import re
import secrets
from typing import Final

import msgspec
from redis.asyncio import Redis
from redis.exceptions import RedisError

from gateway.access.keys import Holder
from gateway.patience import patience

LIFE_MS: Final = 30_000

_SHAPE: Final = re.compile(r"tt_[A-Za-z0-9_-]{43}\Z")
_ANSWER_LIMIT_S: Final = 1.0

_decode = msgspec.json.Decoder(Holder).decode
_encode = msgspec.json.Encoder().encode


class TicketsUnavailable(Exception):  # noqa: N818 - the world's state, named as such
    """Redis doesn't answer: no ticket can be sold or taken."""


class Tickets:
    """Sold to who has shown a key; each opens one connection."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis

    async def sell(self, holder: Holder) -> str:
        """A new ticket. Raises TicketsUnavailable."""
        ticket = f"tt_{secrets.token_urlsafe(32)}"
        try:
            async with patience(_ANSWER_LIMIT_S):
                await self._redis.set(_place(ticket), _encode(holder), px=LIFE_MS)
        except (RedisError, OSError, TimeoutError) as error:
            raise TicketsUnavailable("no tickets can be had just now") from error
        return ticket

    async def take(self, ticket: str) -> Holder | None:
        """Whose it is, the first time; None for every other text. Raises TicketsUnavailable.

        The holder's key may have ended meanwhile: that is for the caller to look at.
        """
        if not _SHAPE.match(ticket):
            return None
        try:
            async with patience(_ANSWER_LIMIT_S):
                row = await self._redis.getdel(_place(ticket))
        except (RedisError, OSError, TimeoutError) as error:
            raise TicketsUnavailable("tickets can't be looked at just now") from error
        try:
            return None if row is None else _decode(row)
        except msgspec.DecodeError:
            return None


def _place(ticket: str) -> str:
    return f"tickgate:ticket:{hashlib.sha256(ticket.encode()).hexdigest()}"
