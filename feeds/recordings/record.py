"""What a venue sends, written down frame by frame with the receive time, until enough.

Uses the one connection runtime: subscribes, reconnects and watches for silence as the live feed
does. Frames of all the venue's connections go into one recording, in the order received.
"""

import asyncio
from collections.abc import Callable, Iterable
from typing import Protocol

import msgspec

from feeds.connection import FrameTap
from feeds.errors import RecordError
from feeds.feed import TickSink
from feeds.market import Clock, Tick
from feeds.venue_feed import VenueFeed

_PROGRESS_S = 0.2


class FrameWriter(Protocol):
    """A recording that is being written."""

    def write(self, frame: str | bytes, received_ns: int) -> None:
        """Appends a frame. Raises OSError."""


class RecordProgress(msgspec.Struct):
    """How far it is."""

    frames: int = 0
    ticks: int = 0
    frame_bytes: int = 0
    """What the venue sent; the file is larger, or, compressed, smaller."""
    elapsed_s: float = 0.0
    state: str = "waiting"
    reason: str | None = None
    """Why nothing comes, where nothing does."""


class _Recorder:
    """The feed's tap and sink: writes frames, counts, and says when it is enough."""

    def __init__(self, writer: FrameWriter, bytes_max: int | None) -> None:
        self.progress = RecordProgress()
        self.enough = asyncio.Event()
        self.failure: OSError | None = None
        self._writer = writer
        self._bytes_max = bytes_max

    def offer(self, ticks: Iterable[Tick]) -> None:
        self.progress.ticks += sum(1 for _ in ticks)

    def take(self, frame: str | bytes, received_ns: int) -> None:
        if self.enough.is_set():
            return
        try:
            self._writer.write(frame, received_ns)
        except OSError as error:
            # Held until `record` raises it: within the connection it would be taken for ours.
            self.failure = error
            self.enough.set()
            return
        self.progress.frames += 1
        self.progress.frame_bytes += len(frame)
        if self._bytes_max is not None and self.progress.frame_bytes >= self._bytes_max:
            self.enough.set()


async def record(
    make_feed: Callable[[TickSink, FrameTap], VenueFeed],
    writer: FrameWriter,
    *,
    clock: Clock,
    stopping: asyncio.Event,
    duration_s: float | None = None,
    bytes_max: int | None = None,
    progress: Callable[[RecordProgress], None] = lambda _: None,
) -> RecordProgress:
    """Records until `stopping` is set, for `duration_s`, or until the venue sent `bytes_max`.

    `make_feed` gets the sink and the tap that its VenueFeed is to have (`feeds.chosen.venue_feed`).
    `progress` is called several times a second, and may flush the recording. Raises RecordError
    where either raises OSError. A venue that can't be reached is tried for as long as it takes.
    """
    recorder = _Recorder(writer, bytes_max)
    feed = make_feed(recorder, recorder.take)
    began_s = clock.monotonic_s()

    def show() -> None:
        status = feed.status()
        recorder.progress.state, recorder.progress.reason = status.state, status.reason
        recorder.progress.elapsed_s = clock.monotonic_s() - began_s
        progress(recorder.progress)

    try:
        async with asyncio.TaskGroup() as group:
            tasks = [
                group.create_task(feed.run()),
                group.create_task(_every(_PROGRESS_S, show)),
            ]
            ends = [group.create_task(event.wait()) for event in (stopping, recorder.enough)]
            await asyncio.wait(ends, timeout=duration_s, return_when=asyncio.FIRST_COMPLETED)
            for task in (*tasks, *ends):
                task.cancel()
    except* OSError as failures:
        recorder.failure = _first(failures)
    if recorder.failure is not None:
        reason = recorder.failure.strerror or recorder.failure
        raise RecordError(f"the recording can't be written: {reason}") from recorder.failure
    show()
    return recorder.progress


def _first(group: BaseExceptionGroup[OSError]) -> OSError:
    inner = group.exceptions[0]
    return _first(inner) if isinstance(inner, BaseExceptionGroup) else inner


async def _every(seconds: float, act: Callable[[], None]) -> None:
    while True:
        act()
        await asyncio.sleep(seconds)
