"""The gateway under test with one of its tricks taken out: what each is worth is measured so.

`python -m bench.fanout.without TRICK REDIS_URL WINDOW_MS [SETTINGS]`, else as bench.fanout.server.
"""

import gc
import sys
from collections.abc import Callable, Sequence
from typing import Final

import gateway.worker
from bench.fanout import server
from feeds.market.metric import Histogram
from gateway.fanout.fanout import Fanout
from gateway.fanout.group import Groups
from gateway.fanout.message import Message, Notice
from gateway.fanout.session import Sink


def _write_by_transport() -> None:
    """Each socket by its transport, one call of Python each."""

    def write_all(sinks: Sequence[Sink], frames: bytes) -> None:
        for sink in sinks:
            sink.write(frames)

    vars(gateway.worker)["write_all"] = write_all


def _send_one_by_one() -> None:
    """Each message by itself, as soon as it is there."""
    joining = Fanout.send

    def send(self: Fanout, groups: Groups, one: Message | Notice) -> None:
        joining(self, groups, one)
        self.flush(0.0)

    Fanout.send = send  # type: ignore[method-assign]


def _measure_nothing() -> None:
    """No histogram hears of anything: of flushes, of the bus, of the event loop."""

    def observe(_: Histogram, value: float, times: int = 1) -> None:
        del value, times

    setattr(Histogram, Histogram.observe.__name__, observe)


def _freeze_nothing() -> None:
    """The objects of the start are the garbage collector's like any others."""
    gc.freeze = lambda: None


TRICKS: Final[dict[str, Callable[[], None]]] = {
    "one pass of os.write": _write_by_transport,
    "joined messages": _send_one_by_one,
    "gc freeze": _freeze_nothing,
}
METRICS: Final = "metrics"
_PARTS: Final = {**TRICKS, METRICS: _measure_nothing}


def main() -> None:
    _PARTS[sys.argv.pop(1)]()
    server.main()


if __name__ == "__main__":
    main()
