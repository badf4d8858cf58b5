"""Where there is a Chromium, and a page in it that remembers what went wrong."""

import contextlib
import os
from collections.abc import AsyncIterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from playwright.async_api import Browser, ConsoleMessage, Error, Page, Request, async_playwright

from bench.chromium import ARGUMENTS, find_chromium
from tests.running_tickgate import RunningTickgate

LIMIT_MS = 60_000
"""Longer than anything here takes; only a failing test waits so long."""
SCREENSHOTS = Path(__file__).parents[2] / "build" / "dashboard"


@contextlib.asynccontextmanager
async def chromium() -> AsyncIterator[Browser]:
    """Skips where there is none, but on CI, where that is a failure."""
    async with async_playwright() as playwright:
        path = find_chromium(playwright.chromium.executable_path)
        if path is None:
            message = "no Chromium: the dashboard goes untested (apt install chromium)"
            if os.environ.get("CI"):
                pytest.fail(message)
            pytest.skip(message)
        browser = await playwright.chromium.launch(executable_path=path, args=list(ARGUMENTS))
        try:
            yield browser
        finally:
            await browser.close()


async def opened(watched: "Watched", tickgate: RunningTickgate, place: str = "") -> None:
    """The dashboard with the demo key, live; at a page."""
    await watched.page.goto(f"{tickgate.url}/#key={tickgate.key}")
    await watched.becomes(".strip > .lamp", "live")
    if place:
        await watched.page.evaluate("place => { location.hash = place; }", place)


class Watched:
    """A page, and what it complained of and asked for."""

    def __init__(self, page: Page) -> None:
        self.page = page
        self.complaints: list[str] = []
        self.hosts: set[str] = set()
        page.set_default_timeout(LIMIT_MS)
        page.on("console", self._console)
        page.on("pageerror", self._error)
        page.on("request", self._request)
        page.on("websocket", lambda socket: self.hosts.add(urlsplit(socket.url).netloc))

    async def text(self, selector: str) -> str:
        return (await self.page.text_content(selector) or "").strip()

    async def becomes(self, selector: str, pattern: str, limit_ms: float = LIMIT_MS) -> str:
        """The text of the first such element, once it has what matches `pattern`."""
        return await self._seen(
            "([selector, pattern]) => {"
            " const text = document.querySelector(selector)?.textContent ?? '';"
            " return new RegExp(pattern).test(text) && { text }; }",
            [selector, pattern],
            limit_ms,
        )

    async def changes(self, selector: str, before: str) -> str:
        """Its text, once it is another one."""
        return await self._seen(
            "([selector, before]) => {"
            " const text = document.querySelector(selector)?.textContent ?? '';"
            " return text.trim() !== before && { text }; }",
            [selector, before],
            LIMIT_MS,
        )

    async def _seen(self, look: str, arguments: list[str], limit_ms: float) -> str:
        """What the page itself saw: asked for afterwards, the text may be the next one."""
        seen = await self.page.wait_for_function(look, arg=arguments, timeout=limit_ms)
        return str((await seen.json_value())["text"]).strip()

    async def screenshot(self, name: str) -> None:
        SCREENSHOTS.mkdir(parents=True, exist_ok=True)
        await self.page.screenshot(path=SCREENSHOTS / f"{name}.png")

    def _console(self, message: ConsoleMessage) -> None:
        if message.type in ("error", "warning"):
            self.complaints.append(f"{message.type}: {message.text}")

    def _error(self, error: Error) -> None:
        self.complaints.append(f"error: {error.message}")

    def _request(self, request: Request) -> None:
        self.hosts.add(urlsplit(request.url).netloc)
