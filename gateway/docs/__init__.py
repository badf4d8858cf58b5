"""`/docs` and the documents themselves: made once, at the first request, beside the event loop.

Nothing on the page comes from another host, and it has no script.
"""

import asyncio
import gzip
import hashlib
from collections.abc import Awaitable, Callable
from functools import cache
from pathlib import Path
from typing import Final, NamedTuple

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from gateway.asyncapi import asyncapi
from gateway.docs.page import page
from gateway.openapi import openapi

_HEADERS: Final = {
    "Content-Security-Policy": "; ".join(
        (
            "default-src 'self'",
            "script-src 'none'",
            "object-src 'none'",
            "base-uri 'none'",
            "form-action 'none'",
            "frame-ancestors 'none'",
        )
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    # Kept, and asked for each time: a new version has other documents.
    "Cache-Control": "no-cache",
    "Vary": "Accept-Encoding",
}


class _Made(NamedTuple):
    media_type: str
    plain: bytes
    packed: bytes
    tag: str


@cache
def _style() -> _Made:
    return _made("text/css", (Path(__file__).parent / "docs.css").read_bytes())


@cache
def _openapi() -> _Made:
    return _made("application/json", _pretty(openapi()))


@cache
def _asyncapi() -> _Made:
    return _made("application/json", _pretty(asyncapi()))


@cache
def _page() -> _Made:
    return _made("text/html", page(openapi(), asyncapi()).encode())


def _pretty(document: object) -> bytes:
    return msgspec.json.format(msgspec.json.encode(document))


def _made(media_type: str, plain: bytes) -> _Made:
    tag = f'"{hashlib.blake2b(plain, digest_size=12).hexdigest()}"'
    return _Made(media_type, plain, gzip.compress(plain, 9, mtime=0), tag)


def _endpoint(make: Callable[[], _Made]) -> Callable[[Request], Awaitable[Response]]:
    async def endpoint(request: Request) -> Response:
        # 50 ms the first time, in which others are served.
        made = await asyncio.to_thread(make)
        headers = _HEADERS | {"ETag": made.tag}
        if made.tag in request.headers.get("if-none-match", ""):
            return Response(None, 304, headers)
        body = made.plain
        if "gzip" in request.headers.get("accept-encoding", ""):
            headers["Content-Encoding"] = "gzip"
            body = made.packed
        return Response(body, 200, headers, made.media_type)

    return endpoint


DOCS_ROUTES: Final = (
    Route("/docs", _endpoint(_page)),
    Route("/docs/docs.css", _endpoint(_style)),
    Route("/v1/openapi.json", _endpoint(_openapi)),
    Route("/v1/asyncapi.json", _endpoint(_asyncapi)),
)
