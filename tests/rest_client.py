"""A client of REST for tests: asks a running gateway, and turns pages."""

from collections.abc import Mapping
from typing import Any
from urllib.parse import urlencode

from tests.gateway_server import GatewayServer
from tests.served import Answer, asked


async def rest(
    gateway: GatewayServer,
    path: str,
    *,
    key: str | None = None,
    headers: Mapping[str, str] | None = None,
    **query: object,
) -> Answer:
    """`key`: None for the gateway's own."""
    shown = gateway.key if key is None else key
    told = {"X-API-Key": shown} if shown else {}
    words = {name: value for name, value in query.items() if value is not None}
    return await asked(
        gateway.port, "GET", f"/v1/{path}?{urlencode(words)}", told | dict(headers or {})
    )


async def got(gateway: GatewayServer, path: str, **query: Any) -> Any:
    """The body of an answer that is none of a refusal."""
    answer = await rest(gateway, path, **query)
    assert answer.status == 200, answer.body
    return answer.body


async def refused(gateway: GatewayServer, path: str, **query: Any) -> tuple[int, str]:
    """Status and code."""
    answer = await rest(gateway, path, **query)
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.body["status"] == answer.status
    assert answer.body["type"] == f"urn:tickgate:problem:{answer.body['code']}"
    return answer.status, answer.body["code"]


async def all_pages(gateway: GatewayServer, path: str, **query: Any) -> list[Any]:
    """Of all messages of a listing."""
    messages: list[Any] = []
    cursor = None
    while True:
        page = await got(gateway, path, cursor=cursor, **query)
        messages += page["messages"]
        cursor = page["next"]
        if cursor is None:
            return messages
