"""Centrifugo in memory; ticks come by its HTTP API, pipelined on one connection.

Written after the documentation of version 6 (centrifugal.dev), whose JSON protocol over WebSocket
the load client speaks. There is no package of it: it runs where its binary is found on PATH.
"""

import json
from typing import Final

from bench.peers.peer import Peer, Ports, by_configuration, first_line_of, needs

_QUEUE_BYTES: Final = 64 << 20


def _configuration(ports: Ports) -> str:
    """Nobody has to show a token; no history, no presence, no log; whoever is late may be so.

    "trade" is what its names of channels have before the first colon: a namespace.
    """
    told = {
        "http_server": {"address": "127.0.0.1", "port": str(ports.publish)},
        "http_api": {"key": "bench"},
        "client": {
            "insecure": True,
            "allowed_origins": ["*"],
            "channel_limit": 1_000,
            "queue_max_size": _QUEUE_BYTES,
        },
        "channel": {
            "namespaces": [
                {
                    "name": "trade",
                    "allow_subscribe_for_client": True,
                    "allow_subscribe_for_anonymous": True,
                }
            ]
        },
        "log": {"level": "none"},
    }
    return json.dumps(told)


PEER: Final = Peer(
    name="centrifugo",
    missing=needs("its binary on PATH, from github.com/centrifugal/centrifugo", "centrifugo"),
    version=first_line_of("centrifugo", "version"),
    start=by_configuration(_configuration, "centrifugo", "--config", ports=1),
    wire="centrifugo",
    dialect="centrifugo",
    path="/connection/websocket",
)
