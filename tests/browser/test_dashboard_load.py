"""200 pairs at some 1,500 messages a second: the page shows what is newest, and says what is not.

How fast it is depends on what else runs here: that is recorded, and judged by bench.dashboard.
"""

import asyncio
import signal
from collections.abc import Callable

import msgspec
import pytest
from playwright.async_api import Page

from bench.dashboard import Observed, served
from tests.browser.chromium import SCREENSHOTS, Watched

pytestmark = [pytest.mark.asyncio(loop_scope="session"), pytest.mark.xdist_group("browser")]

PAIRS = 200
TICKS_PER_S = 1_500
MESSAGES = 3_000
"""Some two seconds of them; on a machine with no time it takes longer, and nothing is lost."""
MESSAGES_LIMIT_MS = 60_000
SHOWN_LIMIT_S = 30.0
ROWS = "count => document.querySelectorAll('.watch tbody tr').length === count"
MOVED = """
before => [...document.querySelectorAll(".watch tbody tr")].filter((row) => {
  const shown = row.querySelector("td.price").textContent;
  return /\\d/.test(shown) && shown !== before[row.dataset.key];
}).length
"""
PRICES = """
() => Object.fromEntries([...document.querySelectorAll(".watch tbody tr")].map(
  (row) => [row.dataset.key, row.querySelector("td.price").textContent]))
"""
SHOWS = """
told => Object.entries(told).every(([key, price]) =>
  document.querySelector(`tr[data-key="${key}"] td.price`).textContent
    .replaceAll(/[^\\d.]/g, "") === price)
"""


async def test_200_pairs_move_show_what_is_newest_and_lose_nothing_unsaid(
    watched: Watched,
    record_property: Callable[[str, object], None],
    capsys: pytest.CaptureFixture[str],
) -> None:
    page = watched.page
    async with served(symbols=PAIRS, ticks_per_s=TICKS_PER_S) as market:
        observed = await Observed.of(page)
        await observed.open(market.link)
        await page.wait_for_function(ROWS, arg=PAIRS)
        await observed.count_anew()
        before = await page.evaluate(PRICES)
        await page.wait_for_function(
            "count => seen.sockets >= count", arg=MESSAGES, timeout=MESSAGES_LIMIT_MS
        )
        facts = await observed.facts()
        moved = await page.evaluate(MOVED, before)
        await watched.screenshot("load-dark")

        market.feeds.send_signal(signal.SIGSTOP)  # Nothing new: what is shown must become the last.
        try:
            async with asyncio.timeout(SHOWN_LIMIT_S):
                while not await page.evaluate(SHOWS, await _newest(page, market.link)):  # noqa: ASYNC110
                    await asyncio.sleep(0.1)
        finally:
            market.feeds.send_signal(signal.SIGCONT)
        await page.evaluate("location.hash = '#/health'")
        health = await watched.becomes("main", "Feeds")
        complaints = list(watched.complaints)
        await page.goto("about:blank")  # Or the gateway would wait for it, and it complain.

    assert (facts["rows"], facts["console_errors"], facts["hosts"]) == (PAIRS, [], 1)
    assert complaints == []
    assert moved > 0
    assert "nobody said so" not in health
    for name, value in facts.items():
        record_property(name, value)
    SCREENSHOTS.mkdir(parents=True, exist_ok=True)
    text = msgspec.json.format(msgspec.json.encode(facts)).decode()
    (SCREENSHOTS / "facts.json").write_text(text + "\n")
    with capsys.disabled():
        print(f"\n200 pairs in Chromium: {text}")


async def _newest(page: Page, link: str) -> dict[str, str]:
    """By the gateway's own word, of the rows that are in sight: key -> price."""
    url, _, key = link.partition("/#key=")
    keys = await page.evaluate(
        "[...document.querySelectorAll('.watch tbody tr')].slice(0, 15)"
        ".map((row) => row.dataset.key)"
    )
    names = [f"trade:{one}" for one in keys]
    answer = await page.request.get(
        f"{url}/v1/latest", params={"channels": ",".join(names)}, headers={"X-API-Key": key}
    )
    told = {one["ch"]: one["px"] for one in (await answer.json())["messages"]}
    assert set(told) == set(names)
    return {name.removeprefix("trade:"): price for name, price in told.items()}
