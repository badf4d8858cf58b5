"""What others say never becomes markup or script: on a Tickgate of its own, which it spoils."""

import pytest
from redis.asyncio import Redis

from tests.browser.chromium import Watched, opened
from tests.browser.hostile import HOSTILE, publish_hostile
from tests.running_tickgate import RunningTickgate

pytestmark = [pytest.mark.asyncio(loop_scope="session"), pytest.mark.xdist_group("browser")]

PLACES = ("#/pair/agg/EVIL-USD", "#/pair/evil/EVIL-USD", "#/signals", "#/health", "#/")


async def test_nothing_from_outside_becomes_markup_or_script(
    watched: Watched, doomed_tickgate: RunningTickgate
) -> None:
    await opened(watched, doomed_tickgate)
    scripts = await watched.page.locator("script").count()
    async with Redis.from_url(doomed_tickgate.running.redis_url) as redis:
        await publish_hostile(redis)

    await watched.becomes(".verdict", "evil is stale.*onerror")
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
