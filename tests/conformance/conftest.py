"""One echo server for all, in a process of its own; and the ways in which bytes may arrive."""

from collections.abc import Callable, Iterator

import pytest

from tests.autobahn.server import echo_server
from tests.conformance.raw_peer import RawPeer

Connect = Callable[[], RawPeer]


@pytest.fixture(scope="session")
def echo_port() -> Iterator[int]:
    with echo_server() as server:
        yield server.port


@pytest.fixture(params=[0, 1], ids=["at once", "byte by byte"])
def connect(echo_port: int, request: pytest.FixtureRequest) -> Connect:
    """Connects to the echo server; what is said comes at once, or a byte at a time."""
    return lambda: RawPeer(echo_port, piece=request.param)
