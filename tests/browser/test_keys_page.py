"""The page of keys, on the admin listener of a gateway: made, told once, taken back."""

import re

import pytest

from tests.browser.chromium import Watched
from tests.browser.hostile import HOSTILE
from tests.running_tickgate import RunningTickgate
from tests.until import until

pytestmark = [pytest.mark.asyncio(loop_scope="session"), pytest.mark.xdist_group("browser")]

LABEL = HOSTILE[:60]


async def test_keys_are_made_and_taken_back_by_who_has_the_admin_token(
    watched: Watched, tickgate: RunningTickgate
) -> None:
    await tickgate.says("gateway metrics: ")
    # The newest: a gateway that another test killed had a port of its own.
    await watched.page.goto(re.findall(r"gateway metrics: (\S+)metrics", tickgate.output)[-1])
    await watched.page.fill("#token", "a" * 43)
    await watched.page.keyboard.press("Enter")
    assert "not the admin token" in await watched.becomes(".problem", r"\w")
    (refusal,) = await until(lambda: watched.complaints)
    assert "401" in refusal  # The browser tells of each, in its own time.
    watched.complaints.clear()

    await watched.page.fill("#token", (tickgate.data_dir / "admin-token").read_text().strip())
    await watched.page.keyboard.press("Enter")
    await watched.becomes("tbody", "demo")
    await watched.page.fill("[name=label]", LABEL)
    await watched.page.fill("[name=channels]", "trade:sim:*")
    await watched.page.click(".create button")
    key = await watched.becomes(".made code", "tg_")
    await watched.becomes("tbody tr", "onerror")
    await watched.page.click("tbody tr:first-child .danger")
    await watched.page.click("tbody tr:first-child .danger")

    assert "revoked" in await watched.becomes("tbody tr", "revoked")
    assert key not in await watched.page.evaluate("location.href + JSON.stringify(localStorage)")
    assert await watched.page.evaluate("globalThis.pwned") is None
    assert await watched.page.locator("img").count() == 0
    assert watched.complaints == []
