"""mosquitto with a WebSocket listener, QoS 0; ticks come by MQTT over TCP."""

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

# No limit on what waits for a subscriber, so that it may be late rather than lossy; no delay of
# small writes, no disk, no log, no statistics.
_CONFIGURATION: Final = """
user root
per_listener_settings false
allow_anonymous true
listener {port} 127.0.0.1
listener {web_port} 127.0.0.1
protocol websockets
max_queued_messages 0
max_queued_bytes 0
set_tcp_nodelay true
persistence false
sys_interval 0
log_type none
"""


@contextlib.contextmanager
def _start(ground: Ground) -> Iterator[Running]:
    port, web_port = free_port(), free_port()
    path = ground.directory / "mosquitto.conf"
    path.write_text(_CONFIGURATION.format(port=port, web_port=web_port))
    with launched("mosquitto", "-c", path) as process:
        await_listening(process, port, web_port)
        yield Running(process, web_port, str(port))


PEER: Final = Peer(
    name="mosquitto",
    missing=needs("apt install mosquitto", "mosquitto"),
    version=first_line_of("mosquitto", "-h"),
    start=_start,
    wire="mqtt",
    dialect="mqtt",
)
