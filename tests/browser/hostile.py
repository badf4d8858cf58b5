"""What somebody who may publish could try: names, reasons and numbers that are markup."""

import time
from typing import Final

import msgspec
from redis.asyncio import Redis

from tests.gateway_server import publish_custom

HOSTILE: Final = "<img src=x onerror=globalThis.pwned=1><script>globalThis.pwned=1</script>"
_VENUE: Final = "evil"
_SYMBOL: Final = "EVIL-USD"


async def publish_hostile(redis: Redis) -> None:
    """On every kind of channel that a page shows; each text and number is hostile."""
    now_us = time.time_ns() // 1_000
    stamps = {"t": now_us, "rx": now_us, "tx": now_us}
    vote = {"venue": HOSTILE, "in": False, "out": HOSTILE, "px": HOSTILE, "of": HOSTILE}
    price = {"px": HOSTILE, "conf": HOSTILE, "why": HOSTILE, "method": HOSTILE, "venues": [vote]}
    signal = {
        "id": HOSTILE,
        "model": HOSTILE,
        "version": HOSTILE,
        "direction": HOSTILE,
        "score": HOSTILE,
        "at": now_us,
        "expires": now_us,
        "ref": {"ch": HOSTILE, "px": HOSTILE},
        "reasons": {HOSTILE: HOSTILE},
    }
    candle = dict.fromkeys(("open", "high", "low", "close", "volume", "n"), HOSTILE)
    status = {"since": now_us, "by": HOSTILE, "reason": HOSTILE, "channels": {HOSTILE: {}}}
    for channel, payload in (
        (f"status:{_VENUE}:VENUE", {"state": "stale", **status}),
        (f"trade:{_VENUE}:{_SYMBOL}", {"px": HOSTILE, "sz": HOSTILE, "side": HOSTILE}),
        (f"quote:{_VENUE}:{_SYMBOL}", {"bid": HOSTILE, "ask": HOSTILE}),
        (f"price:agg:{_SYMBOL}", {"state": HOSTILE, "min": HOSTILE, **price}),
        (f"candle.1s:agg:{_SYMBOL}", {"start": now_us, "final": False, **candle}),
        (f"candle.1m:{_VENUE}:{_SYMBOL}", {"start": HOSTILE, **candle}),
        (f"signal:{_VENUE}:{_SYMBOL}", signal),
        (f"grade:agg:{_SYMBOL}", {"grade": HOSTILE, "parts": [{"model": HOSTILE}]}),
        (f"custom:{_VENUE}:{_SYMBOL}", {"text": HOSTILE}),
    ):
        await publish_custom(redis, msgspec.json.encode(payload | stamps), channel=channel)
    # No channel's name: it must not even get into the directory.
    await redis.sadd("tickgate:channels", f"trade:{HOSTILE}:BTC-USD", f"trade:{_VENUE}:{HOSTILE}")
