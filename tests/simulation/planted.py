"""Bugs planted into the product on purpose: what a simulation must find to be worth anything."""

import asyncio
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import Any, Final
from unittest.mock import patch

from feeds.batch import Batch, Waiting
from feeds.market import Channel
from gateway.bus.bus import Bus
from gateway.bus.directory import Directory
from gateway.bus.directory_reader import DirectoryReader
from gateway.fanout import message
from gateway.fanout.comeback import Answer, Comeback, Fate
from gateway.fanout.history import Entry, History
from gateway.fanout.hub import Hub
from gateway.fanout.message import Message, TradeMessage
from gateway.fanout.outbox import Outbox
from gateway.fanout.session import Session
from gateway.fanout.tally import Tally
from gateway.fanout.topic import Topic

Plant = Callable[[], AbstractContextManager[Any]]


def _in_the_place_of(owner: object, name: str, make: Callable[[Any], Any]) -> Plant:
    """`make` is given what stood there before."""
    return lambda: patch.object(owner, name, make(getattr(owner, name)))


def _drop_newest(_: Any) -> Any:
    def drop(self: History) -> None:
        self._ring.pop()

    return drop


def _one_too_early(between: Any) -> Any:
    def told(self: History, after: int, last: int) -> list[Entry]:
        return list(between(self, max(0, after - 1), last))

    return told


def _twice(advance: Any) -> Any:
    def advanced(self: Hub, topic: Topic, publication: Any) -> bool:
        return advance(self, topic, publication) or publication.seq == topic.seq

    return advanced


def _nothing(_: Any) -> Any:
    def nothing(*_: Any) -> None:
        pass

    return nothing


def _silent_reset(_: Any) -> Any:
    def reset(self: Hub, topic: Topic, epoch: str, seq: int) -> None:
        topic.epoch, topic.seq, topic.newest = epoch, seq, None
        topic.history.begin(seq)

    return reset


def _always_in_place(put: Any) -> Any:
    def put_in_place(self: Outbox, one: Message, *rest: Any, **_: Any) -> None:
        put(self, one, *rest, in_place=True)

    return put_in_place


def _all_but_one(sum_of: Any) -> Any:
    def summed(tallies: Sequence[Tally]) -> Tally:
        return sum_of(tallies[1:] or tallies)  # type: ignore[no-any-return]

    return summed


def _without_waiting(subscribe: Any) -> Any:
    async def subscribed(self: Bus, names: Sequence[str]) -> None:
        async def later() -> None:
            await asyncio.sleep(0.05)
            await subscribe(self, names)

        asyncio.get_running_loop().create_task(later())

    return subscribed


def _stays_in_its_group(unsubscribe: Any) -> Any:
    def unsubscribed(self: Hub, *of: Any) -> None:
        with patch.object(Hub, "_regroup", _nothing(None)):
            unsubscribe(self, *of)

    return unsubscribed


def _newest_alone(_: Any) -> Any:
    def joined(self: Message, newer: Sequence[Message]) -> Message:
        return newer[-1]

    return joined


def _never(_: Any) -> Any:
    def never(*_: Any) -> bool:
        return False

    return never


def _another_name_each_time(command: Any) -> Any:
    names = iter(range(1_000_000))

    def commanded(self: Batch, sha: str, publisher: str, *rest: Any) -> Any:
        return command(self, sha, f"{publisher}{next(names)}", *rest)

    return commanded


def _unsaid(add: Any) -> Any:
    def added(self: Batch, waiting: Waiting, *rest: Any) -> Any:
        waiting.lost = 0
        return add(self, waiting, *rest)

    return added


def _of_any_epoch(_: Any) -> Any:
    def is_near(self: Comeback, topic: Topic, position: Any) -> bool:
        return bool(position.seq <= topic.seq)

    return is_near


def _knows_all(_: Any) -> Any:
    def has(self: History, after: int) -> bool:
        return True

    return has


def _ahead_is_here(answer: Any) -> Any:
    def answered(self: Comeback, topic: Topic, *rest: Any) -> Answer:
        position = self._positions[topic.channel.name]
        if position is not None and position.seq > topic.seq:
            return Answer(Fate.RECOVERED, [])
        return answer(self, topic, *rest)  # type: ignore[no-any-return]

    return answered


def _never_again(_: Any) -> Any:
    async def run(self: DirectoryReader) -> None:
        await asyncio.Event().wait()

    return run


def _all_but_the_last(named: Any) -> Any:
    def fewer(self: Directory, name: str) -> list[Channel]:
        channels: list[Channel] = named(self, name)
        return channels[:-1] if len(channels) > 2 else channels

    return fewer


def _none(_: Any) -> Any:
    def none(*_: Any) -> Sequence[Any]:
        return ()

    return none


BUGS: Final[dict[str, Plant]] = {
    "the ring drops the wrong end": _in_the_place_of(History, "_drop", _drop_newest),
    "a resume begins one too early": _in_the_place_of(History, "between", _one_too_early),
    "what is held is merged off by one": _in_the_place_of(Hub, "_advance", _twice),
    "a hole is not announced": _in_the_place_of(Hub, "_announce_gap", _nothing),
    "a new epoch is not announced": _in_the_place_of(Hub, "_reset", _silent_reset),
    "the outbox conflates what is wanted whole": _in_the_place_of(Outbox, "put", _always_in_place),
    "a tally loses a trade": _in_the_place_of(message, "sum_of", _all_but_one),
    "history is read before the subscription holds": _in_the_place_of(
        Bus, "subscribe", _without_waiting
    ),
    "one who unsubscribes stays in the group": _in_the_place_of(
        Hub, "unsubscribe", _stays_in_its_group
    ),
    "a conflated message forgets its number": _in_the_place_of(Message, "joined", _newest_alone),
    "a conflated trade forgets the others": _in_the_place_of(TradeMessage, "joined", _newest_alone),
    "a hole is never mended": _in_the_place_of(Topic, "is_torn_before", _never),
    "a change of rate seals nothing": _in_the_place_of(Session, "seal", _nothing),
    "a position of another epoch is resumed": _in_the_place_of(Comeback, "_is_near", _of_any_epoch),
    "a batch that is sent again is another one": _in_the_place_of(
        Batch, "command", _another_name_each_time
    ),
    "a worker's ring passes for all that there was": _in_the_place_of(History, "has", _knows_all),
    "what another worker has told passes for told here": _in_the_place_of(
        Comeback, "answer", _ahead_is_here
    ),
    "a worker that is behind takes its word for the last": _in_the_place_of(
        Comeback, "unheard", _none
    ),
    "the directory is never read again": _in_the_place_of(DirectoryReader, "run", _never_again),
    "a wildcard leaves out its last channel": _in_the_place_of(
        Directory, "named", _all_but_the_last
    ),
    "what a feed drops is not announced": _in_the_place_of(Batch, "add", _unsaid),
}
