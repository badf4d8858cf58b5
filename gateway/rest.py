"""What keys may ask by plain HTTP: tickets for browsers, and what they have used.

Every call counts against the key's limits, and every answer tells what is left of them.
"""

from collections.abc import Awaitable, Callable
from typing import Final

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from feeds.market import Clock
from gateway.admission import Admission, Refusal
from gateway.keys import Holder
from gateway.limit_store import LimitStore, month_at
from gateway.plans import Plan
from gateway.rate_headers import rate_headers, retry_after
from gateway.script_calls import Unanswered
from gateway.tickets import LIFE_MS, Tickets, TicketsUnavailable
from gateway.usage import Month

_HEADERS: Final = {"Cache-Control": "no-store"}
_OVER: Final = {
    "minute": ("rate_limited", "too many calls: see Retry-After"),
    "month": ("quota_exceeded", "the plan allows no more calls in this month"),
}


class Rest:
    """One worker's. An application has it as `state.rest`."""

    def __init__(
        self,
        admission: Admission,
        limits: LimitStore,
        tickets: Tickets,
        usage_of: Callable[[str], Awaitable[Month]],
        clock: Clock,
    ) -> None:
        """`usage_of` raises Unanswered."""
        self._admission = admission
        self._limits = limits
        self._tickets = tickets
        self._usage_of = usage_of
        self._clock = clock

    async def ticket(self, holder: Holder, _: Plan) -> dict[str, object]:
        """A new ticket. Raises Refusal."""
        try:
            return {"ticket": await self._tickets.sell(holder), "expires_ms": LIFE_MS}
        except TicketsUnavailable as error:
            raise _later("tickets_unavailable", str(error)) from error

    async def usage(self, holder: Holder, plan: Plan) -> dict[str, object]:
        """What the key has used. Raises Refusal."""
        try:
            return (await self._usage_of(holder.id)).told(plan)
        except Unanswered as error:
            raise _later("usage_unavailable", "the usage can't be read just now") from error

    async def answer(self, request: Request, do: "_Call") -> Response:
        """Lets a request in, counts it, and answers with what `do` gives."""
        headers = dict(_HEADERS)
        try:
            holder = await self._holder(request)
            plan = self._admission.plan_of(holder)
            verdict = await self._limits.rest(holder, plan)
            headers |= rate_headers(plan, verdict, month_at(self._clock).length_s)
            if verdict.over:
                code, message = _OVER[verdict.over]
                return JSONResponse({"code": code, "message": message}, 429, headers)
            return JSONResponse(await do(self, holder, plan), 200, headers)
        except Refusal as refusal:
            return JSONResponse(refusal.body, refusal.status, headers | refusal.headers)

    async def _holder(self, request: Request) -> Holder:
        address = request.client.host if request.client is not None else ""
        query = request.scope["query_string"]
        holder = await self._admission.holder_of(request.headers, query, address)
        if holder is None:
            message = "show a key in X-API-Key or Authorization"
            raise Refusal(401, "auth_required", message, {"WWW-Authenticate": "Bearer"})
        return holder


_Call = Callable[[Rest, Holder, Plan], Awaitable[dict[str, object]]]


def _endpoint(do: _Call) -> Callable[[Request], Awaitable[Response]]:
    async def endpoint(request: Request) -> Response:
        rest: Rest = request.app.state.rest
        return await rest.answer(request, do)

    return endpoint


def _later(code: str, message: str) -> Refusal:
    return Refusal(503, code, message, retry_after(1.0))


REST_ROUTES: Final = (
    Route("/v1/tickets", _endpoint(Rest.ticket), methods=["POST"]),
    Route("/v1/usage", _endpoint(Rest.usage), methods=["GET"]),
)
