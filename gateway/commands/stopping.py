"""Being asked to end: Ctrl-C, SIGTERM, the terminal closed."""

import asyncio
import signal
from collections.abc import Callable
from typing import Final

_SIGNALS: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def on_stop(action: Callable[[], None]) -> None:
    """Calls `action` each time that the running loop's process is asked to end."""
    loop = asyncio.get_running_loop()
    for number in _SIGNALS:
        # nohup means it. An ignored SIGINT does not: shells do that to every background job.
        if number != signal.SIGHUP or signal.getsignal(number) != signal.SIG_IGN:
            loop.add_signal_handler(number, action)


def stopping_event() -> asyncio.Event:
    """Set when the running loop's process is asked to end."""
    stopping = asyncio.Event()
    on_stop(stopping.set)
    return stopping
