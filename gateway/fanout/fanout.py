"""Who gets what was published since the last flush: groups of sessions, written once each. Pure.

Between two flushes nothing is sent; before a session changes its group everything is.
"""

from collections.abc import Mapping

from gateway.fanout.counts import Counts
from gateway.fanout.group import Group, GroupKey, Groups, Want, WriteAll
from gateway.fanout.message import Message, Notice
from gateway.fanout.session import Session


class Fanout:
    """All groups of this worker."""

    def __init__(self, write_all: WriteAll, counts: Counts) -> None:
        self.counts = counts
        self._write_all = write_all
        self._groups: dict[GroupKey, Group] = {}
        self._waiting: list[Group] = []
        """Groups with something to send."""

    def send(self, groups: Groups, one: Message | Notice) -> None:
        """To every session of a channel's groups, with the next flush."""
        for group in groups:
            if not group.waiting:
                self._waiting.append(group)
            group.waiting.append(one)

    def flush(self, now_s: float) -> None:
        waiting, self._waiting = self._waiting, []
        for group in waiting:
            group.flush(self._write_all, self.counts, now_s)

    def regroup(self, session: Session, places: Mapping[Want, Groups], now_s: float) -> None:
        """Puts a session among those who want the same; `places` has the groups of each want."""
        before = session.group
        key = (session.encoding, frozenset(places))
        if before is not None and before.key == key:
            return
        self.flush(now_s)
        if before is not None:
            before.remove(session)
            if not before.sessions:
                del self._groups[before.key]
        if places:
            group = self._groups.get(key)
            if group is None:
                group = self._groups[key] = Group(key, list(places.values()))
            group.add(session)
