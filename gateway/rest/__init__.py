"""REST: what keys may ask by plain HTTP.

Every call counts against the key's limits, and every answer tells what is left of them. Data come
from the streams in Redis, over a connection of their own: the hub is not asked.
"""

import hashlib
from collections.abc import Awaitable, Callable
from typing import Final

import msgspec
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from gateway.access.admission import Admission
from gateway.access.keys import Holder
from gateway.access.limit_store import LimitStore, month_at
from gateway.access.plans import Plan
from gateway.access.rate_headers import rate_headers
from gateway.rest.call import Call, Sources
from gateway.rest.parameters import ParameterError, parsed
from gateway.rest.routes import REST, RestRoute
from gateway.telemetry.log_context import request_id
from gateway.telemetry.requests import HEADER
from gateway.web.problems import MEDIA_TYPE, Refusal

__all__ = ["EXCEPTION_HANDLERS", "REST_ROUTES", "Rest", "Sources"]

_SECRET: Final = {"Cache-Control": "no-store"}
_OWN: Final = {"Cache-Control": "private, no-cache", "Vary": "Authorization, X-API-Key"}
"""The key's own to keep, and to be asked for again with its ETag."""
_OVER: Final = {"minute": "rate_limited", "month": "quota_exceeded"}

_encode = msgspec.json.Encoder().encode


class Rest:
    """One worker's. An application has it as `state.rest`."""

    def __init__(self, admission: Admission, limits: LimitStore, sources: Sources) -> None:
        self._admission = admission
        self._limits = limits
        self._sources = sources

    async def answer(self, request: Request, row: RestRoute) -> Response:
        """Lets a request in, counts it, and answers."""
        headers = dict(_SECRET if row.is_secret else _OWN)
        try:
            holder, plan = await self._let_in(request, headers)
            pairs = request.query_params.multi_items()
            call = Call(self._sources, holder, plan, plan.grant(holder.channels), row.path, pairs)
            told = await row.do(call, parsed(pairs, row.query))
        except Refusal as refusal:
            return _refused(refusal, headers | _SECRET)
        except ParameterError as error:
            return _refused(Refusal("bad_parameter", str(error)), headers | _SECRET)
        body = _encode(told)
        if not row.is_secret:
            headers["ETag"] = f'"{hashlib.blake2b(body, digest_size=12).hexdigest()}"'
            if headers["ETag"] in _etags(request.headers.get("if-none-match", "")):
                return Response(None, 304, headers)
        return Response(body, 200, headers, "application/json")

    async def _let_in(self, request: Request, headers: dict[str, str]) -> tuple[Holder, Plan]:
        """Who asks; `headers` tell of their limits from then on. Raises Refusal."""
        holder = await self._holder(request)
        plan = self._admission.plan_of(holder)
        verdict = await self._limits.rest(holder, plan)
        headers |= rate_headers(plan, verdict, month_at(self._sources.clock).length_s)
        if verdict.over:
            raise Refusal(_OVER[verdict.over])
        return holder, plan

    async def _holder(self, request: Request) -> Holder:
        address = request.client.host if request.client is not None else ""
        query = request.scope["query_string"]
        holder = await self._admission.holder_of(request.headers, query, address)
        if holder is None:
            detail = "show a key in X-API-Key or Authorization"
            raise Refusal("auth_required", detail, {"WWW-Authenticate": "Bearer"})
        return holder


def _refused(refusal: Refusal, headers: dict[str, str] | None = None) -> Response:
    told = (headers or _SECRET) | refusal.headers
    return JSONResponse(refusal.body, refusal.status, told, MEDIA_TYPE)


def _etags(header: str) -> set[str]:
    """A proxy that compresses makes weak ones of ours."""
    return {text.strip().removeprefix("W/") for text in header.split(",")}


def _endpoint(row: RestRoute) -> Callable[[Request], Awaitable[Response]]:
    async def endpoint(request: Request) -> Response:
        rest: Rest = request.app.state.rest
        return await rest.answer(request, row)

    return endpoint


async def _told(_: Request, error: Exception) -> Response:
    """What the router refuses: no such path, no such method."""
    assert isinstance(error, HTTPException)
    code = {404: "not_found", 405: "method_not_allowed"}.get(error.status_code, "internal")
    return _refused(Refusal(code, headers=error.headers))


async def _failed(_: Request, __: Exception) -> Response:
    """A failure of ours; the server logs it."""
    # Starlette answers it outside of all middleware, of which ours gives the others their id.
    return _refused(Refusal("internal", headers={HEADER: request_id.get()}))


EXCEPTION_HANDLERS: Final = {HTTPException: _told, Exception: _failed}
REST_ROUTES: Final = tuple(Route(row.path, _endpoint(row), methods=[row.method]) for row in REST)
