"""What a person sees: prices that move, candles that live, and what is wrong, by its name."""

import asyncio
import os
import re
import signal
import time
from collections.abc import Callable
from typing import Literal

import msgspec
import pytest
from redis.asyncio import Redis

from tests.browser.chromium import LIMIT_MS, Watched, opened
from tests.gateway_server import publish_custom
from tests.running_tickgate import RunningTickgate
from tests.until import until

pytestmark = [pytest.mark.asyncio(loop_scope="session"), pytest.mark.xdist_group("browser")]

TRANSFER_MAX = 400_000
PLACES = {
    "watch": "#/",
    "signals": "#/signals",
    "health": "#/health",
    "pair-page": "#/pair/agg/ETH-USD",
}
SIGHTS: tuple[tuple[int, Literal["dark", "light"]], ...] = (
    (375, "dark"),
    (375, "light"),
    (1280, "dark"),
    (1280, "light"),
)
FIRST_PRICE = ".watch tbody tr:first-child td.price"
FITS = "width => document.documentElement.scrollWidth <= width"
NAMELESS = re.compile(
    r"^ *- '?(?:button|link|combobox|table|group|region|navigation)\b(?! \")", re.M
)
"""In an accessibility snapshot: what can be used or entered, without a name."""


async def test_the_link_opens_it_and_the_prices_move(
    watched: Watched, tickgate: RunningTickgate, record_property: Callable[[str, object], None]
) -> None:
    link = next(line for line in tickgate.lines if line.startswith("dashboard: "))

    await watched.page.goto(link.removeprefix("dashboard: "))
    first = await watched.becomes(FIRST_PRICE, r"\d")
    record_property("first_price_ms", await watched.page.evaluate("performance.now()"))

    assert await watched.changes(FIRST_PRICE, first) != first
    assert await watched.becomes(".strip > .lamp", "live") == "live"
    await watched.page.wait_for_selector(".strip > .sim", state="visible")


async def test_it_is_light_asks_nobody_else_and_keeps_no_key(
    watched: Watched, tickgate: RunningTickgate
) -> None:
    await opened(watched, tickgate, "#/pair/agg/BTC-USD")
    await watched.becomes(".legend", r"trades")
    await watched.page.evaluate("location.hash = '#/health'")
    await watched.page.wait_for_selector(".lines canvas")

    transferred = await watched.page.evaluate(
        "performance.getEntriesByType('navigation').concat("
        "performance.getEntriesByType('resource')).reduce((sum, one) => sum + one.transferSize, 0)"
    )
    kept = await watched.page.evaluate(
        "location.href + JSON.stringify(localStorage) + JSON.stringify(sessionStorage)"
        " + document.cookie + JSON.stringify(history.state)"
    )

    assert watched.complaints == []
    assert watched.hosts == {tickgate.url.removeprefix("http://")}
    assert 0 < transferred <= TRANSFER_MAX
    assert tickgate.key not in kept


async def test_the_last_candle_lives(watched: Watched, tickgate: RunningTickgate) -> None:
    await opened(watched, tickgate, "#/pair/agg/BTC-USD")
    await watched.page.click("role=button[name='1m']")
    legend = await watched.becomes(".legend", r"trades  running")
    picture = "[...document.querySelectorAll('.plot canvas')].map(one => one.toDataURL()).join()"
    before = await watched.page.evaluate(picture)

    assert await watched.changes(".legend", legend) != legend
    await watched.page.wait_for_function(f"before => {picture} !== before", arg=before)
    await watched.becomes(".votes .word", "^in$")
    await watched.page.wait_for_selector(".trades tbody tr")
    await watched.screenshot("pair-dark")
    assert watched.complaints == []


async def test_a_signal_on_the_candles_tells_its_reasons_to_keyboard_and_mouse(
    watched: Watched, tickgate: RunningTickgate
) -> None:
    said = {
        "id": "why",
        "model": "test",
        "version": "1",
        "direction": "bull",
        "score": 0.5,
        "at": time.time_ns() // 1_000,
        "expires": time.time_ns() // 1_000 + 60_000_000,
        "ref": {"ch": "price:agg:ETH-USD", "px": "3560"},
        "reasons": {"because": 1.5},
    }
    async with Redis.from_url(tickgate.running.redis_url) as redis:
        await publish_custom(redis, msgspec.json.encode(said), channel="signal:test:ETH-USD")
    await opened(watched, tickgate, "#/pair/agg/ETH-USD")
    await watched.becomes(".opinions", "because")
    await watched.becomes(".legend", "trades")

    await watched.page.focus(".chart")
    assert "test 1, score 0.50" in await _walked_to(watched, "because")
    await watched.screenshot("signal-dark")
    await watched.page.keyboard.press("Escape")
    assert await watched.text(".tip") == ""
    assert "ETH-USD" in await watched.text("h1")

    await watched.page.keyboard.press("2")  # A minute each: the newest candles have all signals.
    await watched.becomes(".legend", ":00 ")
    plot = await watched.page.locator(".plot").bounding_box()
    assert plot is not None
    right = plot["x"] + plot["width"]
    assert "score" in await _pointed_at(watched, right, plot["y"] + 100)
    assert watched.complaints == []


async def _walked_to(watched: Watched, text: str) -> str:
    """The tip of a signal, from the newest on: that of a second without a candle comes with it."""
    key, other = "ArrowLeft", "ArrowRight"
    async with asyncio.timeout(LIMIT_MS / 1_000):
        while text not in (tip := await watched.text(".tip")):
            await watched.page.keyboard.press(key)
            if await watched.text(".tip") == tip:
                key, other = other, key
    return tip


