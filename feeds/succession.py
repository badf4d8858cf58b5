"""One share of a venue's subscriptions: a line that leads, and the next one before it goes.

Make before break: when the venue announces the end of a connection, or its known lifetime is
nearly over, the next one is opened and gives data before the old one is left. What can't be
opened is tried again with backoff, and the old one is kept to its end.
"""

import asyncio
import contextlib
import logging
from collections.abc import Callable
from random import Random
from typing import Protocol

from feeds.backoff import Backoff
from feeds.overlap import Overlap
from feeds.settings import ConnectionSettings

_log = logging.getLogger(__name__)

_RENEWED_FROM, _RENEWED_TO = 0.90, 0.97
"""Of a known lifetime; anything between, so that connections opened together part."""


class Line(Protocol):
    """One socket, from opening it to its end."""

    overlap: Overlap | None
    """Where to tell what it says while there are two of them."""
    leads: bool
    """Whether what it says is passed on; else it waits in `overlap`."""
    leaving: str | None
    """Why the venue is about to end it, once it has announced that."""

    @property
    def has_ended(self) -> bool:
        """Or could not be opened."""

    @property
    def gives_data(self) -> bool:
        """All was asked for, and something came."""

    @property
    def is_steady(self) -> bool:
        """It has given data for so long that earlier failures are forgotten."""

    async def run(self) -> None:
        """Returns at its end, also of its failures."""

    def lead(self) -> None:
        """What waits in `overlap` is passed on, and from now on all that it says."""

    def complain(self) -> None:
        """Tells the operator and subscribers that it ended."""


class Succession:
    """Runs one line after the other, for a while two at a time. All seconds are the loop's."""

    def __init__(
        self,
        venue: str,
        next_line: Callable[[], Line],
        settings: ConnectionSettings,
        random: Random,
        *,
        turned: asyncio.Event,
        lifetime_s: float | None = None,
        may_overlap: bool = True,
    ) -> None:
        """Lines set `turned` whenever one of their properties has changed. `may_overlap` False:
        the old one is left before the next is opened."""
        self._venue = venue
        self._next_line = next_line
        self._settings = settings
        self._random = random
        self._turned = turned
        self._lifetime_s = lifetime_s
        self._may_overlap = may_overlap
        self._backoff = Backoff(settings.backoff_first_s, settings.backoff_max_s, random)
        self._leading: Line | None = None
        self._coming: Line | None = None
        self._tasks: dict[int, asyncio.Task[None]] = {}
        """By the `id` of the leading and the coming line."""
        self._open_from_s = 0.0
        """No line is opened before."""
        self._renew_from_s: float | None = None
        self._change_from_s: float | None = None
        """Two have said the same for long enough; None: not both speak yet."""
        self._is_going = False
        """The leading one is to be followed by another."""
        self._has_complained = False
        """Of a next line that does not come."""

    async def run(self) -> None:
        """Until cancelled."""
        loop = asyncio.get_running_loop()
        async with asyncio.TaskGroup() as group:
            while True:
                self._turned.clear()
                due_s = self._step(group, loop.time())
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout_at(due_s):
                        await self._turned.wait()

    def _step(self, group: asyncio.TaskGroup, now_s: float) -> float | None:
        """Does all that is due; returns when more will be, should nothing happen before."""
        if self._coming is not None and self._coming.has_ended:
            self._give_up(self._coming, now_s)
        if self._leading is not None and self._leading.has_ended:
            self._bury(self._leading, now_s)
        if self._leading is None:
            if now_s < self._open_from_s:
                return self._open_from_s
            self._leading = self._open(group, now_s)
        if not self._notices_the_end(self._leading, now_s):
            return self._renew_from_s
        if not self._may_overlap:
            self._leave(self._leading)
            self._leading = None
            return max(now_s, self._open_from_s)
        if self._coming is not None:
            return self._change_over(self._leading, self._coming, now_s)
        if now_s >= self._open_from_s:
            overlap = Overlap(self._settings.overlap_ticks_max)
            self._leading.overlap = overlap
            self._coming = self._open(group, now_s, overlap)
            return None
        return self._open_from_s

    def _open(self, group: asyncio.TaskGroup, now_s: float, overlap: Overlap | None = None) -> Line:
        line = self._next_line()
        line.overlap, line.leads = overlap, overlap is None
        self._tasks[id(line)] = group.create_task(line.run(), name=self._venue)
        if overlap is None:
            self._begins_to_lead(now_s)
        return line

    def _begins_to_lead(self, now_s: float) -> None:
        self._is_going = self._has_complained = False
        self._renew_from_s = self._change_from_s = None
        if self._lifetime_s is not None:
            share = self._random.uniform(_RENEWED_FROM, _RENEWED_TO)
            self._renew_from_s = now_s + self._lifetime_s * share

    def _notices_the_end(self, leading: Line, now_s: float) -> bool:
        """Whether the next one is wanted. What leaves before it was steady is not met at once: a
        venue that throws us out right away must not be stormed."""
        is_old = self._renew_from_s is not None and now_s >= self._renew_from_s
        if not self._is_going and (leading.leaving is not None or is_old):
            self._is_going = True
            self._wait(leading, now_s, is_announced=True)
        return self._is_going

    def _change_over(self, leading: Line, coming: Line, now_s: float) -> float | None:
        if not coming.gives_data:
            return None
        if self._change_from_s is None:
            self._change_from_s = now_s + self._settings.overlap_s
        assert coming.overlap is not None
        if now_s < self._change_from_s and not coming.overlap.is_full:
            return self._change_from_s
        self._leave(leading)
        self._promote(coming, now_s)
        return self._renew_from_s

    def _promote(self, coming: Line, now_s: float) -> None:
        self._leading, self._coming = coming, None
        self._begins_to_lead(now_s)
        coming.lead()

    def _bury(self, leading: Line, now_s: float) -> None:
        """It ended before it was left; the coming one leads, whether it gives data yet or not."""
        del self._tasks[id(leading)]
        self._leading = None
        coming = self._coming
        if coming is None or not coming.gives_data:
            leading.complain()
        if coming is not None:
            self._promote(coming, now_s)
        elif not self._is_going:
            self._wait(leading, now_s)

    def _give_up(self, coming: Line, now_s: float) -> None:
        """The next one could not be opened, or ended before it led."""
        del self._tasks[id(coming)]
        self._coming = self._change_from_s = None
        self._open_from_s = now_s + self._backoff.next_pause_s()
        if self._leading is not None:
            self._leading.overlap = None
        if not self._has_complained:
            self._has_complained = True
            _log.warning(
                "%s is about to end a connection, and the next can't be had yet; the old one is"
                " kept while it lasts",
                self._venue,
            )

    def _wait(self, ended: Line, now_s: float, *, is_announced: bool = False) -> None:
        if ended.is_steady:
            self._backoff.reset()
        at_once = ended.is_steady and is_announced
        self._open_from_s = now_s + (0.0 if at_once else self._backoff.next_pause_s())

    def _leave(self, line: Line) -> None:
        """It closes its socket, while the next one already speaks."""
        line.overlap = None
        line.leads = False
        self._tasks.pop(id(line)).cancel()
