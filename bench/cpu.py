"""Which core a process gets, and how much of it: CPU seconds of all threads, by the scheduler.

`/proc/PID/task/*/schedstat` counts nanoseconds; `times` would count hundredths of a second.
"""

import os
from pathlib import Path
from typing import Final

CORES: Final = os.cpu_count() or 1
SERVER_CORE: Final = 0
"""The process under test has it to itself, where there are two."""
CLIENT_CORE: Final = min(1, CORES - 1)
OTHERS_CORE: Final = min(2, CORES - 1)
"""Of Redis, publishers and the benchmark itself: the client's own, where there are only two."""

_RAN, _WAITED = 0, 1
"""Columns of schedstat."""


def pinned(core: int, *command: object) -> list[str]:
    """The command, to be run on that core alone."""
    return ["taskset", "-c", str(core), *map(str, command)]


def stay_off_the_server_core() -> None:
    """This process, and what it starts unpinned from now on."""
    os.sched_setaffinity(0, {OTHERS_CORE})


def cpu_s(*process_ids: int) -> float:
    """Seconds of CPU that all threads of these processes have had; those of ended threads not."""
    return sum(_nanoseconds(one, _RAN) for one in process_ids) / 1e9


def waited_s(*process_ids: int) -> float:
    """Seconds for which they could have run and something else had their core."""
    return sum(_nanoseconds(one, _WAITED) for one in process_ids) / 1e9


def family(process_id: int) -> list[int]:
    """A process and its descendants."""
    found = [process_id]
    for one in found:
        for thread in _threads(one):
            found.extend(map(int, (thread / "children").read_text().split()))
    return found


def _threads(process_id: int) -> list[Path]:
    return list(Path(f"/proc/{process_id}/task").iterdir())


def _nanoseconds(process_id: int, column: int) -> int:
    rows = ((one / "schedstat").read_text().split() for one in _threads(process_id))
    return sum(int(row[column]) for row in rows)
