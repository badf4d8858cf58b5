"""The dashboard as it is served, without a browser: its files, headers, and what it may not do."""

import asyncio
import gzip
import re
from pathlib import Path
from typing import NamedTuple

import pytest
from starlette.applications import Starlette
from starlette.routing import Route

import gateway.dashboard
from gateway.dashboard import dashboard_routes, keys_routes
from tests.served import Served

ROOT = Path(gateway.dashboard.__file__).parent
OURS = [
    path
    for path in sorted(ROOT.rglob("*"))
    if path.suffix in {".js", ".css", ".html"} and "vendor" not in path.parts
]
PACKED_MAX = 400_000
LINES_MAX = 310
TAKES_MARKUP = re.compile(
    r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|createContextualFragment|parseFromString"
    r"|\beval\(|new Function|setTimeout\(\s*[\"'`]|\bsetHTML|srcdoc|javascript:|style="
)
ELSEWHERE = re.compile(r"(?:https?:)?//[a-z0-9.-]+\.[a-z]{2,}", re.IGNORECASE)
HTML = {"Accept": "text/html,application/xhtml+xml;q=0.9,*/*;q=0.8"}


class Answer(NamedTuple):
    status: int
    headers: dict[str, str]
    body: bytes


async def get(port: int, path: str, **headers: str) -> Answer:
    """As a browser sends the path: nothing in it is tidied up."""
    lines = [f"GET {path} HTTP/1.1", "Host: localhost", "Connection: close"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    async with asyncio.timeout(40):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write("\r\n".join([*lines, "", ""]).encode())
        head, _, body = (await reader.read()).partition(b"\r\n\r\n")
        writer.close()
        await writer.wait_closed()
    first, *told = head.decode().split("\r\n")
    named = dict(line.split(": ", 1) for line in told)
    return Answer(int(first.split()[1]), {name.lower(): named[name] for name in named}, body)


async def test_a_browser_gets_the_page_and_a_terminal_gets_words() -> None:
    async with Served(Starlette(routes=dashboard_routes())) as port:
        page = await get(port, "/", **HTML)
        words = await get(port, "/", Accept="*/*")

    assert page.headers["content-type"] == "text/html; charset=utf-8"
    assert page.body.startswith(b"<!doctype html>")
    assert words.headers["content-type"].startswith("text/plain")
    assert b"/v1/stream" in words.body


async def test_a_page_may_run_our_files_and_nothing_else() -> None:
    async with Served(Starlette(routes=dashboard_routes())) as port:
        answers = [await get(port, "/", **HTML), await get(port, "/assets/main.js")]

    for _, headers, _ in answers:
        policy = headers["content-security-policy"].split("; ")
        assert {"default-src 'self'", "frame-ancestors 'none'", "base-uri 'none'"} <= set(policy)
        assert {"object-src 'none'", "require-trusted-types-for 'script'"} <= set(policy)
        assert "unsafe" not in headers["content-security-policy"]
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["referrer-policy"] == "no-referrer"
        assert headers["cross-origin-opener-policy"] == "same-origin"


async def test_a_file_is_sent_once_and_packed_where_that_is_understood() -> None:
    plain = (ROOT / "assets" / "main.js").read_bytes()
    async with Served(Starlette(routes=dashboard_routes())) as port:
        first = await get(port, "/assets/main.js")
        packed = await get(port, "/assets/main.js", Accept_Encoding="gzip, br")
        again = await get(port, "/assets/main.js", If_None_Match=first.headers["etag"])
        stale = await get(port, "/assets/main.js", If_None_Match='"of-before"')

    assert first.body == plain == gzip.decompress(packed.body) == stale.body
    assert packed.headers["content-encoding"] == "gzip"
    assert (again.status, again.body) == (304, b"")
    assert first.headers["cache-control"] == "no-cache"


@pytest.mark.parametrize(
    "path",
    [
        "/assets/",
        "/assets/none.js",
        "/assets/../__init__.py",
        "/assets/..%2f__init__.py",
        "/assets/%2e%2e/__init__.py",
        "/assets//etc/passwd",
        "/assets/pages/keys.html",
        "/pages/keys.html",
        "/keys.html",
    ],
)
async def test_there_are_the_files_of_the_page_and_no_others(path: str) -> None:
    async with Served(Starlette(routes=dashboard_routes())) as port:
        answer = await get(port, path, **HTML)

    assert answer.status == 404


async def test_the_page_of_keys_is_the_admin_listeners_alone() -> None:
    async with Served(Starlette(routes=keys_routes())) as port:
        admin = await get(port, "/", **HTML)
    async with Served(Starlette(routes=dashboard_routes())) as port:
        public = await get(port, "/", **HTML)

    assert b"keys.js" in admin.body
    assert b"keys.js" not in public.body


async def test_everything_together_is_light() -> None:
    (route,) = (one for one in dashboard_routes() if isinstance(one, Route) and one.path != "/")
    files = [
        path for path in (ROOT / "assets").rglob("*") if path.suffix in {".js", ".mjs", ".css"}
    ]
    assert route.path == "/assets/{path:path}"
    assert sum(len(gzip.compress(path.read_bytes())) for path in files) < PACKED_MAX


@pytest.mark.parametrize("path", OURS, ids=lambda path: path.name)
def test_no_text_can_become_markup_and_no_other_host_is_named(path: Path) -> None:
    text = path.read_text()

    assert TAKES_MARKUP.findall(text) == []
    # A namespace's name and the charts' maker, whom their licence has us name, are no requests.
    named = {one.group() for one in ELSEWHERE.finditer(text)}
    assert named <= {"http://www.w3.org", "https://www.tradingview.com"}
    assert len(text.splitlines()) <= LINES_MAX


@pytest.mark.parametrize("library", ["lightweight-charts", "uplot"])
def test_whose_work_we_ship_is_told_with_its_licence(library: str) -> None:
    assert (ROOT / "assets" / "vendor" / f"{library}.LICENSE.txt").stat().st_size > 500


def _modules(name: str) -> set[str]:
    """What a module needs, itself included."""
    found: set[str] = set()
    waiting = {name}
    while waiting:
        one = waiting.pop()
        found.add(one)
        text = (ROOT / "assets" / one).read_text()
        waiting |= set(re.findall(r'from "\./([a-z_]+\.js)"', text)) - found
    return found


@pytest.mark.parametrize(("page", "module"), [("index", "main.js"), ("keys", "keys.js")])
def test_a_page_names_all_modules_at_once_so_that_none_is_found_out_late(
    page: str, module: str
) -> None:
    text = (ROOT / "pages" / f"{page}.html").read_text()

    preloaded = re.findall(r'modulepreload" href="/assets/([^"]+)"', text)
    scripts = re.findall(r'script type="module" src="/assets/([^"]+)"', text)
    assert module in scripts
    assert sorted(preloaded + scripts) == sorted(_modules(module))


def _colours(block: str) -> dict[str, tuple[float, ...]]:
    found = re.findall(r"--([a-z-]+): #([0-9a-f]{6});", block)
    return {name: tuple(int(hex_[at : at + 2], 16) for at in (0, 2, 4)) for name, hex_ in found}


def _luminance(colour: tuple[float, ...]) -> float:
    """WCAG 2.2, relative luminance."""
    linear = (c / 3294.6 if c <= 10 else ((c / 255 + 0.055) / 1.055) ** 2.4 for c in colour)
    return sum(part * weight for part, weight in zip(linear, (0.2126, 0.7152, 0.0722), strict=True))


def _contrast(one: tuple[float, ...], other: tuple[float, ...]) -> float:
    low, high = sorted((_luminance(one), _luminance(other)))
    return (high + 0.05) / (low + 0.05)


LOOK = (ROOT / "assets" / "colours.css").read_text()
LIGHT = re.findall(r"\{([^{}]*color-scheme: light;[^{}]*)\}", LOOK)
THEMES = {"dark": _colours(LOOK.partition("}")[0]), "light": _colours(LIGHT[0])}
STATES = ["live", "lagging", "stale", "reconnecting", "waiting"]
INKS = ["text", "dim", "accent", "up", "down", "sim", *STATES]


@pytest.mark.parametrize("theme", THEMES)
@pytest.mark.parametrize("ink", INKS)
def test_every_ink_is_readable_on_every_ground(theme: str, ink: str) -> None:
    colours = THEMES[theme]
    for ground in ("ground", "panel", "raised"):
        assert _contrast(colours[ink], colours[ground]) >= 4.5, ground
    assert _contrast(colours["up"], colours["up-ground"]) >= 4.5
    assert _contrast(colours["down"], colours["down-ground"]) >= 4.5
    assert _contrast(colours["ground"], colours["accent"]) >= 4.5, "the label of a button"


def test_both_ways_to_the_light_theme_have_the_same_colours() -> None:
    assert [_colours(block) for block in LIGHT] == [THEMES["light"]] * 2
