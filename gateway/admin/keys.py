"""The admin API of keys: a Starlette application, to be mounted on the admin listener.

Every request needs the admin token, on loopback too: other users and web pages reach that as well.
Errors are problem+json (RFC 9457). A key itself stands in two answers only: of who made or rotated
it.
"""

import asyncio
import hashlib
import hmac
from collections.abc import Awaitable, Callable, Mapping
from typing import Annotated, Final, TypeVar

import msgspec
from redis.exceptions import RedisError
from starlette.applications import Starlette
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from gateway.access.grants import ChannelPatterns
from gateway.access.key_store import KeyBusyError, KeyStore
from gateway.access.keys import LABEL_MAX, KeyRecord
from gateway.access.limit_store import LimitStore
from gateway.access.plans import FALLBACK, Plan
from gateway.access.script_calls import Unanswered
from gateway.durations import MOST_S

_BODY_BYTES_MAX: Final = 16_384
_ANSWER_LIMIT_S: Final = 3.0
_BODY_LIMIT_S: Final = 5.0
_HEADERS: Final = {"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff"}

_Seconds = Annotated[int, msgspec.Meta(ge=1, le=MOST_S)]


class Creation(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The body of `POST /`."""

    label: Annotated[str, msgspec.Meta(max_length=LABEL_MAX)] = ""
    plan: str = FALLBACK
    expires_in_s: _Seconds | None = None
    channels: ChannelPatterns | None = None


class Rotation(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The body of `POST /{id}/rotate`."""

    overlap_s: Annotated[int, msgspec.Meta(ge=0, le=MOST_S)] = 0


_decode_creation = msgspec.json.Decoder(Creation).decode
_decode_rotation = msgspec.json.Decoder(Rotation).decode

_Endpoint = Callable[[Request], Awaitable[Response]]
T = TypeVar("T")


class Problem(Exception):  # noqa: N818 - the word of RFC 9457
    """Answered as problem+json."""

    def __init__(self, status: int, title: str, detail: str) -> None:
        self.status = status
        self.title = title
        self.detail = detail
        super().__init__(detail)


class AdminKeys:
    """What its requests do."""

    def __init__(
        self, store: KeyStore, limits: LimitStore, plans: Mapping[str, Plan], token: str
    ) -> None:
        self._store = store
        self._limits = limits
        self._plans = plans
        self._token = hashlib.sha256(token.encode()).digest()

    def application(self) -> Starlette:
        """To be mounted at `/keys`."""
        table: tuple[tuple[str, str, _Endpoint], ...] = (
            ("GET", "/", self._list),
            ("POST", "/", self._create),
            ("GET", "/{id}", self._show),
            ("POST", "/{id}/rotate", self._rotate),
            ("POST", "/{id}/revoke", self._revoke),
            ("GET", "/{id}/usage", self._usage),
        )
        routes = [Route(path, self._guarded(do), methods=[method]) for method, path, do in table]
        return Starlette(routes=routes, exception_handlers={404: _not_found, 405: _not_allowed})

    def _guarded(self, endpoint: _Endpoint) -> _Endpoint:
        async def answer(request: Request) -> Response:
            try:
                self._check_token(request)
                async with asyncio.timeout(_BODY_LIMIT_S + _ANSWER_LIMIT_S):
                    return await endpoint(request)
            except Problem as problem:
                return _told(problem)
            except KeyBusyError as error:
                return _told(Problem(409, "The key is being changed", str(error)))
            except (RedisError, OSError, TimeoutError, Unanswered):
                return _told(Problem(503, "Redis is away", "the keys can't be reached just now"))

        return answer

    def _check_token(self, request: Request) -> None:
        scheme, _, shown = request.headers.get("authorization", "").partition(" ")
        digest = hashlib.sha256(shown.strip().encode()).digest()
        if not hmac.compare_digest(digest, self._token) or scheme.lower() != "bearer":
            raise Problem(401, "The admin token is needed", "send Authorization: Bearer <token>")

    async def _list(self, _: Request) -> Response:
        records = await self._store.list()
        return _answer({"keys": [self._described(record) for record in records]})

    async def _create(self, request: Request) -> Response:
        said = await _body(request, _decode_creation)
        if said.plan not in self._plans:
            known = ", ".join(self._plans)
            raise Problem(422, "There is no such plan", f"the plans are {known}")
        record, key = await self._store.create(
            said.label, said.plan, expires_in_s=said.expires_in_s, channels=said.channels
        )
        return _answer({**self._described(record), "key": key}, 201)

    async def _show(self, request: Request) -> Response:
        return _answer(self._described(await self._found(request)))

    async def _rotate(self, request: Request) -> Response:
        said = await _body(request, _decode_rotation)
        record = await self._found(request)
        rotated = await self._store.rotate(record.id, said.overlap_s)
        if rotated is None:
            state = record.state(self._store.now_us)
            raise Problem(409, "The key is over", f"it is {state}: make another one")
        return _answer({**self._described(rotated[0]), "key": rotated[1]})

    async def _revoke(self, request: Request) -> Response:
        record = await self._store.revoke((await self._found(request)).id)
        assert record is not None
        return _answer(self._described(record))

    async def _usage(self, request: Request) -> Response:
        record = await self._found(request)
        month = await self._limits.usage(record.id)
        plan = self._plans.get(record.plan) or self._plans[FALLBACK]
        return _answer(msgspec.to_builtins(month.told(plan)))

    async def _found(self, request: Request) -> KeyRecord:
        record = await self._store.get(request.path_params["id"][:64])
        if record is None:
            raise Problem(404, "There is no such key", "GET the list for those there are")
        return record

    def _described(self, record: KeyRecord) -> dict[str, object]:
        """All but the hashes, which are nobody's business."""
        now_us = self._store.now_us
        overlap_us = record.previous_until_us
        return {
            "id": record.id,
            "label": record.label,
            "plan": record.plan,
            "state": record.state(now_us),
            "channels": record.channels,
            "created_us": record.created_us,
            "expires_us": record.expires_us,
            "revoked_us": record.revoked_us,
            "previous_until_us": overlap_us if overlap_us > now_us else None,
        }


async def _body(request: Request, decode: Callable[[bytes], T]) -> T:
    """The request's JSON; no body at all is an empty object. Raises Problem."""
    if request.headers.get("content-type", "application/json").partition(";")[0].strip() != (
        "application/json"
    ):
        raise Problem(415, "The body is no JSON", "send Content-Type: application/json")
    body = bytearray()
    try:
        async with asyncio.timeout(_BODY_LIMIT_S):
            async for part in request.stream():
                body += part
                if len(body) > _BODY_BYTES_MAX:
                    raise Problem(413, "The body is too big", f"at most {_BODY_BYTES_MAX} bytes")
        return decode(bytes(body) or b"{}")
    except ClientDisconnect:
        raise Problem(400, "The body is not whole", "the client went away") from None
    except (msgspec.DecodeError, RecursionError) as error:
        raise Problem(422, "The body is not what it should be", str(error)[:200]) from None


def _answer(body: object, status: int = 200) -> Response:
    return JSONResponse(body, status, _HEADERS)


def _told(problem: Problem) -> Response:
    body = {
        "type": "about:blank",
        "title": problem.title,
        "status": problem.status,
        "detail": problem.detail,
    }
    headers = _HEADERS | ({"WWW-Authenticate": "Bearer"} if problem.status == 401 else {})
    return JSONResponse(body, problem.status, headers, media_type="application/problem+json")


async def _not_found(_: Request, __: Exception) -> Response:
    return _told(Problem(404, "There is no such path", "see the README"))


async def _not_allowed(_: Request, __: Exception) -> Response:
    return _told(Problem(405, "The path has no such method", "see the README"))
