"""Proxies of ours before us, and whose requests they pass on. Pure.

Each proxy appends to `X-Forwarded-For` whom it has heard, so the list is read from its end: as far
as listed proxies speak. What stands before that was written by the client, and may be a lie.
`Forwarded` (RFC 7239) isn't read: a proxy that writes one of the two passes the other one on.
"""

import ipaddress
from collections.abc import Iterable, Sequence
from typing import Final

from gateway.web.addresses import parsed_address

FORWARDED_FOR: Final = "x-forwarded-for"
FORWARDED_PROTO: Final = "x-forwarded-proto"
_IS_SECURE: Final = {"https": True, "wss": True, "http": False, "ws": False}


class Proxies:
    """Those that are listed: `10.0.0.7`, `10.1.0.0/16`, `::1`. Raises ValueError."""

    def __init__(self, listed: Iterable[str] = ()) -> None:
        self._networks = [ipaddress.ip_network(one) for one in listed]

    def trusts(self, address: str) -> bool:
        """Whether it is a listed proxy's."""
        if not self._networks:
            return False
        parsed = parsed_address(address)
        return parsed is not None and any(parsed in network for network in self._networks)

    def client_of(self, peer: str, forwarded_for: Sequence[str]) -> str:
        """The nearest address that is no listed proxy's; where a hop is none, the one before."""
        client = peer
        hops = ",".join(forwarded_for).split(",")
        while hops and self.trusts(client):
            hop = parsed_address(_without_port(hops.pop().strip()))
            if hop is None:
                break
            client = str(hop)
        return client

    def is_secure(self, peer: str, forwarded_proto: Sequence[str], *, default: bool) -> bool:
        """Whether the client speaks TLS, to us or to the proxy; `default`: what we see of it."""
        if not forwarded_proto or not self.trusts(peer):
            return default
        return _IS_SECURE.get(forwarded_proto[-1].rpartition(",")[2].strip().lower(), default)


NO_PROXIES: Final = Proxies()


def check_proxy(text: str) -> None:
    """Raises ValueError."""
    try:
        network = ipaddress.ip_network(text)
    except ValueError:
        raise ValueError(
            f"{text} is no address and no network: 10.0.0.7, 10.1.0.0/16, ::1"
        ) from None
    if network.prefixlen == 0:
        raise ValueError(f"{text} is everyone: any client could say that it is another one")


def _without_port(hop: str) -> str:
    """`1.2.3.4:5678` and `[::1]:5678`, as some proxies write it."""
    if hop.startswith("["):
        return hop[1:].partition("]")[0]
    return hop.partition(":")[0] if hop.count(":") == 1 else hop
