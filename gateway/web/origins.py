"""Which sites' pages may open a stream: browsers say on whose behalf they ask. Pure.

A page of another site could use a ticket that it got hold of, in its visitor's name and from its
visitor's network. Whatever is no browser sends no `Origin`, and is asked for its key alone.
"""

import re
from collections.abc import Iterable, Sequence
from typing import Final

ANY: Final = "*"
_NOBODY: Final = "null"
"""Sandboxed frames, files, and what was redirected: any page can make itself one."""
_ORIGIN: Final = re.compile(
    r"(?P<scheme>[a-z][a-z0-9+.-]*)://(?:[a-z0-9._-]+|\[[0-9a-f:.]+\])(?P<port>:[0-9]{1,5})?"
)
_DEFAULT_PORTS: Final = {"http": ":80", "https": ":443"}


class Origins:
    """Those that are listed, and one's own."""

    def __init__(self, listed: Iterable[str] = ()) -> None:
        self._listed = frozenset(listed)

    def allows(self, origins: Sequence[str], host: str, *, is_secure: bool) -> bool:
        """`origins`: the request's, all of them; `host`: as it names us."""
        if not origins:
            return True
        origin = origins[0]
        if len(origins) > 1 or origin == _NOBODY:
            return False
        return origin in self._listed or ANY in self._listed or origin == _own(host, is_secure)


def check_origin(text: str) -> None:
    """Raises ValueError."""
    if text == ANY:
        return
    if text == _NOBODY:
        raise ValueError("null is every sandboxed page and every file: it can't be let in")
    found = _ORIGIN.fullmatch(text)
    if found is None or found["port"] == _DEFAULT_PORTS.get(found["scheme"], ""):
        raise ValueError(
            f"{text} is no origin as browsers write it: https://desk.example, without a path,"
            " with a port only where it is not the usual one; or * for any site"
        )


def _own(host: str, is_secure: bool) -> str:
    scheme = "https" if is_secure else "http"
    return f"{scheme}://{host.lower().removesuffix(_DEFAULT_PORTS[scheme])}"
