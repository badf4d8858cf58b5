"""One request that was let in and counted: who asks, what they may see, what they ask for."""

from collections.abc import Awaitable, Callable, Sequence
from typing import Final, NamedTuple, TypeVar

import msgspec

from feeds.market import Channel, Clock
from gateway.access.grants import Grant
from gateway.access.keys import Holder
from gateway.access.plans import Plan
from gateway.access.tickets import Tickets
from gateway.access.usage import Month
from gateway.bus.directory import Directory
from gateway.errors import CommandError
from gateway.rest.cursor import CursorError, decode
from gateway.rest.readings import Readings
from gateway.web.problems import Refusal

NAMES_MAX: Final = 50
"""As of a command of the stream."""

T = TypeVar("T")


class Sources(NamedTuple):
    """What answers are made of. One worker's."""

    directory: Directory
    look_up: Callable[[Sequence[str]], Awaitable[None]]
    """Reads the directory again, where it lacks a name."""
    readings: Readings
    tickets: Tickets
    usage_of: Callable[[str], Awaitable[Month]]
    """Raises Unanswered."""
    feed_silence_limit_s: float
    clock: Clock


class Call(NamedTuple):
    """`query` is of the type that the route's row names."""

    sources: Sources
    holder: Holder
    plan: Plan
    grant: Grant
    path: str
    pairs: Sequence[tuple[str, str]]
    """The query as it came."""

    @property
    def listing(self) -> str:
        """What a cursor of this call is good for: the same question, whatever the page's size."""
        asked = sorted(pair for pair in self.pairs if pair[0] not in ("cursor", "limit"))
        return msgspec.json.encode((self.path, asked)).decode()

    def place(self, cursor: str | None, type_: type[T]) -> T | None:
        """Where to go on; None: at the beginning. Raises Refusal."""
        if cursor is None:
            return None
        try:
            return decode(self.listing, cursor, type_)
        except CursorError as error:
            detail = f"use `next` as it is, with the same query: {error}"
            raise Refusal("bad_cursor", detail) from error

    async def channel(self, kind: str, name: str | None, *parts: str | None) -> Channel:
        """The one that is asked for, by its name or by its parts. Raises Refusal."""
        if name is not None and any(parts):
            raise Refusal("bad_parameter", "name the channel, or its parts, not both")
        if name is None:
            if not all(parts):
                raise Refusal("bad_parameter", "name the channel, or all of its parts")
            venue, symbol, *variant = parts
            name = f"{'.'.join((kind, *map(str, variant)))}:{venue}:{symbol}"
        if name.partition(":")[0].partition(".")[0] != kind:
            raise Refusal("bad_channel", f"here are only channels of the kind {kind}")
        await self.sources.look_up([name])
        try:
            found = self.sources.directory.named(name)
        except CommandError as error:
            hint = self.sources.directory.hint(name)
            more = f"; did you mean {hint}?" if hint and self.grant.allows(name) else ""
            raise Refusal(error.row.code, error.detail + more) from error
        if len(found) > 1 or found[0].name != name:
            raise Refusal("bad_channel", "name one channel: no * here")
        if not self.grant.allows(name):
            raise Refusal("not_in_plan", f"the key may not see {name}")
        return found[0]
