"""EDGE: the ledger as the feeds process has it: a Book in a thread of its own, so that no disk ever
holds up a tick.

Append first, publish what `append` returns, and nothing else: what is told can be proven.
"""

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

from feeds.ledger.book import SEGMENT_BYTES_MAX, Book
from feeds.market import Clock, Outcome, Signal, TrackRecord

T = TypeVar("T")


class Ledger:
    """Open, and ours alone. Methods may be called from several tasks; they take their turns."""

    def __init__(self, book: Book, thread: ThreadPoolExecutor) -> None:
        self._book = book
        self._thread = thread

    @classmethod
    async def open(
        cls,
        path: Path | str,
        *,
        simulated: bool,
        clock: Clock,
        segment_bytes_max: int = SEGMENT_BYTES_MAX,
    ) -> "Ledger":
        """Reads and checks its end: some thousand entries, however many there are.

        Makes one where there is none. `segment_bytes_max`: a file of that size is followed by
        another. Raises LedgerError: it can't be read or written, another
        process has it, it is of the other kind (`simulated`), or an entry is wrong.
        """
        thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="ledger")
        opening = thread.submit(
            Book.open,
            Path(path),
            simulated=simulated,
            clock=clock,
            segment_bytes_max=segment_bytes_max,
        )
        try:
            book = await asyncio.wrap_future(opening)
        except BaseException:
            # Cancelled, it may be open a moment later.
            opening.add_done_callback(
                lambda done: None if done.cancelled() or done.exception() else done.result().close()
            )
            thread.shutdown(wait=False)
            raise
        return cls(book, thread)

    async def append(self, entries: Sequence[Signal | Outcome]) -> list[Signal | Outcome]:
        """What is on the disk now and was not before, in order: this may be published.

        Left out, and logged: what is there already, an outcome without a signal. Outcomes that an
        earlier call could not write come first. Raises LedgerError: nothing was written; outcomes
        are kept for the next call, signals are not.
        """
        return await self._run(lambda: self._book.append(entries))

    async def try_writing(self) -> None:
        """Whether there is room for what comes, though nothing is to be appended now. Raises
        LedgerError: there is not."""
        await self._run(self._book.try_writing)

    async def open_signals(self) -> list[Signal]:
        """Those without an outcome, oldest first."""
        return await self._run(lambda: list(self._book.open_signals))

    async def recent(self, limit: int) -> list[Signal | Outcome]:
        """The newest entries as they were appended, for `unpublished`. Raises LedgerError."""
        return await self._run(lambda: self._book.recent(limit))

    async def records(self) -> list[TrackRecord]:
        """All of them: by model, version (the newest last) and pair (first that over all)."""
        return await self._run(self._book.records)

    async def changed_records(self) -> list[TrackRecord]:
        """Those that changed since this was asked last: at first, all."""
        return await self._run(self._book.changed_records)

    async def close(self) -> None:
        """May be called again."""
        await self._run_last(self._book.close)

    async def _run(self, function: Callable[[], T]) -> T:
        return await asyncio.wrap_future(self._thread.submit(function))

    async def _run_last(self, function: Callable[[], None]) -> None:
        try:
            last = self._thread.submit(function)
        except RuntimeError:
            return  # It was shut down before.
        self._thread.shutdown(wait=False)
        await asyncio.wrap_future(last)
