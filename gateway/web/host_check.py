"""By which names a listener may be asked for: a page can have its own name mean our address.

It can do so with a name only: who asks for an address means it (DNS rebinding).
"""

from typing import Final

from starlette.datastructures import Headers
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from gateway.web.addresses import parsed_address

_REFUSAL: Final = "This is not its name: see the setting admin.hosts.\n"


class HostCheck:
    """ASGI middleware: 421 for requests to other names than `names`, in lower case."""

    def __init__(self, app: ASGIApp, names: frozenset[str]) -> None:
        self._app = app
        self._names = names

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or self._is_ours(Headers(scope=scope).getlist("host")):
            await self._app(scope, receive, send)
        else:
            await PlainTextResponse(_REFUSAL, 421)(scope, receive, send)

    def _is_ours(self, hosts: list[str]) -> bool:
        if len(hosts) != 1:
            return False
        name = _without_port(hosts[0]).lower()
        return name in self._names or parsed_address(name) is not None


def _without_port(host: str) -> str:
    """`localhost:9787`, `[::1]:9787`."""
    if host.startswith("["):
        return host[1:].partition("]")[0]
    return host.partition(":")[0]
