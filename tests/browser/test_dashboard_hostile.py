"""What others say never becomes markup or script: on a Tickgate of its own, which it spoils."""

import contextlib

import pytest
from playwright.async_api import TimeoutError as NotShownError
from redis.asyncio import Redis

from tests.browser.chromium import Watched
from tests.browser.hostile import HOSTILE, publish_hostile
from tests.running_tickgate import RunningTickgate

pytestmark = [pytest.mark.asyncio(loop_scope="session"), pytest.mark.xdist_group("browser")]

ATTEMPTS_MAX = 20
VERDICT = ".verdict", "evil is stale.*onerror"
PLACES = ("#/pair/agg/EVIL-USD", "#/pair/evil/EVIL-USD", "#/signals", "#/health", "#/")


async def test_nothing_from_outside_becomes_markup_or_script(
    watched: Watched, doomed_tickgate: RunningTickgate
) -> None:
    async with Redis.from_url(doomed_tickgate.running.redis_url) as redis:
        # Before, so that the page need not find out later that there is such a market.
        await publish_hostile(redis)
        await watched.page.goto(f"{doomed_tickgate.url}/#key={doomed_tickgate.key}")
        await _shows_the_verdict(watched, redis)
        scripts = await watched.page.locator("script").count()
        await publish_hostile(redis)

    for place in PLACES:
        await watched.page.evaluate("place => { location.hash = place; }", place)
        await watched.becomes("main", "(?:evil|EVIL|onerror)")
    await watched.page.evaluate(
        "hostile => { location.hash = `#/pair/agg/${encodeURIComponent(hostile)}`; }", HOSTILE
    )
    await watched.becomes("h1", "onerror")
    await watched.page.evaluate("location.hash = '#/pair/%E0%A4%A/x'")
    await watched.becomes("main", "BTC-USD")

    assert await watched.page.evaluate("globalThis.pwned") is None
    assert await watched.page.locator("script").count() == scripts
    assert await watched.page.locator("img, iframe, object, embed").count() == 0
    assert watched.complaints == []

    # And what a script of ours might do wrong the browser itself refuses.
    assert await watched.page.evaluate(
        "() => { try { document.body.innerHTML = '<b>x</b>'; return 'taken'; }"
        " catch (error) { return error.name; } }"
    ) == "TypeError"  # fmt: skip


async def _shows_the_verdict(watched: Watched, redis: Redis) -> None:
    """Publishes until the page shows it: seconds after a status its feed counts as silent."""
    for _ in range(ATTEMPTS_MAX):
        with contextlib.suppress(NotShownError):
            await watched.becomes(*VERDICT, limit_ms=1_000)
            return
        await publish_hostile(redis)
    await watched.becomes(*VERDICT)
