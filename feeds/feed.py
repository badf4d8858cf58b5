"""What the feeds process runs: anything that makes ticks, and what it makes them for."""

import asyncio
from collections.abc import Iterable, Sequence
from typing import Protocol

from feeds.market import Channel, Status, Tick


class TickSink(Protocol):
    """Where ticks go: the Publisher, or whoever counts them."""

    def offer(self, ticks: Iterable[Tick]) -> None:
        """Takes ticks in order. Never blocks; bounded."""


class Bus(TickSink, Protocol):
    """The Publisher, as those see it who can wait for it and who find channels as they go."""

    def register(self, channels: Iterable[Channel]) -> None:
        """Lets gateways know of channels before their first tick."""

    async def drain(self) -> None:
        """Returns when nothing is held or on its way: perhaps never, if Redis is gone."""


class Feed(Protocol):
    """A venue held on to, a generated market, a recording that plays."""

    @property
    def name(self) -> str:
        """The venue in the names of its channels."""

    @property
    def channels(self) -> Sequence[Channel]:
        """All that it is going to publish, as far as that is known beforehand."""

    @property
    def changed(self) -> asyncio.Event:
        """Set when `status` says something new; whoever reports it clears it."""

    def status(self) -> Status:
        """How it does now."""

    async def run(self) -> None:
        """Makes ticks until cancelled, or until there are no more."""


class FeedCounts:
    """What happened at one venue since the start, all its connections together."""

    def __init__(self) -> None:
        self.frames = 0
        self.ticks = 0
        self.parse_errors = 0
        self.refusals = 0
        self.reconnects = 0
        """Attempts after the first one of each connection."""
        self.crashes = 0
        """Connections that ended by a fault of ours."""
