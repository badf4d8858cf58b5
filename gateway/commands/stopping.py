"""Being asked to end: Ctrl-C, SIGTERM, the terminal closed; or to read a file again: SIGHUP."""

import asyncio
import contextlib
import logging
import os
import signal
import sys
from collections.abc import Callable
from typing import NoReturn

from gateway.processes.child_process import hear_hang_ups


def on_stop(action: Callable[[], None], reread: Callable[[], None] | None = None) -> None:
    """Calls `action` each time that the running loop's process is asked to end.

    `reread`, where there is something to read again, is called on a SIGHUP that somebody sent: one
    that the terminal sent when it was closed still means the end.
    """
    loop = asyncio.get_running_loop()
    # An ignored SIGINT doesn't mean it: shells do that to every background job.
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, action)
    # nohup means it.
    ends = signal.getsignal(signal.SIGHUP) != signal.SIG_IGN
    if reread is not None:
        has_terminal = _has_terminal()

        def hang_up() -> None:
            nonlocal has_terminal
            had_terminal, has_terminal = has_terminal, _has_terminal()
            if has_terminal == had_terminal:
                reread()
            elif ends:
                action()

        loop.add_signal_handler(signal.SIGHUP, hang_up)
    elif ends:
        loop.add_signal_handler(signal.SIGHUP, action)
    hear_hang_ups()


def stopping_event() -> asyncio.Event:
    """Set when the running loop's process is asked to end."""
    stopping = asyncio.Event()
    on_stop(stopping.set)
    return stopping


def leave() -> NoReturn:
    """Ends the process, with status 0, and waits for no thread.

    A cancelled look-up of a name goes on in one, and closing a loop waits for it: with a name
    server that doesn't answer, for long.
    """
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError):
            stream.flush()
    logging.shutdown()
    os._exit(0)


def _has_terminal() -> bool:
    try:
        os.close(os.open("/dev/tty", os.O_RDONLY | os.O_NOCTTY))
    except OSError:
        return False
    return True
