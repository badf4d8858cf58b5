"""The README's client, run as it stands there: it comes back, and misses nothing."""

import asyncio
import os
import sys
from pathlib import Path

from redis.asyncio import Redis

from tests.client_gateway import Publisher, gateway
from tests.proxy import proxy_to

_ROOT = Path(__file__).resolve().parents[1]
_TITLE = "## A client that comes back"
_TRADES = "trade:sim:BTC-USD"


def _program(port: int) -> str:
    section = (_ROOT / "README.md").read_text().split(_TITLE)[1]
    return section.split("```python\n")[1].split("```")[0].replace(":8787", f":{port}")


async def test_the_readmes_client_says_every_trade_once_across_lost_connections(
    redis_url: str, redis: Redis
) -> None:
    publisher = Publisher(redis)
    await publisher.announce(_TRADES)
    _, key = await publisher.key()
    prices = [str(price) for price in range(1, 31)]
    async with gateway(redis_url) as port, proxy_to(port) as line:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-c", _program(line.port)),
            cwd=_ROOT,
            env=os.environ | {"TICKGATE_KEY": key},
            stdout=asyncio.subprocess.PIPE,
        )
        try:
            assert process.stdout is not None
            told: list[str] = []
            listens = False
            async with asyncio.timeout(40):
                while f"{_TRADES} 1 at {prices[-1]}" not in told:
                    if not listens:
                        # It may not have subscribed yet: then it hears of none of these.
                        await publisher.trades(_TRADES, "0")
                    try:
                        async with asyncio.timeout(0.1):
                            told.append((await process.stdout.readline()).decode().strip())
                    except TimeoutError:
                        continue
                    if not listens and told[-1].endswith(" at 0"):
                        listens = True
                        await publisher.trades(_TRADES, *prices[:10])
                        line.cut()
                        await publisher.trades(_TRADES, *prices[10:])
        finally:
            process.kill()
            await process.wait()
    trades = [one for one in told if one.startswith(_TRADES) and not one.endswith(" at 0")]
    assert trades == [f"{_TRADES} 1 at {price}" for price in prices]
    assert any(one.startswith("LOOK: Reconnecting(") for one in told)
    assert not [one for one in told if one.startswith("LOST")]
