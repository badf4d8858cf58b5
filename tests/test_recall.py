"""What was published before: of as many channels as there are, and while ticks can wait for it."""

import time

import pytest
from redis.asyncio import Redis

from feeds import recall
from feeds.market import AGGREGATE, Candle, Channel, Tick
from tests.gateway_server import Publishing

BATCHES = 3
CHANNELS = [
    Channel(f"candle.{length}", venue, f"{base}-USD")
    for length in ("1m", "5m")
    for venue in ("kraken", AGGREGATE)
    for base in ("BTC", "ETH", "SOL")
]
ROW = Candle(0, "1", "2", "1", "2", "3", "4", "1.5", "1", 2, final=True)


@pytest.fixture(autouse=True)
async def _published(publish: Publishing, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recall, "_CHANNELS_AT_ONCE", len(CHANNELS) // BATCHES)
    publish.publisher.register(CHANNELS)
    await publish([Tick(channel, ROW) for channel in CHANNELS])


async def test_however_long_we_stand_still_ourselves_all_channels_are_read(
    redis: Redis, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(recall, "_ANSWER_LIMIT_S", 0.3)
    await redis.ping()

    def stand_still() -> bool:
        time.sleep(0.4)
        return False

    read = await recall.recall_histories(
        redis, ["candle"], ["kraken"], "candle.1m", is_enough=stand_still
    )
    assert read.told == {channel.name: [ROW] for channel in CHANNELS}
    assert not caplog.records


async def test_where_too_much_waits_meanwhile_what_all_venues_say_is_known(
    redis: Redis, caplog: pytest.LogCaptureFixture
) -> None:
    answers = iter((False, False, True))
    read = await recall.recall_histories(
        redis, ["candle"], ["kraken"], "candle.1m", is_enough=lambda: next(answers)
    )
    together = {channel.name for channel in CHANNELS if channel.venue == AGGREGATE}
    assert together < read.told.keys()
    assert len(read.told) == len(CHANNELS) * 2 // BATCHES
    (line,) = caplog.messages
    assert "not all of it (too much is heard meanwhile) channels=8 of=12" in line


async def test_for_models_only_what_they_read_is_read(redis: Redis) -> None:
    read = await recall.recall_histories(
        redis, ["candle"], ["kraken"], "candle.1m", is_for_models=True
    )
    assert read.told.keys() == {f"candle.1m:agg:{base}-USD" for base in ("BTC", "ETH", "SOL")}
