"""Which request or session a line of the log belongs to: known to whoever logs within it, unasked.

An id from outside is taken over only where it can't be anything else than an id.
"""

import re
import secrets
from contextvars import ContextVar
from typing import Final

request_id: Final[ContextVar[str]] = ContextVar("request_id", default="")
"""Of what this task answers; empty: of nothing in particular."""

_WELL_FORMED: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{7,63}\Z")


def id_from(told: str | None) -> str:
    """The id that a client or a proxy gave, if it is well-formed; else a new one."""
    if told is not None and _WELL_FORMED.match(told):
        return told
    return secrets.token_hex(8)
