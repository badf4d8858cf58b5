"""Keys stay out of logs: uvicorn's loggers, where they are turned up, tell paths and queries, and
these may hold what they must not. A query is cut off, and what has the shape of a secret too.
"""

import logging
import re
from typing import Final

_LOGGERS: Final = ("uvicorn.error", "uvicorn.access")
_SECRET: Final = re.compile(
    r"(tg_[a-z0-9]{8}_|tt_)[A-Za-z0-9_-]{8,}"
    r"|(eyJ)[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]*"
    r"|(://[^\s/:@]*:)[^\s/@]+(?=@)"
)
"""API keys and tickets; tokens; passwords in URLs."""


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


def without_secrets(text: str) -> str:
    """A text without what has the shape of a secret."""
    return _SECRET.sub(lambda found: f"{''.join(filter(None, found.groups()))}…", text)


def _told(argument: object) -> object:
    if not isinstance(argument, str):
        return argument
    path, mark, _ = argument.partition("?")
    return without_secrets(path) + (mark and "?…")
