"""What Redis is asked while a crowd comes back: counted by Redis itself, and seen by MONITOR."""

import threading
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import msgspec
from redis import Redis
from redis.exceptions import ConnectionError as RedisConnectionError

_READING: Final = "XREVRANGE"
WINDOW_S: Final = 0.1


class Readings(msgspec.Struct, frozen=True):
    """Of channels' streams."""

    calls: int
    """By INFO commandstats."""
    channels: int
    most_in_window: int
    """Of one channel within any 100 ms."""
    per_channel_and_window: float
    """On average, from the first reading to the last."""


class StreamReadings:
    """Listens to what one Redis is asked."""

    def __init__(self, path: str) -> None:
        self._redis = Redis(unix_socket_path=path)
        self._before = self._calls()
        self._times: dict[str, list[float]] = defaultdict(list)
        self._monitor = self._redis.monitor()  # type: ignore[no-untyped-call]

    @contextmanager
    def watching(self) -> Iterator[None]:
        with self._monitor:
            thread = threading.Thread(target=self._watch, daemon=True)
            thread.start()
            yield
        # The connection is closed: the thread ends with it.
        thread.join(timeout=5)

    def told(self) -> Readings:
        calls = self._calls() - self._before
        self._redis.close()
        every = [time_s for times in self._times.values() for time_s in times]
        windows = max(1.0, (max(every) - min(every)) / WINDOW_S) if every else 1.0
        channels = len(self._times)
        return Readings(
            calls=calls,
            channels=channels,
            most_in_window=max(map(most_within, self._times.values()), default=0),
            per_channel_and_window=calls / max(1, channels) / windows,
        )

    def _calls(self) -> int:
        stats = self._redis.info("commandstats")
        return int(stats.get(f"cmdstat_{_READING.lower()}", {}).get("calls", 0))

    def _watch(self) -> None:
        try:
            for asked in self._monitor.listen():
                words = asked["command"].split(" ", 2)
                if words[0].upper() == _READING:
                    self._times[words[1]].append(asked["time"])
        except (RedisConnectionError, OSError, ValueError, AttributeError):
            return  # It was closed.


def most_within(times_s: list[float], window_s: float = WINDOW_S) -> int:
    """The most of sorted times that lie in any window."""
    most = first = 0
    for last, time_s in enumerate(times_s):
        while time_s - times_s[first] >= window_s:
            first += 1
        most = max(most, last - first + 1)
    return most
