"""What keys use: messages, bytes, commands, connections. Pure.

Counted in memory, written every few seconds: a worker that dies loses what it had not written yet.
"""

from typing import Final

import msgspec

from gateway.access.plans import Plan

HOLDERS_MAX: Final = 100_000
"""With something to write, while Redis is away."""


class Traffic(msgspec.Struct):
    """Of one key, so far or since some moment."""

    messages: int = 0
    """Sent to its connections; notices and replies are messages too."""
    bytes: int = 0
    commands: int = 0
    connections: int = 0
    """Opened."""

    def told(self) -> tuple[int, int, int, int]:
        """In the order in which the script counts."""
        return self.messages, self.bytes, self.commands, self.connections

    def add(self, other: "Traffic") -> None:
        self.messages += other.messages
        self.bytes += other.bytes
        self.commands += other.commands
        self.connections += other.connections


class Connections(msgspec.Struct, frozen=True):
    """Of a key, now."""

    open: int
    limit: int | None
    """None: there is none."""


class Calls(msgspec.Struct, frozen=True):
    """To REST, in a month."""

    used: int
    limit: int | None
    """None: there is none."""


class Used(msgspec.Struct, frozen=True):
    """What a key has used in a calendar month, as it is told."""

    plan: str
    month: str
    """Like 2026-11; UTC."""
    connections: Connections
    rest: Calls
    messages: int
    """Sent to its connections; notices and replies are messages too."""
    bytes: int
    commands: int
    connections_opened: int


class Month(msgspec.Struct, frozen=True):
    """One key's use of a calendar month (UTC), and what it has open now."""

    month: str
    open_connections: int
    rest_calls: int
    traffic: Traffic

    def told(self, plan: Plan) -> Used:
        """As the command, `/v1/usage` and `tickgate keys usage` tell it."""
        return Used(
            plan.name,
            self.month,
            Connections(self.open_connections, plan.connections_max or None),
            Calls(self.rest_calls, plan.rest_per_month or None),
            self.traffic.messages,
            self.traffic.bytes,
            self.traffic.commands,
            self.traffic.connections,
        )


class Ledger:
    """What this worker has counted and not written yet, by key."""

    def __init__(self) -> None:
        self._traffic: dict[str, Traffic] = {}
        self.dropped = 0
        """Keys whose counts were given up: there were too many to remember."""

    def __len__(self) -> int:
        return len(self._traffic)

    def of(self, holder_id: str) -> Traffic:
        """To add to."""
        traffic = self._traffic.get(holder_id)
        if traffic is None:
            if len(self._traffic) >= HOLDERS_MAX:
                self._traffic.pop(next(iter(self._traffic)))
                self.dropped += 1
            traffic = self._traffic[holder_id] = Traffic()
        return traffic

    def take(self) -> dict[str, Traffic]:
        """All of it, which is written now."""
        taken, self._traffic = self._traffic, {}
        return taken

    def put_back(self, taken: dict[str, Traffic]) -> None:
        """What could not be written."""
        for holder_id, traffic in taken.items():
            self.of(holder_id).add(traffic)
