"""Connections of which nothing whole has come yet, by address: how many, and for how long. Pure."""

from collections import Counter
from typing import Final

from gateway.web.addresses import site_of
from gateway.web.proxies import NO_PROXIES, Proxies

_LIMIT_S: Final = 5.0
"""From the connection, or a request's first byte, to its last; and for a TLS handshake."""
_CROWDED_LIMIT_S: Final = 1.0
"""The same for an address that keeps many waiting."""


class HalfOpen:
    """One server's. A listed proxy speaks for many: it has as many places as it needs."""

    def __init__(self, *, crowd: int, most: int, proxies: Proxies = NO_PROXIES) -> None:
        self._crowd = crowd
        self._most = most
        self._proxies = proxies
        self._of: Counter[str] = Counter()

    def enter(self, address: str) -> float | None:
        """How long it may take, in seconds; None: the address has too many already.

        A whole crowd may come at once and in good faith, so more than a few get less time.
        """
        site = site_of(address)
        count = self._of[site]
        if self._proxies.trusts(address):
            self._of[site] = count + 1
            return _LIMIT_S
        if count >= self._most:
            return None
        self._of[site] = count + 1
        return _LIMIT_S if count < self._crowd else _CROWDED_LIMIT_S

    def leave(self, address: str) -> None:
        site = site_of(address)
        self._of[site] -= 1
        if not self._of[site]:
            del self._of[site]
