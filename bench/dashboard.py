"""Question: does the dashboard carry 200 pairs at 2,000 messages/s, and how soon is it there?

Real redis-server, `tickgate feeds` (sim, nothing derived), `tickgate gateway` and a Chromium, all
on the same cores; a cold cache each run, and a browser that stands already: what it does at its own
start is not the page's. `python -m bench.dashboard`
"""

import argparse
import asyncio
import contextlib
import sys
from collections.abc import AsyncIterator
from typing import Any, Final, NamedTuple, Self

from playwright.async_api import CDPSession, Page, async_playwright
from redis.asyncio import Redis

from bench.chromium import ARGUMENTS, find_chromium
from bench.processes import START_LIMIT_S, environment, ready, started
from bench.setting import redis_server
from bench.verdict import Asked, add_options, at_least, at_most, console, keep, table_of
from feeds.market import SystemClock
from feeds.market.bus_names import DIRECTORY_KEY
from gateway.access.key_store import KeyStore

_WARM_UP_S: Final = 5.0
_DIRECTORY_S: Final = 2.0
"""A gateway reads again what there is every second."""
_BROWSER_START_S: Final = 2.0
_FIRST_PRICE_LIMIT_S: Final = 60.0
_WATCH: Final = """
globalThis.seen = { longest: 0, tasks: 0, frames: 0, firstPrice: null, sockets: 0 };
new PerformanceObserver((list) => {
  for (const { duration } of list.getEntries()) {
    seen.tasks += 1;
    seen.longest = Math.max(seen.longest, duration);
  }
}).observe({ type: "longtask", buffered: true });
const hear = Object.getOwnPropertyDescriptor(WebSocket.prototype, "onmessage");
Object.defineProperty(WebSocket.prototype, "onmessage", {
  ...hear,
  set(listener) {
    hear.set.call(this, listener && ((event) => { seen.sockets += 1; listener(event); }));
  },
});
const look = () => {
  seen.frames += 1;
  const cell = document.querySelector(".watch tbody td.price");
  if (seen.firstPrice === null && /\\d/.test(cell?.textContent ?? "")) {
    // What was written before this frame is on the screen with the next.
    seen.firstPrice = -1;
    requestAnimationFrame(() => {
      seen.firstPrice = performance.now();
      globalThis.firstPriceSeen?.();
    });
  }
  requestAnimationFrame(look);
};
requestAnimationFrame(look);
"""
_TRANSFERRED: Final = """
performance.getEntriesByType("navigation").concat(performance.getEntriesByType("resource"))
  .reduce((sum, one) => sum + one.transferSize, 0)
"""
_PARTS: Final = ("TaskDuration", "ScriptDuration", "LayoutDuration", "RecalcStyleDuration")
_HEAP: Final = "performance.memory?.usedJSHeapSize ?? null"


class Served(NamedTuple):
    """A market that moves, and its dashboard."""

    link: str
    feeds: asyncio.subprocess.Process


@contextlib.asynccontextmanager
async def served(*, symbols: int, ticks_per_s: float) -> AsyncIterator[Served]:
    """Redis, feeds and a gateway of one's own: feeds that run, and a key for their dashboard."""
    with redis_server() as path:
        redis_url = f"unix://{path}"
        async with Redis.from_url(redis_url) as redis:
            _, key = await KeyStore(redis, SystemClock()).create("bench", "unlimited")
        environ = environment(redis_url, ticks_per_s=ticks_per_s, symbols=symbols, seed=1)
        environ |= {"TICKGATE_DERIVED_ENABLED": "false", "TICKGATE_ADMIN_ENABLED": "false"}
        async with started("feeds", environ) as feeds, started("gateway", environ) as gateway:
            url = await ready(gateway)
            await _has_channels(redis_url, 2 * symbols)
            yield Served(f"{url}/#key={key}", feeds)


async def _has_channels(redis_url: str, count: int) -> None:
    """The page is asked for by somebody who finds feeds that run."""
    async with Redis.from_url(redis_url) as redis, asyncio.timeout(START_LIMIT_S):
        while await redis.scard(DIRECTORY_KEY) < count:  # noqa: ASYNC110 - another process
            await asyncio.sleep(0.05)
    await asyncio.sleep(_DIRECTORY_S)


