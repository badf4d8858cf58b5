"""An echo server on our protocol class, its limits lifted: what conformance is measured on.

`python -m tests.autobahn.echo` tells its port and serves until SIGTERM.
"""

from functools import partial

import uvicorn
from uvicorn._types import ASGIReceiveCallable, ASGISendCallable, Scope

from gateway.serve import listening_socket
from gateway.server.half_open import HalfOpen
from gateway.server.http import RequestProtocol
from gateway.server.rules import RuledProtocol
from gateway.server.websocket import StreamProtocol

MESSAGE_BYTES_MAX = 32 * 2**20
"""Autobahn sends 16 MiB at once."""


class _LiftedRules(RuledProtocol):
    """The suite sends 65,536 fragments in one message. Nobody here ever shows a key."""

    strangers_frames_per_s = 10**9
    strangers_frames_burst = 10**9
    fragments_max = 10**9


class EchoProtocol(StreamProtocol):
    """Its limits lifted."""

    rules_class = _LiftedRules


async def echo(scope: Scope, receive: ASGIReceiveCallable, send: ASGISendCallable) -> None:
    """The ASGI application. Says back every message as it is."""
    if scope["type"] == "http":
        await receive()
        await send({"type": "http.response.start", "status": 404, "headers": []})
        await send({"type": "http.response.body", "body": b"", "more_body": False})
        return
    assert scope["type"] == "websocket"
    await receive()
    await send({"type": "websocket.accept", "subprotocol": None, "headers": []})
    while (event := await receive())["type"] == "websocket.receive":
        text, data = event.get("text"), event.get("bytes")
        if text is not None:
            await send({"type": "websocket.send", "text": text, "bytes": None})
        else:
            await send({"type": "websocket.send", "bytes": data, "text": None})


def configured() -> uvicorn.Config:
    """As gateway/serve.py has it, but for what is lifted."""
    return uvicorn.Config(
        echo,
        http=partial(RequestProtocol, half_open=HalfOpen(crowd=64, most=4_096)),  # type: ignore[arg-type]
        loop="uvloop",
        ws=EchoProtocol,
        ws_max_size=MESSAGE_BYTES_MAX,
        ws_ping_interval=None,
        ws_per_message_deflate=False,
        lifespan="off",
        access_log=False,
        log_config=None,
        log_level="warning",
        timeout_graceful_shutdown=1,
    )


def main() -> None:
    bound = listening_socket("127.0.0.1", 0)
    bound.listen(1_024)
    print(bound.getsockname()[1], flush=True)
    uvicorn.Server(configured()).run(sockets=[bound])


if __name__ == "__main__":
    main()
