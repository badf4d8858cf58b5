"""The feeds process: publisher, one runtime per chosen venue, and each venue's status.

A status goes out on every change and once a second: by it gateways know that feeds live. A venue
runs while its lease is ours. The only place of feeds where parts are joined.
"""

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator, Mapping, Sequence
from random import Random
from typing import Any
from urllib.parse import urlsplit

from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import AuthenticationError, InvalidResponse, RedisError, ResponseError

from feeds.bus_line import BusLine
from feeds.chosen import check_venues, make_derived, make_feed, venue_row
from feeds.deriving.derived_feed import DerivedFeed
from feeds.errors import BusUnreachableError, SettingError
from feeds.feed import Feed, TickSink
from feeds.feeds_at_work import FeedsAtWork
from feeds.lease import Lease
from feeds.market import Channel, Clock, Status, Tick
from feeds.patience import patience
from feeds.publisher import Publisher
from feeds.recall import recall
from feeds.recordings.recording import Row
from feeds.recordings.replay import VENUE as REPLAY
from feeds.recordings.replay import ReplayFeed, ReplayProgress
from feeds.settings import FeedSettings, PublisherSettings
from feeds.venue_feed import VenueFeed

_log = logging.getLogger(__name__)

STATUS_SYMBOL = "VENUE"
"""The symbol of `status:<venue>:VENUE`: the venue as a whole."""

_HEARTBEAT_S = 1.0
_REDIS_START_LIMIT_S = 3.0
_REDIS_AGAIN_S = 1.0
_REFUSALS = (AuthenticationError, InvalidResponse, ResponseError)
_DRAIN_LIMIT_S = 1.0
_LEAVE_LIMIT_S = 0.5
_REDIS_CLOSE_LIMIT_S = 0.5


async def run_feeds(
    settings: FeedSettings,
    redis_url: str,
    *,
    clock: Clock,
    random: Random,
    stopping: asyncio.Event,
    beside: Callable[[FeedsAtWork], Coroutine[Any, Any, None]] | None = None,
    line: Callable[[Redis], BusLine] = BusLine,
) -> None:
    """Runs the chosen venues until `stopping` is set; then ends within 3 s.

    `beside` runs as long as they do, and may look at them. Raises SettingError before any
    connection is made, and BusUnreachableError where Redis answers, but not to us: one that is not
    there is waited for.
    """
    check_venues(settings)
    bus = _open_bus(redis_url, settings.publisher, clock, line, waits_until=stopping)
    async with bus as (redis, publisher):
        derived = make_derived(settings, settings.venues, publisher, redis, clock)
        sink = derived or publisher
        feeds = [
            make_feed(name, settings, sink, clock=clock, random=random) for name in settings.venues
        ]
        if derived is not None:
            derived.foresee(channel for feed in feeds for channel in feed.channels)
        all_feeds = [*feeds, derived] if derived else feeds
        leases = {
            feed.name: Lease(feed.name, redis, publisher, clock, lease_s=settings.publisher.lease_s)
            for feed in all_feeds
        }
        publisher.on_fenced = lambda feed: leases[feed].doubt()
        if derived is not None and settings.derived.others:
            derived.hear_others(lambda venue: venue in leases and leases[venue].is_held)
        async with asyncio.TaskGroup() as group:
            looking = None
            if beside is not None:
                at_work = FeedsAtWork(all_feeds, publisher, clock, leases)
                looking = group.create_task(beside(at_work))
            await _serve(feeds, derived, publisher, clock=clock, stopping=stopping, leases=leases)
            if looking is not None:
                looking.cancel()


async def run_replay(
    read: Callable[[], Iterator[Row]],
    venue: str,
    settings: FeedSettings,
    redis_url: str,
    *,
    clock: Clock,
    stopping: asyncio.Event,
    speed: float | None = 1.0,
    symbol: str | None = None,
    progress: Callable[[ReplayProgress], None] = lambda _: None,
) -> ReplayProgress:
    """Plays a recording of `venue` until its end or until `stopping` is set; see `ReplayFeed`.

    `read` starts it from its beginning; `speed` None: as fast as possible; `symbol`: of messages
    that name none. Raises SettingError as `run_feeds` does, BusUnreachableError where Redis is not
    there at the start, and whatever `read` raises.
    """
    row = venue_row(venue)
    if speed is not None and not 0 < speed < float("inf"):
        raise SettingError("a speed is a number of more than 0")
    async with _open_bus(redis_url, settings.publisher, clock) as (redis, publisher):
        derived = make_derived(settings, [REPLAY], publisher, redis, clock)
        feed = ReplayFeed(
            read,
            lambda: row.parser(symbol),
            derived or publisher,
            clock,
            speed=speed,
            progress=progress,
        )
        leases = {}
        if derived is not None:
            # Where a feeds process runs it holds the lease, and nothing is made of the recording.
            leases[derived.name] = Lease(
                derived.name,
                redis,
                publisher,
                clock,
                lease_s=settings.publisher.lease_s,
                is_usually_anothers=True,
            )
            publisher.on_fenced = lambda name: leases[name].doubt()
        await _serve([feed], derived, publisher, clock=clock, stopping=stopping, leases=leases)
        return feed.progress


