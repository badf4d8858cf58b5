"""`24 h` is the last 24 hours: for as long as the page is open, and for every row that is seen."""

import contextlib

import pytest
from playwright.async_api import TimeoutError as NotShownError
from redis.asyncio import Redis

from tests.browser.chromium import Watched
from tests.browser.day_market import HOUR_US, publish_hours, publish_price, whole_hour_us
from tests.gateway_server import GatewayServer, gateway_on

pytestmark = [pytest.mark.asyncio(loop_scope="session"), pytest.mark.xdist_group("browser")]

DAY_OF_25 = list(range(100, 125))
MINUTES_MAX = 30
MINUTE_LIMIT_MS = 2_000
"""For the first answer of a minute that the page is made to believe in; some bring none."""
ATTEMPTS_MAX = 20
ROWS = "() => document.querySelectorAll('.watch tbody tr').length"
WHOLE = """() => [...document.querySelectorAll(".watch td.change")]
  .filter((cell) => cell.textContent.trim() === "+24.00 %").length"""
SLIDES = """async () => {
  const { Day } = await import("/assets/day.js");
  const [minute, hour] = [60_000, 3_600_000];
  const candles = [...Array(25).keys()].map((at) => ({ start: at * hour * 1_000, open: 1 + at }));
  const day = new Day();
  day.recall(candles.reverse());
  const seen = { whole: 0, of: 0, off: 0, points: 0, wrong: 0 };
  for (let at = 24 * hour; at < 100 * hour; at += 7_000) {
    const price = 1 + at / hour;
    day.take(at, price);
    seen.of += 1;
    seen.whole += day.isWhole;
    seen.off = Math.max(seen.off, Math.abs(at - 24 * hour - day.sinceMs) / minute);
    seen.points = Math.max(seen.points, day.points.length);
    const before = 1 + day.sinceMs / hour;
    seen.wrong = Math.max(seen.wrong, Math.abs(day.change - (price / before - 1)));
  }
  return { ...seen, needsPast: day.needsPast };
}"""
AWAY = """async () => {
  const { Day } = await import("/assets/day.js");
  const hour = 3_600_000;
  const day = new Day();
  day.take(0, 10);
  day.recall([]);
  const told = [day.needsPast, day.isWhole, day.sinceMs];
  day.take(30 * hour, 12);
  return [...told, day.needsPast, day.isWhole, day.sinceMs === 30 * hour, day.change];
}"""


async def _open(watched: Watched, gateway: GatewayServer, height: int = 800) -> None:
    await watched.page.set_viewport_size({"width": 1280, "height": height})
    await watched.page.goto(f"http://127.0.0.1:{gateway.port}/#key={gateway.key}")
    await watched.becomes(".watch tbody", r"S\d\d-USD")


async def _hears(
    watched: Watched,
    redis: Redis,
    prices: dict[str, int],
    at_us: int,
    selector: str,
    pattern: str,
) -> None:
    """Publishes them until the page shows it: a trade from before a subscription is not sent."""
    for attempt in range(ATTEMPTS_MAX):
        for symbol, price in prices.items():
            await publish_price(redis, symbol, price, at_us + attempt)
        with contextlib.suppress(NotShownError):
            await watched.becomes(selector, pattern, limit_ms=500)
            return
    await watched.becomes(selector, pattern)


async def test_the_change_slides_with_the_hours_and_says_so_where_it_knows_less(
    watched: Watched, redis_url: str
) -> None:
    async with gateway_on(redis_url) as gateway:
        await watched.page.goto(f"http://127.0.0.1:{gateway.port}/")

        slid = await watched.page.evaluate(SLIDES)
        away = await watched.page.evaluate(AWAY)

    assert slid["whole"] == slid["of"]
    assert slid["off"] <= 31, "minutes from a day ago"
    assert slid["points"] <= 97
    assert slid["wrong"] < 1e-9
    assert not slid["needsPast"]
    assert away == [False, False, 0, True, False, True, 0]


async def test_every_row_that_is_seen_has_its_day_and_it_slides(
    watched: Watched, redis_url: str
) -> None:
    hour_us = whole_hour_us()
    now_us = hour_us + 60_000_000
    async with Redis.from_url(redis_url) as redis, gateway_on(redis_url) as gateway:
        for at in range(60):
            await publish_hours(redis, f"S{at:02}-USD", DAY_OF_25, hour_us)
        await _open(watched, gateway)

        row = "tr[data-key='test:S59-USD']"
        await watched.page.wait_for_selector(row, state="attached")
        await watched.page.locator(row).scroll_into_view_if_needed()
        await _hears(watched, redis, {"S59-USD": 124}, now_us, f"{row} .change", r"24.00 %\s*$")
        assert await watched.text(f"{row} .change") == "+24.00 %"
        drawn = await watched.page.locator(f"{row} polyline").get_attribute("points")
        # What stands twelve hours later is measured from what stood twelve hours ago.
        await publish_price(redis, "S59-USD", 224, hour_us + 12 * HOUR_US)
        assert await watched.becomes(f"{row} .change", r"^\+100") == "+100.00 %"
        # And where nothing was heard a day ago, it is said since when.
        await publish_price(redis, "S59-USD", 250, hour_us + 72 * HOUR_US)
        await watched.becomes(f"{row} .change", r"^0.00 % since \d\d:00$")

    assert drawn is not None
    assert drawn.count(",") >= 25


async def test_what_the_plan_has_no_calls_for_now_is_asked_for_later(
    watched: Watched, redis_url: str
) -> None:
    hour_us = whole_hour_us()
    now_us = hour_us + 60_000_000
    refused: list[int] = []
    watched.page.on(
        "response", lambda one: refused.append(one.status) if one.status == 429 else None
    )
    await watched.page.clock.install()
    async with (
        Redis.from_url(redis_url) as redis,
        gateway_on(redis_url, plan="free") as gateway,
    ):
        for at in range(35):
            await publish_hours(redis, f"S{at:02}-USD", DAY_OF_25, hour_us)
        await _open(watched, gateway, height=1_600)
        await watched.page.wait_for_function(f"() => ({ROWS})() === 35")
        prices = {f"S{at:02}-USD": 124 for at in range(35)}
        await _hears(watched, redis, prices, now_us, "tr[data-key='test:S34-USD'] .price", "124")
        await watched.page.wait_for_function(f"() => ({WHOLE})() > 20")
        at_once = await watched.page.evaluate(WHOLE)

        for _ in range(MINUTES_MAX):
            whole = await watched.page.evaluate(WHOLE)
            if whole == 35:
                break
            await watched.page.clock.fast_forward(61_000)
            with contextlib.suppress(NotShownError):
                await watched.page.wait_for_function(
                    f"whole => ({WHOLE})() > whole", arg=whole, timeout=MINUTE_LIMIT_MS
                )

        assert await watched.page.evaluate(WHOLE) == 35
    assert at_once < 35
    assert refused == []
