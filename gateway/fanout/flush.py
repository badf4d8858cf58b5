"""What one flush brought a group, for those of it who can't take it now. Pure.

Many who are too slow at once wait for the same messages: so many flushes in a row are put together
by channel once, for all of them (100 that stalled cost 30 % of a worker's CPU when each did it for
itself: bench.fanout.stalled, 2026-11-21).
"""

from collections.abc import Sequence
from typing import Final

from gateway.fanout.message import Message, Notice

_WINDOW_MESSAGES: Final = 512


class Run:
    """What came of one channel, one message after the other; not empty."""

    __slots__ = ("_summed", "_told", "channel", "messages")

    def __init__(self, first: Message) -> None:
        self.channel = first.channel
        self.messages = [first]
        self._told: Message | None = None
        self._summed: Message | None = None

    def told(self) -> Message:
        """What stands for all of it where nobody needs to know what was in it."""
        if self._told is None:
            self._told = Message.joined(self.messages[0], self.messages[1:])
        return self._told

    def summed(self) -> Message:
        """What stands for all of it: of trades no volume is lost."""
        if self._summed is None:
            self._summed = self.messages[0].joined(self.messages[1:])
        return self._summed


Section = Run | Notice


def sections_of(batch: Sequence[Message | Notice]) -> list[Section]:
    """Each channel's messages together; a notice stays between those it came between."""
    sections: list[Section] = []
    runs: dict[str, Run] = {}
    for one in batch:
        if isinstance(one, Notice):
            sections.append(one)
            runs = {}
            continue
        run = runs.get(one.channel)
        if run is None:
            runs[one.channel] = run = Run(one)
            sections.append(run)
        else:
            run.messages.append(one)
    return sections


class Window:
    """Flushes in a row."""

    __slots__ = ("_batches", "_messages", "_messages_max", "_sections")

    def __init__(self, messages_max: int = _WINDOW_MESSAGES) -> None:
        """It is closed once it has so many."""
        self._messages_max = messages_max
        # Not its flushes, which have it: together they would wait for the garbage collector.
        self._batches: list[Sequence[Message | Notice]] = []
        self._messages = 0
        self._sections: list[Section] | None = None

    @property
    def flushes(self) -> int:
        """How many it has."""
        return len(self._batches)

    @property
    def is_closed(self) -> bool:
        """No flush will be added."""
        return self._messages >= self._messages_max

    def add(self, batch: Sequence[Message | Notice], frames: bytes) -> "Flush":
        """To one that is not closed."""
        self._batches.append(batch)
        self._messages += len(batch)
        return Flush(batch, frames, self)

    def sections(self) -> list[Section]:
        """Of one that is closed; put together once."""
        if self._sections is None:
            self._sections = sections_of([one for batch in self._batches for one in batch])
        return self._sections


class Flush:
    """Messages and notices in order, and all of them framed."""

    __slots__ = ("batch", "frames", "window")

    def __init__(self, batch: Sequence[Message | Notice], frames: bytes, window: Window) -> None:
        self.batch = batch
        self.frames = frames
        self.window = window
