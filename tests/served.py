"""A plain application on a port of its own, and what a client gets from it."""

import asyncio
import json
from http.client import HTTPConnection
from typing import Any, NamedTuple

import uvicorn
from starlette.applications import Starlette

from gateway.serve import listening_socket


class Answer(NamedTuple):
    status: int
    headers: dict[str, str]
    """By lower-case name."""
    body: Any


class Served:
    """Serves while entered; gives the port."""

    def __init__(self, app: Starlette) -> None:
        config = uvicorn.Config(app, ws="none", lifespan="off", log_config=None, access_log=False)
        self._server = uvicorn.Server(config)
        self._bound = listening_socket("127.0.0.1", 0)

    async def __aenter__(self) -> int:
        self._server.config.load()
        self._server.lifespan = self._server.config.lifespan_class(self._server.config)
        await self._server.startup(sockets=[self._bound])
        return int(self._bound.getsockname()[1])

    async def __aexit__(self, *_: object) -> None:
        await self._server.shutdown(sockets=[self._bound])


async def asked(
    port: int, method: str, path: str, headers: dict[str, str], body: bytes | None = None
) -> Answer:
    """The answer; its body is a text where it is no JSON."""

    def ask() -> Answer:
        connection = HTTPConnection("127.0.0.1", port, timeout=20)
        try:
            connection.request(method, path, body, headers)
            response = connection.getresponse()
            told = {name.lower(): value for name, value in response.getheaders()}
            read = response.read()
            is_json = "json" in told.get("content-type", "")
            return Answer(response.status, told, json.loads(read) if is_json else read.decode())
        finally:
            connection.close()

    return await asyncio.to_thread(ask)
