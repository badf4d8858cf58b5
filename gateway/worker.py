"""EDGE: one gateway process' hub on its bus: opens channels, keeps their states, sweeps.

Everything that is late or repeats itself happens here, on a few timers for the whole worker.
"""

import asyncio
import logging
import math
import random
import secrets
from collections.abc import Collection, Mapping, Sequence

import msgspec
from redis.asyncio import Redis

from feeds.market import Channel, Clock, Moment, Publication, PublicationError, Status, moment
from gateway.access.holders import Holders
from gateway.access.plans import PLANS, Plan
from gateway.access.tokens import Tokens
from gateway.bus.bus import Bus
from gateway.bus.directory import Directory
from gateway.bus.directory_reader import DirectoryReader
from gateway.bus.listener import Batch
from gateway.bus.opener import Opener
from gateway.bus.recaller import Recaller
from gateway.errors import CLOSES
from gateway.fanout.counts import Counts
from gateway.fanout.fanout import Fanout
from gateway.fanout.hub import Hub
from gateway.fanout.outbox import OutboxLimits
from gateway.fanout.session import Session
from gateway.fanout.states import STATUS_SYMBOL, States, status_channel
from gateway.pace import Pace
from gateway.protocol import Drain, Heartbeat, SessionId
from gateway.server.broadcast import write_all
from gateway.settings import GatewaySettings
from gateway.telemetry.spans import NO_SPANS, Spans

_log = logging.getLogger(__name__)

_SWEEP_S = 0.5
_ENDED_AT_ONCE = 10
_BEAT_FRESH = 0.8
"""Of the silence after which the bus counts as lost: two of three heartbeats may be late."""
_DRAIN_SHARE = 0.4
"""Of the time to stop: what is left is for those who don't answer the close."""

_decode_status = msgspec.json.Decoder(Status).decode


