"""How what waits of a channel becomes less: the newest message for those before it, which it counts
(conflate), a notice of what is lost (gap), or the end of the session (close). Pure.
"""

from collections.abc import Mapping, Sequence
from itertools import groupby
from operator import attrgetter

from feeds.market.channel import OnLag
from gateway.fanout.backlog import Backlog, Entry
from gateway.fanout.counts import Counts
from gateway.fanout.flush import Flush, Section, sections_of
from gateway.fanout.message import Message, Notice
from gateway.fanout.subscription import Subscription
from gateway.protocol import By, EncodingName


class Merger:
    """Of one session's backlog. Times are monotonic seconds, handed in."""

    __slots__ = ("_backlog", "_channels", "_counts", "_encoding", "must_close")

    def __init__(
        self,
        backlog: Backlog,
        encoding: EncodingName,
        counts: Counts,
        channels: Mapping[str, Subscription],
    ) -> None:
        self._backlog = backlog
        self._encoding = encoding
        self._counts = counts
        self._channels = channels
        self.must_close = False
        """A subscription with `on_lag: close` would have lost something."""

    def merge(self, message: Message, on_lag: OnLag, now_s: float) -> Entry:
        """Into the entry that waits for it, or one of its own; the entry."""
        entry = self._backlog.open_entry(message.channel)
        # A subscription that has changed its `on_lag` meanwhile begins an entry of its own.
        if entry is None or entry.message is None or entry.on_lag != on_lag:
            entry = Entry.of_message(message, on_lag, now_s)
            self._backlog.append(entry)
        elif on_lag == "gap":
            entry.message = message
        else:
            entry.message = entry.message.merged(message)
            self._counts.conflated += message.count
        return entry

    def overwrite(
        self,
        message: Message,
        on_lag: OnLag,
        now_s: float,
        by: By = "slow",
        *,
        first_lost: int = 0,
    ) -> None:
        """`first_lost`: the message ends a gap already, that began there and is counted."""
        if on_lag == "close":
            self.must_close = True
            return
        entry = self.merge(message, on_lag, now_s)
        if on_lag == "gap":
            entry.first_lost = entry.first_lost or first_lost or message.before + 1
            entry.last_lost = message.seq
            entry.by = by
            if not first_lost:
                self._counts.missing_by[by] += message.count

    def overwrite_flushes(self, flushes: Sequence[Flush], now_s: float) -> None:
        """Flushes in a row; where a whole window of them is there, as it was put together once."""
        for window, found in groupby(flushes, key=attrgetter("window")):
            some = list(found)
            if window.is_closed and len(some) == window.flushes:
                self._overwrite_sections(window.sections(), now_s)
            else:
                batch = [one for flush in some for one in flush.batch]
                self._overwrite_sections(sections_of(batch), now_s)

    def _overwrite_sections(self, sections: Sequence[Section], now_s: float) -> None:
        for section in sections:
            if isinstance(section, Notice):
                frame = section.frame(self._encoding)
                self._backlog.append(Entry.of_frame(frame, now_s, section.seals))
            elif (subscription := self._channels.get(section.channel)) is not None:
                on_lag = subscription.on_lag
                # What a gap names is not told, so that its trades need not be added up.
                joined = section.told() if on_lag == "gap" else section.summed()
                self.overwrite(joined, on_lag, now_s)

    def compact(self) -> list[Flush]:
        """All but the newest flushes, which what is late follows."""
        waiting = self._backlog.moved_out()
        flushes: list[Flush] = []
        put_s = 0.0
        for entry in waiting:
            if entry.flush is not None:
                put_s = put_s if flushes else entry.put_s
                flushes.append(entry.flush)
                continue
            self.overwrite_flushes(flushes, put_s)
            flushes = []
            if entry.message is not None:
                self.overwrite(
                    entry.message, entry.on_lag, entry.put_s, first_lost=entry.first_lost
                )
            else:
                self._backlog.append(entry)
        return flushes

    def take_apart(self) -> None:
        """Of a flush each message for itself: from now on single channels are merged or dropped."""
        if not self._backlog.flushes:
            return
        waiting = self._backlog.moved_out()
        for entry in waiting:
            if entry.flush is not None:
                self._append_apart(entry.flush, entry.put_s)
            else:
                self._backlog.append(entry)
                if (
                    entry.message is not None
                    and waiting.open_entry(entry.message.channel) is not entry
                ):
                    self._backlog.seal(entry.message.channel)

    def _append_apart(self, flush: Flush, put_s: float) -> None:
        for one in flush.batch:
            if isinstance(one, Notice):
                frame = one.frame(self._encoding)
                self._backlog.append(Entry.of_frame(frame, put_s, one.seals))
            elif (subscription := self._channels.get(one.channel)) is not None:
                self._backlog.append(Entry.of_message(one, subscription.on_lag, put_s))
                self._backlog.seal(one.channel)
