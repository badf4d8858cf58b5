"""Who is let in, to the stream and to REST alike: by key, token or ticket, and not too often wrong.

Knows what was sent as headers and query; knows no socket. A refusal never repeats what was shown.
"""

from collections.abc import Mapping
from typing import Final
from urllib.parse import parse_qs

from gateway.access.key_store import KeysUnavailable, KnownKeys
from gateway.access.keys import Holder
from gateway.access.limit_store import LimitStore
from gateway.access.plans import FALLBACK, Plan
from gateway.access.rate_headers import failure_headers, retry_after
from gateway.access.tickets import Tickets, TicketsUnavailable
from gateway.access.tokens import TokenRefused, Tokens, is_token
from gateway.errors import CLOSES
from gateway.web.addresses import site_of
from gateway.web.problems import Refusal

TICKET_PARAMETER: Final = "ticket"
_KEY_PARAMETERS: Final = frozenset(("key", "api_key", "apikey", "token", "access_token", "auth"))
_SHOWN_MAX: Final = 8_192


class Admission:
    """One worker's door."""

    def __init__(
        self,
        keys: KnownKeys,
        tickets: Tickets,
        tokens: Tokens | None,
        limits: LimitStore,
        plans: Mapping[str, Plan],
        *,
        failures_per_minute: int,
    ) -> None:
        """`tokens`: None where no issuer is set."""
        self._keys = keys
        self._tickets = tickets
        self._tokens = tokens
        self._limits = limits
        self._plans = plans
        self._failures_per_minute = failures_per_minute

    def plan_of(self, holder: Holder) -> Plan:
        """A key whose plan is no longer set has the fallback's limits."""
        return self._plans.get(holder.plan) or self._plans[FALLBACK]

    async def holder_of(
        self, headers: Mapping[str, str], query: bytes, address: str, *, tickets: bool = False
    ) -> Holder | None:
        """Who shows a key, or, where they are good for it, a ticket; None: nothing was shown.

        Raises Refusal.
        """
        parameters = parse_qs(query.decode("latin-1"), keep_blank_values=True)
        if not _KEY_PARAMETERS.isdisjoint(map(str.lower, parameters)):
            message = "a URL stands in logs: send the key in X-API-Key, by auth, or buy a ticket"
            raise Refusal("key_in_url", message)
        shown = headers.get("x-api-key")
        authorization = headers.get("authorization")
        if shown is None and authorization is not None:
            scheme, _, shown = authorization.partition(" ")
            if scheme.lower() != "bearer":
                message = "Authorization is `Bearer <key>`"
                raise Refusal("auth_failed", message, {"WWW-Authenticate": "Bearer"})
        if shown is not None:
            return await self.holder_of_key(shown, address)
        if tickets and (bought := parameters.get(TICKET_PARAMETER)):
            return await self._holder_of_ticket(bought[0], address)
        return None

    async def holder_of_key(self, shown: str, address: str) -> Holder:
        """The holder of an API key or a token. Raises Refusal."""
        self._check_patience(address)
        holder = await self._look_at(shown.strip()) if len(shown) <= _SHOWN_MAX else None
        return await self._admitted(holder, address)

    async def still_admits(self, holder: Holder, now_us: int) -> bool:
        """Whether one who was let in may stay. Raises KeysUnavailable."""
        if holder.ends_us is not None and holder.ends_us <= now_us:
            return False
        return not holder.proof or await self._keys.still_admits(holder)

    async def _look_at(self, shown: str) -> Holder | None:
        if is_token(shown):
            return await self._holder_of_token(shown)
        try:
            record = await self._keys.admitted(shown)
        except KeysUnavailable as error:
            raise _unavailable(str(error)) from error
        return None if record is None else record.holder(shown)

    async def _holder_of_token(self, token: str) -> Holder | None:
        if self._tokens is None:
            return None
        try:
            holder = await self._tokens.holder(token)
        except TokenRefused:
            return None
        # A plan that isn't there is the issuer's mistake; to guess another one would be ours.
        return holder if holder.plan in self._plans else None

    async def _holder_of_ticket(self, ticket: str, address: str) -> Holder:
        self._check_patience(address)
        try:
            holder = await self._tickets.take(ticket)
            now_us = self._keys.store.now_us
            if holder is not None and not await self.still_admits(holder, now_us):
                holder = None
        except (TicketsUnavailable, KeysUnavailable) as error:
            raise _unavailable(str(error)) from error
        return await self._admitted(holder, address)

    def _check_patience(self, address: str) -> None:
        wait_s = self._limits.refused_s(_failures_of(address))
        if wait_s:
            raise self._too_many(wait_s)

    async def _admitted(self, holder: Holder | None, address: str) -> Holder:
        if holder is not None:
            return holder
        name, most = _failures_of(address), self._failures_per_minute
        wait_s = await self._limits.wait_s(name, most / 60, most)
        if wait_s:
            raise self._too_many(wait_s)
        text = CLOSES["auth_failed"].text
        raise Refusal("auth_failed", text, {"WWW-Authenticate": "Bearer"})

    def _too_many(self, wait_s: float) -> Refusal:
        message = "too many wrong keys came from this address"
        headers = failure_headers(self._failures_per_minute, wait_s)
        return Refusal("too_many_failures", message, headers)


def _failures_of(address: str) -> str:
    """Under what an address' wrong keys are counted."""
    return f"failures:{site_of(address)}"


def _unavailable(message: str) -> Refusal:
    return Refusal("keys_unavailable", message, retry_after(1.0))