class Worker:
    """One process' share of the gateway."""

    def __init__(
        self,
        settings: GatewaySettings,
        redis: Redis,
        redis_url: str,
        clock: Clock,
        *,
        plans: Mapping[str, Plan] = PLANS,
        tokens: Tokens | None = None,
        spans: Spans = NO_SPANS,
    ) -> None:
        """`tokens`: None where there are only API keys."""
        self.settings = settings
        self.clock = clock
        self.spans = spans
        self.counts = Counts()
        self.hub = Hub(Fanout(write_all, self.counts))
        self.directory = Directory()
        self.states = States(settings.feed_silence_limit_s)
        self.draining = False
        self.holders = Holders(
            self.hub, redis, settings, clock, secrets.token_hex(8), plans=plans, tokens=tokens
        )
        self.outbox_limits = OutboxLimits(
            settings.outbox_bytes_max, settings.outbox_messages_max, settings.outbox_age_max_s
        )
        self._reader = DirectoryReader(
            self.directory,
            redis,
            clock,
            answer_limit_s=settings.bus_answer_limit_s,
            on_read=self._listen_to_statuses,
        )
        self.bus = Bus(
            redis,
            redis_url,
            clock=clock,
            silence_limit_s=settings.bus_silence_limit_s,
            on_batch=self._on_batch,
            on_return=self._on_return,
            on_loss=self._on_loss,
        )
        self._pace = Pace(self.hub, self.bus, clock, settings.join_window_ms)
        if spans.ticks is not None:
            self._pace.on_flushed = spans.ticks.written
        self._recaller = Recaller(
            self.bus, self.hub, clock, answer_limit_s=settings.bus_answer_limit_s
        )
        self._opener = Opener(
            self.bus,
            self.hub,
            clock,
            answer_limit_s=settings.bus_answer_limit_s,
            on_resumed=self._resumed,
        )

    @property
    def is_ready(self) -> bool:
        """Whether a new subscriber would be served."""
        return self.hears_bus and not self.draining

    @property
    def hears_bus(self) -> bool:
        """Whether Redis answers, and its heartbeat is fresh: said a little before streams do."""
        fresh_s = _BEAT_FRESH * self.settings.bus_silence_limit_s
        return self.states.bus_is_live and self.bus.counts.beat_age_s < fresh_s

    def new_session_id(self) -> SessionId:
        return SessionId(secrets.token_hex(8))

    async def run(self) -> None:
        """Until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self.bus.run(), name="bus")
            group.create_task(self._opener.run(), name="opener")
            group.create_task(self._recaller.run(), name="recaller")
            group.create_task(self._keep_sweeping(), name="sweep")
            group.create_task(self._reader.run(), name="directory")
            group.create_task(self.holders.run(), name="holders")

    async def look_up(self, names: Sequence[str]) -> None:
        """Reads the directory again where it lacks a name, and not more often than is fresh."""
        await self._reader.look_up(names)

    async def open(self, channels: Sequence[Channel]) -> None:
        """Has the hub listen to channels, and to their feeds; `is_open` tells the result."""
        statuses = {status_channel(channel.feed) for channel in channels}
        known = (status for status in statuses if status.name in self.directory)
        await self._opener.open({*channels, *known})

    def is_open(self, channel: Channel) -> bool:
        """Whether the hub hears the channel, and knows where it is."""
        return self._opener.is_open(channel)

    async def recall(self, wanted: Mapping[str, int]) -> None:
        """Has channels' streams read after these seqs, if Redis answers in time."""
        await self._recaller.recall(wanted)

    async def catch_up(self, names: Collection[str]) -> None:
        """Has open channels read again of which a client has heard more than we have."""
        if self.states.bus_is_live:
            await self._opener.catch_up(names)

    def send_away(self, session: Session) -> None:
        """This process is going to end: says so to one session, which goes on until its turn.

        Each has its own: a thousand that came back at once would be a load of their own.
        """
        self.draining = True
        turn_s = random.uniform(0.0, self.settings.shutdown_limit_s * _DRAIN_SHARE)  # noqa: S311
        session.say(Drain(math.ceil(turn_s * 1_000)), self.clock.monotonic_s())
        asyncio.get_running_loop().call_later(turn_s, session.end, CLOSES["draining"])

    def _resumed(self, names: Sequence[str]) -> None:
        """Channels whose history has just been read."""
        at = moment(self.clock)
        for name in names:
            channel = self.hub.topics[name].channel
            if channel.symbol == STATUS_SYMBOL and channel.kind == "status":
                self.states.watch(channel.venue, at.monotonic_s)
            self._stand(name, at)
        self._pace.flush(at)

    def _stand(self, name: str, at: Moment) -> None:
        topic = self.hub.topics[name]
        self.hub.stand(topic, self.states.standing_of(topic, at.monotonic_s), at)

    def _on_batch(self, batch: Batch) -> None:
        at = moment(self.clock)
        if self.spans.ticks is not None:
            self.spans.ticks.heard(batch, at)
        for name, message in batch:
            try:
                publication = Publication.decode(message)
            except PublicationError as error:
                self.hub.counts.unsound += 1
                _log.warning("refused on the bus channel=%s error=%s", name, error)
                continue
            if name.startswith("status:"):
                self._heard_status(Channel.parse(name), publication, at)
            self.hub.publish(name, publication, at)
        if self.hub.torn:
            self._opener.mend(self.hub.take_torn())
        self._pace.flush_soon(at)

    def _heard_status(self, channel: Channel, publication: Publication, at: Moment) -> None:
        if channel.symbol != STATUS_SYMBOL:
            return
        try:
            status = _decode_status(publication.payload)
        except msgspec.DecodeError:
            return
        if self.states.heard(channel.venue, status, at.monotonic_s):
            self._stand_all(at)

    async def _on_return(self) -> None:
        await self._opener.resume_all()
        await self._reader.read()
        at = moment(self.clock)
        self.states.bus_returned(at.monotonic_s)
        self._stand_all(at)

    def _on_loss(self) -> None:
        self.states.bus_is_live = False
        for name in self.hub.topics:
            self.hub.hold(name)
        self._stand_all(moment(self.clock))

    def _stand_all(self, at: Moment) -> None:
        for name in self.hub.topics:
            self._stand(name, at)
        self._pace.flush(at)

    def _listen_to_statuses(self) -> None:
        """Of watched venues: perhaps a feed has begun only after its channels were opened."""
        for venue in self._watched_venues():
            status = status_channel(venue)
            if status.name in self.directory and status.name not in self.hub.topics:
                self._opener.begin(status)

    def leave(self, session: Session) -> None:
        """A session that is over."""
        self.hub.leave(session, self.clock.monotonic_s())
        self.holders.leave(session)

    async def _keep_sweeping(self) -> None:
        heartbeat_s = self.settings.heartbeat_ms / 1_000
        heartbeat_due_s = self.clock.monotonic_s() + heartbeat_s
        while True:
            await asyncio.sleep(_SWEEP_S)
            at = moment(self.clock)
            self._stand_all(at)
            await self._end_slow(at.monotonic_s)
            self._close_idle(at.monotonic_s)
            self._recaller.tidy(at.monotonic_s)
            if at.monotonic_s >= heartbeat_due_s:
                heartbeat_due_s += heartbeat_s
                self._beat(at)

    def _watched_venues(self) -> set[str]:
        return {topic.feed for topic in self.hub.topics.values() if topic.sessions}

    def _close_idle(self, now_s: float) -> None:
        """Closes what nobody watches. Whoever watches a venue's channel watches its status too."""
        topics = self.hub.topics
        watched = self._watched_venues()
        idle = [
            topics[name].channel
            for name in self.hub.idle(now_s, self.settings.channel_linger_s)
            if not self._opener.is_opening(name)
        ]
        idle = [one for one in idle if not (one.kind == "status" and one.venue in watched)]
        self.bus.unsubscribe([channel.name for channel in idle])
        for channel in idle:
            self.hub.close(channel.name)
            if channel.kind == "status":
                self.states.forget(channel.venue)

    def _beat(self, at: Moment) -> None:
        """A heartbeat for each session that was sent nothing since the last time."""
        for session in self.hub.sessions:
            sent = session.sent + (session.group.sent if session.group is not None else 0)
            if sent == session.last_sent:
                session.heartbeats += 1
                session.say(Heartbeat(session.heartbeats, at.utc_us), at.monotonic_s)
                sent += 1
            session.last_sent = sent

    async def _end_slow(self, now_s: float) -> None:
        ended = 0
        for session in list(self.hub.sessions):
            if session.is_too_slow(now_s, self.settings.slow_limit_s):
                session.end(CLOSES["slow"])
            elif session.is_too_old(now_s):
                session.end(CLOSES["max_age"])
            else:
                continue
            ended += 1
            if ended % _ENDED_AT_ONCE == 0:
                # Many became too slow together; the others don't wait for all their ends.
                await asyncio.sleep(0)
