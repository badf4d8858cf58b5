"""What a session's commands do: decoded command in, replies out. One per connection.

Knows the hub through the worker; knows no socket and no encoding.
"""

import asyncio
from collections.abc import Sequence

import msgspec

from feeds.market import Channel
from gateway.access.limits import Gcra
from gateway.access.script_calls import Unanswered
from gateway.errors import CLOSES, CommandError
from gateway.fanout.comeback import Answer, Comeback, Fate
from gateway.fanout.rates import RATES
from gateway.fanout.session import Session
from gateway.fanout.subscription import Subscription, subscription_to
from gateway.fanout.topic import Topic
from gateway.protocol import (
    Accepted,
    Ack,
    Auth,
    Command,
    CommandId,
    Error,
    List,
    Listing,
    Ping,
    Pong,
    Rejected,
    Subscribe,
    Unsubscribe,
    Usage,
    UsageReport,
)
from gateway.worker import Worker

_HINTS_MAX = 3
"""A hint among 3,000 symbols takes 15 ms, and everyone on this worker waits for it."""
_HOLD_LEAST_S = 0.05
"""A refusal costs as much as an answer; so there are 20 a second at most, however many ask."""
_HOLD_MOST_S = 0.25
"""Its goodbye is heard only afterwards."""


class Conversation:
    """One session's side of the protocol."""

    def __init__(self, session: Session, worker: Worker) -> None:
        self._session = session
        self._worker = worker
        self._too_many: Gcra | None = None  # made with the first refusal

    async def answer(self, command: Command) -> None:
        """Carries a command out and replies. A refusal is a reply too."""
        session = self._session
        if session.closing is not None:
            return
        session.traffic.commands += 1
        wait_s = await self._worker.holders.limits.command_wait_s(session.holder, session.plan)
        if session.closing is not None:
            return
        if wait_s:
            after_ms = int(wait_s * 1_000) + 1
            self.refuse(command.id, CommandError("rate_limited", after_ms=after_ms))
            await self._hold_back(wait_s)
            return
        try:
            await self._carry_out(command)
        except CommandError as error:
            self.refuse(command.id, error)

    def refuse(self, command_id: CommandId, error: CommandError) -> None:
        row = error.row
        self._worker.counts.refusals[row.code] += 1
        reply = Error(command_id, row.code, error.detail, row.retry, error.after_ms)
        self._session.say(reply, self._worker.clock.monotonic_s())

    async def _hold_back(self, wait_s: float) -> None:
        """Lets one who asks too much wait for its next turn; ends one who goes on and on.

        Nothing more of it is read meanwhile: what it goes on saying waits in its own kernel.
        """
        if self._too_many is None:
            most = self._worker.settings.refused_commands_max
            self._too_many = Gcra(most / 60, most)
        if self._too_many.wait_s(self._worker.clock.monotonic_s()):
            self._session.end(CLOSES["rate"])
        else:
            await asyncio.sleep(min(max(wait_s, _HOLD_LEAST_S), _HOLD_MOST_S))

    async def _carry_out(self, command: Command) -> None:
        session, now_s = self._session, self._worker.clock.monotonic_s()
        match command:
            case Subscribe():
                what = "resume" if command.since else "subscribe"
                count = len(command.channels)
                with self._worker.spans.span(what, session=session.id, channels=count):
                    await self._subscribe(command)
            case Unsubscribe():
                session.say(self._unsubscribe(command), now_s)
            case List():
                session.say(self._list(command), now_s)
            case Ping():
                session.say(Pong(command.id, self._worker.clock.now_ns() // 1_000), now_s)
            case Usage():
                await self._usage(command)
            case Auth():
                raise CommandError("already_authenticated")

    async def _usage(self, command: Usage) -> None:
        session = self._session
        try:
            month = await self._worker.holders.usage(session.holder.id)
        except Unanswered:
            raise CommandError("usage_unavailable") from None
        report = UsageReport(command.id, month.told(session.plan))
        session.say(report, self._worker.clock.monotonic_s())

    async def _subscribe(self, command: Subscribe) -> None:
        asked_s = self._worker.clock.monotonic_s()
        self._check_count(command.channels)
        if command.rate not in RATES:
            raise CommandError("bad_rate", f"the rates are {', '.join(RATES)}")
        plan = self._session.plan
        command = msgspec.structs.replace(command, rate=plan.served_rate(command.rate))
        await self._worker.look_up(command.channels)
        wanted, err = self._resolved(command.channels)
        self._check_room(wanted)
        await self._worker.open(wanted)
        comeback = Comeback(command.since or {}, plan.history_max)
        await self._catch_up(wanted, comeback, asked_s)
        await self._recall(wanted, comeback)
        if self._session.closing is not None:
            return
        # From here on nothing awaits: the ack's positions are where the data goes on from.
        wanted, unopened = self._opened(wanted)
        answers, late = self._answers(wanted, command, comeback)
        err += unopened + late
        had = set(self._session.channels)
        now_s = self._worker.clock.monotonic_s()
        topics = self._join([one for one in wanted if one.name in answers], command, now_s)
        ok = [self._accepted(topic, answers[topic.channel.name]) for topic in topics]
        self._worker.counts.refusals.update(rejected.code for rejected in err)
        self._session.say(Ack(command.id, ok, err), now_s)
        for topic in topics:
            self._tell(
                topic, answers[topic.channel.name], now_s, is_new=topic.channel.name not in had
            )

    async def _catch_up(
        self, wanted: Sequence[Channel], comeback: Comeback, asked_s: float
    ) -> None:
        """One who comes from another worker may have heard more than this one: Redis knows."""
        topics = self._worker.hub.topics
        here = [topics[channel.name] for channel in wanted if self._worker.is_open(channel)]
        unheard = [topic for topic in comeback.unheard(here) if topic.read_s < asked_s]
        if unheard:
            await self._worker.catch_up([topic.channel.name for topic in unheard])
            comeback.unread.update(one.channel.name for one in unheard if one.read_s < asked_s)

    async def _recall(self, wanted: Sequence[Channel], comeback: Comeback) -> None:
        """Has read what one who comes back has missed, where it isn't at hand."""
        topics = self._worker.hub.topics
        readings = comeback.readings(
            topics[channel.name] for channel in wanted if self._worker.is_open(channel)
        )
        if readings:
            await self._worker.recall(readings)
        comeback.began(self._session.outbox.waiting_bytes)

    def _answers(
        self, wanted: Sequence[Channel], command: Subscribe, comeback: Comeback
    ) -> tuple[dict[str, Answer | None], list[Rejected]]:
        """Of each channel that can be joined now: what one who comes back to it is told.

        None for one who doesn't come back; a refusal for what is to be asked again.
        """
        hub, now_s = self._worker.hub, self._worker.clock.monotonic_s()
        answers: dict[str, Answer | None] = {}
        late: list[Rejected] = []
        row = CommandError("replay_later").row
        for channel in wanted:
            topic = hub.topics[channel.name]
            rate = subscription_to(channel.promises, command).rate
            answer = None
            if comeback.names(channel.name):
                answer = comeback.answer(topic, rate, hub, now_s)
            is_later = answer is not None and answer.fate is Fate.LATER
            if is_later or not hub.can_change(topic, self._session, rate, now_s):
                late.append(Rejected(channel.name, row.code, row.text, row.retry))
            else:
                answers[channel.name] = answer
        return answers, late

    def _check_count(self, names: Sequence[str]) -> None:
        most = self._worker.settings.channels_per_command_max
        if not names:
            raise CommandError("bad_message", "channels is empty")
        if len(names) > most:
            raise CommandError("too_many_channels", f"at most {most} channels a command")

    def _check_room(self, wanted: Sequence[Channel]) -> None:
        most = self._session.plan.subscriptions_max
        new = sum(channel.name not in self._session.channels for channel in wanted)
        have = len(self._session.channels)
        if have + new > most:
            raise CommandError(
                "too_many_subscriptions", f"{have} of {most} are taken, this asks for {new} more"
            )

    def _resolved(self, names: Sequence[str]) -> tuple[list[Channel], list[Rejected]]:
        directory = self._worker.directory
        wanted: dict[Channel, None] = {}
        err: list[Rejected] = []
        for name in dict.fromkeys(names):
            try:
                wanted.update(dict.fromkeys(self._allowed(directory.named(name))))
            except CommandError as error:
                row = error.row
                wants_hint = row.code == "unknown_symbol" and len(err) < _HINTS_MAX
                hint = directory.hint(name) if wants_hint else None
                err.append(Rejected(name[:128], row.code, error.detail, row.retry, hint))
        return list(wanted), err

    def _allowed(self, channels: Sequence[Channel]) -> list[Channel]:
        """Those that the key may see; a wildcard stands for no others. Raises CommandError."""
        allowed = [channel for channel in channels if self._session.grant.allows(channel.name)]
        if channels and not allowed:
            raise CommandError("not_in_plan")
        return allowed

    def _opened(self, wanted: Sequence[Channel]) -> tuple[list[Channel], list[Rejected]]:
        """Those of the wanted that are open after all, and a refusal for each of the others."""
        error = CommandError("bus_unavailable")
        is_open = self._worker.is_open
        late = [
            Rejected(channel.name, error.row.code, error.detail, error.row.retry)
            for channel in wanted
            if not is_open(channel)
        ]
        return [channel for channel in wanted if is_open(channel)], late

    def _join(self, wanted: Sequence[Channel], command: Subscribe, now_s: float) -> list[Topic]:
        names_of: dict[Subscription, list[str]] = {}
        for channel in wanted:
            subscription = subscription_to(channel.promises, command)
            names_of.setdefault(subscription, []).append(channel.name)
        hub = self._worker.hub
        for subscription, names in names_of.items():
            hub.subscribe(self._session, names, subscription, now_s)
        return [hub.topics[channel.name] for channel in wanted]

    def _accepted(self, topic: Topic, answer: Answer | None = None) -> Accepted:
        name, rate = topic.channel.name, topic.sessions[self._session].rate
        seq = topic.place(rate).seq
        return Accepted(
            name,
            topic.epoch,
            seq if topic.epoch else None,
            rate,
            None if answer is None else answer.fate is Fate.RECOVERED,
            topic.standing.state,
        )

    def _tell(self, topic: Topic, answer: Answer | None, now_s: float, *, is_new: bool) -> None:
        """What follows the ack: what was missed, or the newest value where it is a state and not
        an event, or to one who couldn't resume."""
        name = topic.channel.name
        if answer is not None and answer.fate is Fate.RECOVERED:
            self._session.replay(name, answer.missed, now_s)
            return
        newest = topic.place(topic.sessions[self._session].rate).newest
        is_state = is_new and topic.channel.promises.newest_at_subscribe
        if newest is not None and (is_state or answer is not None):
            # Not as a message that may be conflated: its seq is the ack's own.
            self._session.replay(name, [newest], now_s)

    def _unsubscribe(self, command: Unsubscribe) -> Ack:
        self._check_count(command.channels)
        ok: list[Accepted] = []
        err: list[Rejected] = []
        now_s = self._worker.clock.monotonic_s()
        for name in dict.fromkeys(command.channels):
            matching = self._subscribed(name)
            self._worker.hub.unsubscribe(self._session, matching, now_s)
            ok += map(Accepted, matching)
            if not matching:
                row = CommandError("not_subscribed").row
                err.append(Rejected(name[:128], row.code, row.text, row.retry))
        return Ack(command.id, ok, err)

    def _subscribed(self, name: str) -> list[str]:
        """The session's subscriptions that a name, or a wildcard, means."""
        if not name.endswith(":*"):
            return [name] if name in self._session.channels else []
        return [channel for channel in self._session.channels if channel.startswith(name[:-1])]

    def _list(self, command: List) -> Listing:
        topics = self._worker.hub.topics
        held = sorted(self._session.channels)
        return Listing(command.id, [self._accepted(topics[name]) for name in held])
