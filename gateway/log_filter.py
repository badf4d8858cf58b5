"""Keys stay out of logs: uvicorn's loggers, where they are turned up, tell paths and queries, and
these may hold what they must not. A query is cut off, and what has the shape of a secret too.
"""

import logging
import re
from typing import Final

_LOGGERS: Final = ("uvicorn.error", "uvicorn.access")
_SECRET: Final = re.compile(
    r"(tg_[a-z0-9]{8}_|tt_)[A-Za-z0-9_-]{8,}|(eyJ)[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]*"
)
"""API keys and tickets; tokens."""


class _WithoutSecrets(logging.Filter):
    def filter(self, record: logging.LogRecord) -> bool:
        if isinstance(record.args, tuple):
            record.args = tuple(map(_told, record.args))
        return True


_without_secrets: Final = _WithoutSecrets()


def filter_logs() -> None:
    """Of this process, from now on. Twice is once."""
    for name in _LOGGERS:
        logging.getLogger(name).addFilter(_without_secrets)


def _told(argument: object) -> object:
    if not isinstance(argument, str):
        return argument
    path, mark, _ = argument.partition("?")
    return _SECRET.sub(r"\1\2…", path) + (mark and "?…")
