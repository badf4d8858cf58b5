"""A thread that looks at something for as long as a block runs."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager


@contextmanager
def beside(watch: Callable[[threading.Event], None]) -> Iterator[None]:
    """`watch` is to return soon after the event is set."""
    over = threading.Event()
    thread = threading.Thread(target=watch, args=(over,))
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
