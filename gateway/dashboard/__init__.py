"""The dashboard: pages, styles and scripts that stand in this folder, as browsers get them.

A page is a client of the public protocol like any other: nothing here knows a key or a message.
Everything is read and compressed once; no request touches a file.
"""

from pathlib import Path
from typing import Final

from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import BaseRoute, Route

from gateway.web.served_file import ServedFile

_PAGES: Final = Path(__file__).parent / "pages"
_ASSETS: Final = Path(__file__).parent / "assets"
_MEDIA_TYPES: Final = {
    ".css": "text/css; charset=utf-8",
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".mjs": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
    ".txt": "text/plain; charset=utf-8",
}
POLICY: Final = "; ".join(
    (
        "default-src 'self'",
        "object-src 'none'",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
        # No text becomes markup or code, whoever wrote it and however it got into a script.
        "require-trusted-types-for 'script'",
        "trusted-types 'none'",
    )
)
HEADERS: Final = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=(), payment=(), usb=()",
    # With both a page shares its process with nobody, and has a clock finer than 0.1 ms.
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Embedder-Policy": "require-corp",
    "Cross-Origin-Resource-Policy": "same-origin",
    # Kept, and asked for each time: a new version is never mixed with an old one.
    "Cache-Control": "no-cache",
}
_NO_PAGE: Final = """Tickgate streams prices and signals by WebSocket.

Connect to /v1/stream with a key in X-API-Key, then send
  {"op":"subscribe","id":1,"channels":["trade:sim:*"]}
A browser gets a dashboard here.
"""


def dashboard_routes() -> list[BaseRoute]:
    """Of the public port: the page, and what it is made of."""
    page = _read(_PAGES / "index.html")

    async def front(request: Request) -> Response:
        # Whoever asks from a terminal is told how to go on there.
        if "text/html" in request.headers.get("accept", ""):
            return page.answer(request, HEADERS)
        return PlainTextResponse(_NO_PAGE, headers={**HEADERS, "Vary": "Accept"})

    return [Route("/", front), _assets_route()]


def keys_routes() -> list[BaseRoute]:
    """Of the admin listener: the page of keys. It knows no token: the API asks for it."""
    page = _read(_PAGES / "keys.html")

    async def front(request: Request) -> Response:
        return page.answer(request, HEADERS)

    return [Route("/", front), _assets_route()]


def _assets_route() -> Route:
    files = {
        path.relative_to(_ASSETS).as_posix(): _read(path)
        for path in sorted(_ASSETS.rglob("*"))
        if path.suffix in _MEDIA_TYPES
    }

    async def asset(request: Request) -> Response:
        found = files.get(request.path_params["path"])
        if found is None:
            return PlainTextResponse("There is no such file.\n", 404)
        return found.answer(request, HEADERS)

    return Route("/assets/{path:path}", asset)


def _read(path: Path) -> ServedFile:
    return ServedFile.of(_MEDIA_TYPES[path.suffix], path.read_bytes())
