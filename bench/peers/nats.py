"""nats-server with its WebSocket listener; ticks come by its own protocol over TCP."""

from typing import Final

from bench.peers.peer import Peer, Ports, by_configuration, first_line_of, needs

# Neither TLS, compression nor logs. One core by its affinity, which is Go's GOMAXPROCS too.
# max_pending is the default; what a subscriber may owe is far less here.
_CONFIGURATION: Final = """
listen: 127.0.0.1:{port}
max_connections: 100000
websocket {{ listen: "127.0.0.1:{web_port}", no_tls: true, compression: false }}
"""


def _configuration(ports: Ports) -> str:
    return _CONFIGURATION.format(port=ports.publish, web_port=ports.subscribe)


PEER: Final = Peer(
    name="nats",
    missing=needs("apt install nats-server", "nats-server"),
    version=first_line_of("nats-server", "--version"),
    start=by_configuration(_configuration, "nats-server", "-l", "log", "-c"),
    wire="nats",
    dialect="nats",
)