async def _serve(
    venues: Sequence[Feed],
    derived: DerivedFeed | None,
    publisher: Publisher,
    *,
    clock: Clock,
    stopping: asyncio.Event,
    leases: Mapping[str, Lease],
) -> None:
    """Until `stopping` is set or all venues have ended of themselves.

    Those with a lease run while it is ours; a venue that another process publishes is its to tell.
    """
    sink = derived or publisher
    # What is derived comes first: it is to hear the first tick.
    feeds = [derived, *venues] if derived else [*venues]
    publisher.register([channel for feed in feeds for channel in feed.channels])
    publisher.register([_status_channel(feed) for feed in feeds])
    async with asyncio.TaskGroup() as group:
        runs = {
            feed.name: group.create_task(_hold(feed, sink, leases.get(feed.name)), name=feed.name)
            for feed in feeds
        }
        loading = [group.create_task(derived.load())] if derived else []
        stop = group.create_task(stopping.wait())
        ended = group.create_task(asyncio.wait([runs[feed.name] for feed in venues]))
        await asyncio.wait([stop, ended], return_when=asyncio.FIRST_COMPLETED)
        for task in (*runs.values(), *loading, stop, ended):
            task.cancel()
    now_us = clock.now_ns() // 1_000
    for feed in feeds:
        lease = leases.get(feed.name)
        if lease is not None and not lease.is_held:
            continue
        closed = feed.status()
        if closed.state != "closed":
            closed = Status("closed", now_us, "feed", "the feed was stopped", now_us)
        publisher.offer([Tick(_status_channel(feed), closed)])
    with contextlib.suppress(TimeoutError):
        async with patience(_DRAIN_LIMIT_S):
            await publisher.drain()
    with contextlib.suppress(TimeoutError):
        async with patience(_LEAVE_LIMIT_S):
            await asyncio.gather(*(lease.leave() for lease in leases.values()))


async def _hold(feed: Feed, sink: TickSink, lease: Lease | None) -> None:
    if lease is None:
        await _run(feed, sink)
    else:
        await lease.run(lambda: _run_after(feed, sink, lease.redis))


async def _run_after(feed: Feed, sink: TickSink, redis: Redis) -> None:
    """Follows whoever published the venue before."""
    if isinstance(feed, VenueFeed):
        feed.begin_after(await recall(redis, feed.channels, feed.trades_recalled))
    await _run(feed, sink)


async def _run(feed: Feed, sink: TickSink) -> None:
    """Until it ends of itself, its status told meanwhile."""
    async with asyncio.TaskGroup() as group:
        reporting = group.create_task(_report(feed, sink), name=f"{feed.name}-status")
        await group.create_task(feed.run(), name=f"{feed.name}-run")
        reporting.cancel()


async def _report(feed: Feed, sink: TickSink) -> None:
    channel = _status_channel(feed)
    while True:
        feed.changed.clear()
        sink.offer([Tick(channel, feed.status())])
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_HEARTBEAT_S):
                await feed.changed.wait()


def _status_channel(feed: Feed) -> Channel:
    return Channel("status", feed.name, STATUS_SYMBOL)


@contextlib.asynccontextmanager
async def _open_bus(
    redis_url: str,
    settings: PublisherSettings,
    clock: Clock,
    line: Callable[[Redis], BusLine] = BusLine,
    waits_until: asyncio.Event | None = None,
) -> AsyncIterator[tuple[Redis, Publisher]]:
    # The publisher retries and times out by its own, shorter rules. redis-py's retries would hide
    # an outage, and its socket timeout goes through asyncio.wait_for, which on Python 3.11 swallows
    # cancellations (of a first command, at 15 of its first 30 steps: measured with redis-py 8.1).
    try:
        redis = Redis.from_url(redis_url, retry=Retry(NoBackoff(), 0), socket_timeout=None)
    except ValueError as error:
        raise SettingError(f"the Redis URL is wrong: {error}") from error
    try:
        if waits_until is None:
            await _expect_redis(redis, redis_url)
        else:
            await _wait_for_redis(redis, redis_url, waits_until)
        async with asyncio.TaskGroup() as group:
            publisher = Publisher(redis, settings, clock, line(redis))
            publishing = group.create_task(publisher.run(), name="publisher")
            yield redis, publisher
            publishing.cancel()
    except BaseExceptionGroup as group:
        # A process ends by one fault: who called it is told that, not how our tasks were nested.
        raise _first(group) from group
    finally:
        with contextlib.suppress(TimeoutError, RedisError, OSError):
            async with patience(_REDIS_CLOSE_LIMIT_S):
                await redis.aclose()


async def _wait_for_redis(redis: Redis, redis_url: str, stopping: asyncio.Event) -> None:
    """Returns once it answers, or when `stopping` is set. Raises as `_expect_redis` does where no
    waiting helps."""
    is_told = False
    while not stopping.is_set():
        try:
            await _expect_redis(redis, redis_url)
        except BusUnreachableError as error:
            if error.is_refusal:
                raise
            if not is_told:
                is_told = True
                _log.warning("%s: waiting for it", error)
        else:
            if is_told:
                _log.warning("redis is there")
            return
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_REDIS_AGAIN_S):
                await stopping.wait()


async def _expect_redis(redis: Redis, redis_url: str) -> None:
    try:
        async with patience(_REDIS_START_LIMIT_S):
            await redis.ping()
    except (RedisError, OSError, TimeoutError) as error:
        # Never the whole URL: it may hold a password.
        parts = urlsplit(redis_url)
        place = parts.path if parts.scheme == "unix" else f"{parts.hostname}:{parts.port or 6379}"
        reason = str(error) or f"no answer within {_REDIS_START_LIMIT_S:g} s"
        # redis-py wraps what it was answered at the start of a connection.
        is_refusal = isinstance(error, _REFUSALS) or isinstance(error.__cause__, _REFUSALS)
        raise BusUnreachableError(f"no Redis at {place} ({reason})", is_refusal) from error


def _first(group: BaseExceptionGroup[BaseException]) -> BaseException:
    inner = group.exceptions[0]
    return _first(inner) if isinstance(inner, BaseExceptionGroup) else inner
