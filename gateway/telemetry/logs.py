"""The log of a process, on stderr: for a person, or an object a line; never a secret in it.

By the standard logging, which uvicorn, redis-py and websockets write to as well: structlog would be
one dependency more for what a formatter does. Modules write `what happened key=%s`, and the keys
become members of the object. A line that repeats itself is told a bounded number of times.
"""

import logging
import math
import os
import re
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from functools import lru_cache
from typing import Final, NamedTuple

import click
import msgspec

from gateway.settings import LogSettings
from gateway.telemetry.log_context import request_id
from gateway.telemetry.log_filter import filter_logs, without_secrets

_HUMAN: Final = "%(asctime)s %(name)s: %(message)s"
_HUMAN_TIME: Final = "%H:%M:%S"
_REPEATS_WINDOW_S: Final = 10.0
_LEFT_OUT: Final = "left_out"
_ARGUMENT: Final = re.compile(r"%%|(?: ?\b([a-z_]+)=)?%[-#0 +]*\d*(?:\.\d+)?[a-zA-Z]")
"""A place for one of the arguments; where it is `key=%s`, the key."""

_encode: Final = msgspec.json.Encoder(enc_hook=str).encode


class _Sentence(NamedTuple):
    """A line's format, apart: what stays a text, and which arguments have a name."""

    text: str
    names: tuple[str, ...]
    """Of each argument; empty where its place is in the text."""


class Repeats(logging.Filter):
    """The same line of the source so many times within 10 s; the next one tells how many more."""

    def __init__(self, most: int) -> None:
        super().__init__()
        self._most = most
        self._seen: dict[tuple[str, int], tuple[float, int]] = {}
        """When a window began, and how many there were in it: as many rows as lines that log."""

    def filter(self, record: logging.LogRecord) -> bool:
        place = record.pathname, record.lineno
        begun_s, count = self._seen.get(place, (-math.inf, 0))
        if record.created - begun_s < _REPEATS_WINDOW_S:
            self._seen[place] = begun_s, count + 1
            return count < self._most
        self._seen[place] = record.created, 1
        if count > self._most:
            setattr(record, _LEFT_OUT, count - self._most)
        return True


class Sentences(logging.Formatter):
    """As a person reads it: `18:05:34 gateway.bus: redis is back`."""

    def __init__(self) -> None:
        super().__init__(_HUMAN, _HUMAN_TIME)

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 - logging's own name
        return super().formatMessage(record) + "".join(
            f" {name}={value}" for name, value in _context(record).items()
        )

    def format(self, record: logging.LogRecord) -> str:
        return without_secrets(super().format(record))


class JsonLines(logging.Formatter):
    """As a collector reads it: one object a line, the time first."""

    def __init__(self, process: str) -> None:
        super().__init__()
        self._process = process

    def format(self, record: logging.LogRecord) -> str:
        message, fields = _told(record)
        line: dict[str, object] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="microseconds"),
            "level": record.levelname.lower(),
            "process": self._process,
            "pid": os.getpid(),
            "logger": record.name,
            "message": message,
        }
        for name, value in (fields | _context(record)).items():
            line.setdefault(name, value)
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return _encode({name: _clean(value) for name, value in line.items()}).decode()


def begin_log(settings: LogSettings, process: str) -> None:
    """Of this process, from now on: what it and its libraries tell goes to stderr."""
    handler = logging.StreamHandler(sys.stderr)
    handler.addFilter(Repeats(settings.repeats_max))
    handler.setFormatter(JsonLines(process) if settings.format == "json" else Sentences())
    logging.basicConfig(level=settings.level.upper(), handlers=[handler], force=True)
    filter_logs()


def teller(settings: LogSettings, process: str) -> Callable[[str], None]:
    """What says one line to whoever started the process: plainly, or as a line of its log."""
    if settings.format == "json":
        return logging.getLogger(f"tickgate.{process}").warning

    def say(line: str) -> None:
        click.echo(line, err=True)

    return say


def _context(record: logging.LogRecord) -> dict[str, object]:
    """What a line says beside its message."""
    told: dict[str, object] = {}
    if request := request_id.get():
        told["request"] = request
    if (left_out := getattr(record, _LEFT_OUT, None)) is not None:
        told[_LEFT_OUT] = left_out
    return told


def _told(record: logging.LogRecord) -> tuple[str, dict[str, object]]:
    """A record's message without its `key=…`, and these."""
    arguments = record.args
    if not isinstance(record.msg, str) or not isinstance(arguments, tuple) or not arguments:
        return record.getMessage(), {}
    sentence = _sentence(record.msg)
    if len(sentence.names) != len(arguments):
        return record.getMessage(), {}
    pairs = list(zip(sentence.names, arguments, strict=True))
    fields = {name: _plain(value) for name, value in pairs if name}
    return sentence.text % tuple(value for name, value in pairs if not name), fields


@lru_cache(maxsize=256)
def _sentence(template: str) -> _Sentence:
    found = [one for one in _ARGUMENT.finditer(template) if one[0] != "%%"]
    text = _ARGUMENT.sub(lambda one: "" if one[1] else one[0], template)
    return _Sentence(text.strip(), tuple(one[1] or "" for one in found))


def _clean(value: object) -> object:
    return without_secrets(value) if isinstance(value, str) else value


def _plain(value: object) -> object:
    return value if isinstance(value, bool | int | float | None) else str(value)
