"""mosquitto with a WebSocket listener, QoS 0; ticks come by MQTT over TCP."""

from typing import Final

from bench.peers.peer import Peer, Ports, by_configuration, first_line_of, needs

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


def _configuration(ports: Ports) -> str:
    return _CONFIGURATION.format(port=ports.publish, web_port=ports.subscribe)


PEER: Final = Peer(
    name="mosquitto",
    missing=needs("apt install mosquitto", "mosquitto"),
    version=first_line_of("mosquitto", "-h"),
    start=by_configuration(_configuration, "mosquitto", "-c"),
    wire="mqtt",
    dialect="mqtt",
)