async def _pointed_at(watched: Watched, right: float, y: float) -> str:
    """The tip of one of the newest signals, wherever its candle has moved to."""
    async with asyncio.timeout(LIMIT_MS / 1_000):
        while True:
            for x in range(60, 240, 4):
                await watched.page.mouse.move(right - x, y)
                if tip := await watched.text(".tip"):
                    return tip


async def test_a_killed_gateway_shows_reconnecting_and_then_resumes(
    watched: Watched, tickgate: RunningTickgate
) -> None:
    await opened(watched, tickgate)
    await watched.becomes(FIRST_PRICE, r"\d")
    (gateway,) = tickgate.pids()["gateway"]

    # The page looks out for all of it before it happens: none of it stays for long.
    looks = (
        (".strip > .lamp", "reconnecting"),
        (".watch tbody .lamp", "reconnecting"),
        (".verdict", "^back after"),
    )
    async with asyncio.TaskGroup() as group:
        strip, row, back = [group.create_task(watched.becomes(*look)) for look in looks]
        await asyncio.sleep(0)
        os.kill(gateway, signal.SIGKILL)
        await strip
        await watched.screenshot("reconnecting")

    assert (strip.result(), row.result()) == ("reconnecting", "reconnecting")
    assert "made up for" in back.result()
    before = await watched.text(FIRST_PRICE)
    assert await watched.changes(FIRST_PRICE, before) != before


async def test_a_dead_feed_is_stale_and_it_is_said_whose_fault_that_is(
    watched: Watched, tickgate: RunningTickgate
) -> None:
    await opened(watched, tickgate)
    (feeds,) = tickgate.pids()["feeds"]

    os.kill(feeds, signal.SIGSTOP)
    try:
        assert await watched.becomes(".strip > .lamp", "stale") == "stale"
        await watched.becomes(".verdict", "stale.*our feed")
        await watched.becomes(".watch tbody .lamp", "stale")
        await watched.screenshot("stale")
    finally:
        os.kill(feeds, signal.SIGCONT)
    await watched.becomes(".strip > .lamp", "live")


async def test_without_a_link_it_asks_for_a_key(
    watched: Watched, tickgate: RunningTickgate
) -> None:
    await watched.page.goto(tickgate.url)
    await watched.page.fill("#key", "tg_aaaaaaaa_" + "a" * 43)
    await watched.page.keyboard.press("Enter")
    assert "not valid" in await watched.becomes(".problem", r"\w")

    await watched.page.fill("#key", tickgate.key)
    await watched.page.keyboard.press("Enter")
    await watched.becomes(FIRST_PRICE, r"\d")


async def test_everything_is_reached_by_keyboard(
    watched: Watched, tickgate: RunningTickgate
) -> None:
    await opened(watched, tickgate)
    # Of one venue there are rows a moment before those of all: then they are others.
    await watched.becomes(".watch thead", "Confidence")
    await watched.becomes(".watch", "ETH-USD")
    keyboard = watched.page.keyboard

    await keyboard.press("j")
    await keyboard.press("j")
    await keyboard.press("k")
    await keyboard.press("Enter")
    assert "BTC-USD" in await watched.becomes("h1", "consolidated")
    await keyboard.press("j")
    assert "ETH-USD" in await watched.becomes("h1", "ETH")
    await keyboard.press("Escape")
    await keyboard.press("/")
    await keyboard.type("solusd")
    await keyboard.press("Enter")
    assert "SOL-USD" in await watched.becomes("h1", "SOL")
    await keyboard.type("gh")  # The second has to come soon after the first.
    await watched.becomes("main h2", "Feeds")
    await keyboard.press("?")
    await watched.becomes(".help", "Dark or light")
    await keyboard.press("Escape")
    assert await watched.page.locator(".help").count() == 0


@pytest.mark.parametrize(("name", "place"), PLACES.items(), ids=PLACES)
async def test_it_fits_a_phone_and_a_desk_dark_and_light(
    watched: Watched, tickgate: RunningTickgate, name: str, place: str
) -> None:
    await opened(watched, tickgate)
    await watched.becomes(FIRST_PRICE, r"\d")

    await watched.page.evaluate("hash => { location.hash = hash; }", place)
    await watched.page.wait_for_selector(f"main .{name}")
    assert NAMELESS.findall(await watched.page.locator("body").aria_snapshot()) == []
    for width, scheme in SIGHTS:
        await watched.page.set_viewport_size({"width": width, "height": 800})
        await watched.page.emulate_media(color_scheme=scheme)
        await watched.screenshot(f"{name}-{width}-{scheme}")
        # Charts follow the window's size with a later frame.
        await watched.page.wait_for_function(FITS, arg=width)


async def test_a_hidden_tab_asks_for_less(watched: Watched, tickgate: RunningTickgate) -> None:
    sent: list[str] = []
    watched.page.on(
        "websocket",
        lambda socket: socket.on("framesent", lambda frame: sent.append(str(frame))),
    )
    await opened(watched, tickgate)
    await watched.becomes(FIRST_PRICE, r"\d")

    await watched.page.evaluate(
        "Object.defineProperty(document, 'hidden', { get: () => true });"
        "document.dispatchEvent(new Event('visibilitychange'))"
    )

    assert await until(lambda: [one for one in sent if '"rate":"5s"' in one], LIMIT_MS / 1_000)