class Observed:
    """A page, from its cold start on, and what it did: its own word, and the browser's."""

    def __init__(self, page: Page, thread: CDPSession) -> None:
        self.page = page
        self._thread = thread
        self._complaints: list[str] = []
        self._hosts: set[str] = set()
        self._first_price = asyncio.Event()
        self._first_price_ms = 0.0
        self._began_ms = 0.0
        self._cpu_before: dict[str, float] = {}

    @classmethod
    async def of(cls, page: Page) -> Self:
        """Of a page that has loaded nothing yet."""
        thread = await page.context.new_cdp_session(page)
        observed = cls(page, thread)
        complaints, hosts = observed._complaints, observed._hosts
        page.on(
            "console", lambda told: complaints.append(told.text) if told.type == "error" else None
        )
        page.on("pageerror", lambda error: complaints.append(error.message))
        page.on("request", lambda request: hosts.add(request.url.split("/")[2]))
        await thread.send("Performance.enable", {"timeDomain": "threadTicks"})
        await page.add_init_script(_WATCH)
        # Told by the page: to ask it each frame would take it as long as a dozen rows.
        await page.expose_function("firstPriceSeen", observed._first_price.set)
        return observed

    async def open(self, link: str) -> None:
        """Until its first price is painted."""
        await self.page.goto(link, wait_until="commit")
        async with asyncio.timeout(_FIRST_PRICE_LIMIT_S):
            await self._first_price.wait()
        self._first_price_ms = await self.page.evaluate("seen.firstPrice")

    async def count_anew(self) -> None:
        """What was until now is the start's, not the load's."""
        reset = "Object.assign(seen, { longest: 0, tasks: 0, frames: 0, sockets: 0 })"
        await self.page.evaluate(reset)
        self._began_ms = await self.page.evaluate("performance.now()")
        self._cpu_before = await self._cpu_s()

    async def facts(self) -> dict[str, Any]:
        """Of the time since `count_anew`."""
        after = await self._cpu_s()
        seen = await self.page.evaluate("({ ...seen, now: performance.now() })")
        took_s = (seen["now"] - self._began_ms) / 1_000
        return {
            "first_price_ms": round(self._first_price_ms, 1),
            "rows": await self.page.locator(".watch tbody tr").count(),
            "messages_per_s": round(seen["sockets"] / took_s, 1),
            "frames_per_s": round(seen["frames"] / took_s, 1),
            "longest_task_ms": seen["longest"],
            "long_tasks": seen["tasks"],
            "main_thread_cpu_share": {
                name: round((after[name] - self._cpu_before[name]) / took_s, 4) for name in _PARTS
            },
            "transferred_bytes": await self.page.evaluate(_TRANSFERRED),
            "heap_bytes": await self.page.evaluate(_HEAP),
            "hosts": len(self._hosts),
            "console_errors": list(self._complaints),
        }

    async def _cpu_s(self) -> dict[str, float]:
        """CPU seconds of the page's main thread so far, by what they went into."""
        told = await self._thread.send("Performance.getMetrics")
        return {one["name"]: one["value"] for one in told["metrics"]}


async def run(options: argparse.Namespace) -> dict[str, Any]:
    """One page, from its cold start through `seconds` under load."""
    async with (
        served(symbols=options.symbols, ticks_per_s=options.ticks_per_s) as market,
        async_playwright() as playwright,
    ):
        chromium = find_chromium(playwright.chromium.executable_path)
        if chromium is None:
            raise SystemExit("no Chromium: apt install chromium")
        browser = await playwright.chromium.launch(
            executable_path=chromium, args=[*ARGUMENTS, "--enable-precise-memory-info"]
        )
        try:
            context = await browser.new_context(viewport={"width": 1280, "height": 800})
            observed = await Observed.of(await context.new_page())
            await asyncio.sleep(_BROWSER_START_S)
            await observed.open(market.link)
            await asyncio.sleep(_WARM_UP_S)
            await observed.count_anew()
            await asyncio.sleep(options.seconds)
            return await observed.facts()
        finally:
            await browser.close()


def judged(runs: list[dict[str, Any]]) -> list[Asked]:
    """The worst of all runs; a task shorter than 50 ms is not told by the browser."""

    def worst(name: str) -> float:
        return float(max(one[name] for one in runs))

    rate = float(min(one["messages_per_s"] for one in runs))
    return [
        at_least("messages/s that the page takes", rate, 2_000, ""),
        at_most("longest task of the main thread", max(50.0, worst("longest_task_ms")), 100, " ms"),
        at_most("first price painted", worst("first_price_ms"), 1_500, " ms"),
        at_most("transferred", worst("transferred_bytes") / 1_000, 400, " kB"),
        at_most("console errors", float(max(len(one["console_errors"]) for one in runs)), 0, ""),
        at_most("hosts asked", worst("hosts"), 1, ""),
    ]


def main() -> int:
    parser = argparse.ArgumentParser(prog="bench.dashboard", description=__doc__)
    add_options(parser, seconds=30)
    parser.add_argument("--symbols", type=int, default=200)
    parser.add_argument("--ticks-per-s", type=float, default=4_500)
    options = parser.parse_args()
    runs = [asyncio.run(run(options)) for _ in range(options.repeats)]
    asked = judged(runs)
    question = (__doc__ or "").partition("\n")[0]
    path = keep("dashboard", question, vars(options), runs, asked, options.output)
    screen = console()
    for one in runs:
        screen.print(one)
    screen.print(table_of(asked))
    screen.print(f"written to {path}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
