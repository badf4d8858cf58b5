"""`/docs` and the documents themselves: made once, at the first request, beside the event loop.

Nothing on the page comes from another host, and it has no script.
"""

import asyncio
from collections.abc import Awaitable, Callable
from functools import cache
from pathlib import Path
from typing import Final

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from gateway.docs.asyncapi import asyncapi
from gateway.docs.openapi import openapi
from gateway.docs.page import page
from gateway.web.served_file import ServedFile

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
}


@cache
def _style() -> ServedFile:
    return ServedFile.of("text/css", (Path(__file__).parent / "docs.css").read_bytes())


@cache
def _openapi() -> ServedFile:
    return ServedFile.of("application/json", _pretty(openapi()))


@cache
def _asyncapi() -> ServedFile:
    return ServedFile.of("application/json", _pretty(asyncapi()))


@cache
def _page() -> ServedFile:
    return ServedFile.of("text/html", page(openapi(), asyncapi()).encode())


def _pretty(document: object) -> bytes:
    return msgspec.json.format(msgspec.json.encode(document))


def _endpoint(make: Callable[[], ServedFile]) -> Callable[[Request], Awaitable[Response]]:
    async def endpoint(request: Request) -> Response:
        # 50 ms the first time, in which others are served.
        made = await asyncio.to_thread(make)
        return made.answer(request, _HEADERS)

    return endpoint


DOCS_ROUTES: Final = (
    Route("/docs", _endpoint(_page)),
    Route("/docs/docs.css", _endpoint(_style)),
    Route("/v1/openapi.json", _endpoint(_openapi)),
    Route("/v1/asyncapi.json", _endpoint(_asyncapi)),
)
