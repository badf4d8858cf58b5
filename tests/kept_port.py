"""A port for a program that has to be told one: nobody else is given it before it listens."""

import contextlib
import socket
from collections.abc import Iterator


@contextlib.contextmanager
def kept_port() -> Iterator[int]:
    """Bound, and nobody listens to it: who connects is refused.

    Whoever listens with SO_REUSEADDR, as servers do, may have it by its number.
    """
    with socket.socket() as keeper:
        keeper.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        keeper.bind(("127.0.0.1", 0))
        yield int(keeper.getsockname()[1])
