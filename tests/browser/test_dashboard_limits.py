"""The pages together ask for no more than the plan allows, and no dead price looks live there."""

import contextlib
import time

import msgspec
import pytest
from playwright.async_api import TimeoutError as NotShownError
from redis.asyncio import Redis

from gateway.access.plans import PLANS, Plan
from tests.browser.chromium import Watched
from tests.gateway_server import gateway_on, publish_custom
from tests.until import until

pytestmark = [pytest.mark.asyncio(loop_scope="session"), pytest.mark.xdist_group("browser")]

SMALL = Plan("small", subscriptions_max=40, commands_per_s=100, commands_burst=500)
PAIRS = [f"P{at:02}-USD" for at in range(45)]
LAST = PAIRS[-1]
ATTEMPTS_MAX = 10
SHRINKS = """async () => {
  const { Subscriptions } = await import("/assets/subscriptions.js");
  const sent = [];
  const subscriptions = new Subscriptions((command) => sent.push(command), { since: () => ({}) });
  const wanted = (...names) => [new Map(names.map((name) => [name, "all"]))];
  const refuse = ({ id }) =>
    subscriptions.answered({ type: "error", id, code: "too_many_subscriptions", retry: false });
  subscriptions.opened();
  subscriptions.want(wanted("a", "b", "c"));
  refuse(sent.at(-1));
  const afterRefusal = sent.length;
  subscriptions.want(wanted("a", "b", "c"));
  const afterTheSame = sent.length;
  subscriptions.want(wanted("a", "b"));
  return [afterRefusal, afterTheSame, sent.length, sent.at(-1).channels];
}"""


def _stamped(**members: object) -> bytes:
    now_us = time.time_ns() // 1_000
    return msgspec.json.encode({"t": now_us, "rx": now_us, "tx": now_us, "at": now_us} | members)


async def _publish_price(redis: Redis, pair: str, price: str, state: str = "live") -> None:
    members = {"state": state, "conf": "1", "why": "few", "method": "mean", "min": 1, "venues": []}
    await publish_custom(redis, _stamped(px=price, **members), channel=f"price:agg:{pair}")


async def _publish_signal(redis: Redis, model: str, pair: str) -> None:
    now_us = time.time_ns() // 1_000
    said = _stamped(
        id=f"{model}:{pair}",
        model=model,
        version="1",
        direction="bull",
        score=0.5,
        expires=now_us + 600_000_000,
        ref={"ch": f"price:agg:{pair}", "px": "100"},
        reasons={"because": 1.5},
    )
    await publish_custom(redis, said, channel=f"signal:{model}:{pair}")


async def test_signals_and_watchlist_together_stay_within_the_plan(
    watched: Watched, redis_url: str
) -> None:
    heard: list[dict[str, object]] = []
    decode = msgspec.json.Decoder(dict[str, object]).decode
    watched.page.on(
        "websocket",
        lambda socket: socket.on("framereceived", lambda frame: heard.append(decode(frame))),
    )
    since = ".signals .panel:nth-of-type(2) tbody tr td[data-label=since]"
    async with (
        Redis.from_url(redis_url) as redis,
        gateway_on(redis_url, plan="small", plans={**PLANS, "small": SMALL}) as gateway,
    ):
        for pair in PAIRS:
            await _publish_price(redis, pair, "100")
            await _publish_signal(redis, "trend", pair)
            await _publish_signal(redis, "flow", pair)
        await _publish_signal(redis, "anomaly", LAST)
        await watched.page.goto(f"http://127.0.0.1:{gateway.port}/#key={gateway.key}")
        # Whatever was known of them at first: it asks again.
        note = await watched.becomes(".page > .note", "of 45 .*plan allows no more")
        await watched.page.evaluate("location.hash = '#/signals'")
        left_out = await watched.becomes(".panel .note:last-child", "no room for")

        await _shows(watched, redis, "live", since, r"^\+50")
        way = await watched.page.get_attribute(since, "data-way")
        await _shows(watched, redis, "stale", since, "stale$")
        dead_way = await watched.page.get_attribute(since, "data-way")
        sessions = gateway.worker.hub.sessions
        await until(lambda: [len(session.channels) for session in sessions] == [40])
        # Before the gateway goes: the browser tells of each attempt to come back to it.
        complaints = list(watched.complaints)

    assert note.startswith("28 of 45 markets")
    assert "channels" in left_out
    assert (way, dead_way) == ("up", None)
    assert [one for one in heard if one.get("type") == "error"] == []
    assert complaints == []


async def _shows(watched: Watched, redis: Redis, state: str, selector: str, pattern: str) -> None:
    """Publishes until the page shows it: a price from before a subscription is not sent."""
    for _ in range(ATTEMPTS_MAX):
        await _publish_price(redis, LAST, "150", state)
        with contextlib.suppress(NotShownError):
            await watched.becomes(selector, pattern, limit_ms=500)
            return
    await watched.becomes(selector, pattern)


async def test_what_was_refused_for_lack_of_room_is_asked_for_when_less_is_wanted(
    watched: Watched, redis_url: str
) -> None:
    async with gateway_on(redis_url) as gateway:
        await watched.page.goto(f"http://127.0.0.1:{gateway.port}/")
        told = await watched.page.evaluate(SHRINKS)

    assert told == [1, 1, 2, ["a", "b"]]
