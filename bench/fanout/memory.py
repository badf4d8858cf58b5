"""What memory a process and the kernel's sockets hold, in bytes."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final, NamedTuple

from bench.beside import beside

_KIB: Final = 1_024
_PAGE: Final = 4_096
_LOOK_EVERY_S: Final = 0.25


class Memory(NamedTuple):
    """A moment's."""

    rss: int
    """Of the process, with what it shares with others."""
    pss: int
    """The same, what is shared divided by those who share it."""
    sockets: int
    """Of all TCP buffers in this network namespace, both ends of a loopback connection."""


def memory_of(process_id: int) -> Memory:
    kept = dict(
        line.split(":", 1)
        for line in Path(f"/proc/{process_id}/smaps_rollup").read_text().splitlines()[1:]
    )
    rss, pss = (int(kept[name].split()[0]) * _KIB for name in ("Rss", "Pss"))
    return Memory(rss, pss, _socket_pages() * _PAGE)


def _socket_pages() -> int:
    """`TCP: inuse 5 orphan 0 tw 0 alloc 7 mem 1`: the last in pages."""
    for line in Path("/proc/net/sockstat").read_text().splitlines():
        if line.startswith("TCP:"):
            words = line.split()
            return int(words[words.index("mem") + 1])
    return 0


class Peak:
    """The most that was seen of each, by looking every quarter of a second."""

    def __init__(self, process_id: int) -> None:
        self.seen = memory_of(process_id)
        self._process_id = process_id

    @contextmanager
    def watching(self) -> Iterator[None]:
        with beside(self._watch):
            yield

    def _watch(self, over: threading.Event) -> None:
        while not over.wait(_LOOK_EVERY_S):
            now = memory_of(self._process_id)
            self.seen = Memory(*map(max, self.seen, now))
