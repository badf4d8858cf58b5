"""One Chromium and one Tickgate for all tests here; and one more, for what spoils it."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Final

import pytest
import pytest_asyncio
from playwright.async_api import Browser

from tests.browser.chromium import Watched, chromium
from tests.conftest import in_one_task
from tests.running_tickgate import RunningTickgate, tickgate_run

_SETTINGS: Final = {
    "TICKGATE_SIM_TICKS_PER_S": "60",
    "TICKGATE_ADMIN_ENABLED": "true",
    "TICKGATE_ADMIN_PORT": "0",
}


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def browser() -> AsyncIterator[Browser]:
    async with in_one_task(chromium()) as started:
        yield started


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def tickgate(
    browser: Browser, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[RunningTickgate]:
    """`browser` first: where there is none nothing else is started."""
    data_dir: Path = tmp_path_factory.mktemp("tickgate")
    async with in_one_task(tickgate_run(data_dir, **_SETTINGS)) as running:
        yield running


@pytest_asyncio.fixture(loop_scope="session")
async def doomed_tickgate(browser: Browser, tmp_path: Path) -> AsyncIterator[RunningTickgate]:
    """Of one test's own: nobody has to look at it afterwards."""
    async with in_one_task(tickgate_run(tmp_path, **_SETTINGS)) as running:
        yield running


@pytest_asyncio.fixture(loop_scope="session")
async def watched(browser: Browser) -> AsyncIterator[Watched]:
    """A page of its own, which has seen nothing yet."""
    context = await browser.new_context(
        viewport={"width": 1280, "height": 800}, color_scheme="dark"
    )
    page = await context.new_page()
    # Short pauses before a return, and not all by chance.
    await page.add_init_script("Math.random = () => 0.1;")
    yield Watched(page)
    await context.close()
