"""nats-server with its WebSocket listener; ticks come by its own protocol over TCP."""

import contextlib
from collections.abc import Iterator
from typing import Final

from bench.peers.peer import (
    Ground,
    Peer,
    Running,
    await_listening,
    first_line_of,
    free_port,
    launched,
    needs,
)

# Neither TLS, compression nor logs. One core by its affinity, which is Go's GOMAXPROCS too.
# max_pending is the default; what a subscriber may owe is far less here.
_CONFIGURATION: Final = """
listen: 127.0.0.1:{port}
max_connections: 100000
websocket {{ listen: "127.0.0.1:{web_port}", no_tls: true, compression: false }}
"""


@contextlib.contextmanager
def _start(ground: Ground) -> Iterator[Running]:
    port, web_port = free_port(), free_port()
    path = ground.directory / "nats.conf"
    path.write_text(_CONFIGURATION.format(port=port, web_port=web_port))
    with launched("nats-server", "-c", path, "-l", ground.directory / "log") as process:
        await_listening(process, port, web_port)
        yield Running(process, web_port, str(port))


PEER: Final = Peer(
    name="nats",
    missing=needs("apt install nats-server", "nats-server"),
    version=first_line_of("nats-server", "--version"),
    start=_start,
    wire="nats",
    dialect="nats",
)
