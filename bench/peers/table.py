"""PEERS: all servers that this gateway is compared with, in the order of their turns."""

from typing import Final

from bench.peers import (
    bare_c,
    centrifugo,
    mosquitto,
    nats,
    nchan,
    node_ws,
    starlette_send,
    tickgate,
    uwebsockets,
    websockets_broadcast,
)
from bench.peers.peer import Peer

REFERENCE: Final = bare_c.EACH
"""What the cost of a delivery is a multiple of."""

PEERS: Final[tuple[Peer, ...]] = (
    bare_c.EACH,
    bare_c.JOINED,
    tickgate.PEER,
    uwebsockets.PEER,
    nats.PEER,
    centrifugo.PEER,
    nchan.MEMORY,
    nchan.REDIS,
    node_ws.PEER,
    mosquitto.PEER,
    websockets_broadcast.PEER,
    starlette_send.PEER,
)
