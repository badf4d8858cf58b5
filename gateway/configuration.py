"""Settings from a TOML file, the environment and the command line, into one frozen Struct.

Knows no setting by name: the Struct's fields are the keys, their docstrings the documentation.
The later source wins; whatever is wrong is told in one line that names the key and the source.
"""

import difflib
import re
import tomllib
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final, TypeVar

import msgspec

from gateway.setting import ANY_NAME, PREFIX, Setting, settings_of

T = TypeVar("T", bound=msgspec.Struct)

Check = Callable[[Any], None]
"""Raises ValueError, saying what is wrong with a value of the right type."""

ALIASES: Final = {"REDIS_URL": "redis_url"}
"""Environment variables that people have already; the one with our prefix wins."""
OTHER_VARIABLES: Final = {
    "TICKGATE_CONFIG": "the TOML file, where --config is not given",
    "TICKGATE_KEY": "the API key of `tickgate watch`",
    "TICKGATE_SETTINGS": "what `tickgate run` tells the processes that it starts",
    "TICKGATE_READY_DESCRIPTOR": "where it waits to hear that a new gateway worker serves",
}
"""Environment variables that are ours and not settings."""

_SERVICE_LINK: Final = re.compile(
    r"(_SERVICE_HOST|_SERVICE_PORT(_[A-Z0-9_]+)?|_PORT(_\d+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?)?)$"
)
"""Ends of the variables by which Kubernetes tells every pod of each Service near it, as of one
named `tickgate` (kubernetes.io, "Accessing the Service", environment variables)."""
_OF_A_PORT: Final = ("tcp://", "udp://", "sctp://")

_WORDS: Final = {
    "int": "a whole number",
    "float": "a number",
    "str": "a text",
    "bool": "true or false",
    "array": "a list",
    "object": "a table",
    "null": "nothing",
}


class SettingsError(Exception):
    """A setting that can't be used. One line: which, from where, and what is wrong."""


class _Given(msgspec.Struct, frozen=True):
    """A value that somebody set, and who."""

    value: Any
    source: str


def load(
    type_: type[T],
    path: Path | None,
    environ: Mapping[str, str],
    overrides: Mapping[str, object],
    checks: Mapping[str, Check] | None = None,
) -> T:
    """The settings: the defaults, changed by the file, by the environment, by `overrides`.

    `overrides` are keys (`gateway.port`) with what their options were given; None: not given.
    An empty environment variable counts as not set. `checks` are called by key with the value,
    or, under the key of a dict of Structs, with each of its names. Raises SettingsError.
    """
    settings = settings_of(type_)
    given: dict[tuple[str, ...], _Given] = {}
    if path is not None:
        given.update(_from_file(settings, path))
    given.update(_from_environment(settings, environ))
    given.update(_from_overrides(settings, overrides))
    for key_path, one in given.items():
        _check(key_path, one, checks or {})
    try:
        return msgspec.convert(_nested(given), type_)
    except msgspec.ValidationError as error:
        raise SettingsError(_reason(error)) from None


def _from_file(
    settings: tuple[Setting, ...], path: Path
) -> Iterator[tuple[tuple[str, ...], _Given]]:
    try:
        tree = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise SettingsError(f"{path} can't be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise SettingsError(f"{path} is not valid TOML: it is not UTF-8") from None
    except tomllib.TOMLDecodeError as error:
        raise SettingsError(f"{path} is not valid TOML: {error}") from None
    for key_path, value in _flat(tree, ()):
        setting = _setting_at(settings, key_path)
        if setting is None:
            _refuse_file_key(settings, key_path, value, path)
            continue
        try:
            converted = msgspec.convert(value, setting.type)
        except msgspec.ValidationError as error:
            reason = _with_choices(_reason(error), setting.type)
            raise _wrong(key_path, reason, str(path)) from None
        yield key_path, _Given(converted, str(path))


def _refuse_file_key(
    settings: tuple[Setting, ...], path: tuple[str, ...], value: object, file: Path
) -> None:
    """Raises what is wrong with a key that is no setting; an empty table that could be is fine."""
    for end in range(len(path) - 1, 0, -1):
        if (leaf := _setting_at(settings, path[:end])) is not None:
            try:
                msgspec.convert({}, leaf.type)
            except msgspec.ValidationError as error:
                raise _wrong(path[:end], _reason(error), str(file)) from None
    if any(_matches(setting.path[: len(path)], path) for setting in settings):
        if value == {}:
            return
        raise _wrong(path, "expected a table", str(file))
    key = ".".join(path)
    known = [setting.key for setting in settings]
    if len(path) > 2:  # What the user named stands in the suggestion as they named it.
        known = [name.replace("<name>", path[1]) for name in known]
    raise SettingsError(f"{key} is no setting (in {file}){did_you_mean(key, known)}")


def _from_environment(
    settings: tuple[Setting, ...], environ: Mapping[str, str]
) -> Iterator[tuple[tuple[str, ...], _Given]]:
    for alias, key in ALIASES.items():
        if text := environ.get(alias, ""):
            yield _from_text(settings, tuple(key.split(".")), text, alias)
    for variable in sorted(environ):
        if not variable.startswith(PREFIX) or variable in OTHER_VARIABLES:
            continue
        if _is_service_link(variable, environ[variable]):
            continue
        path = _path_of_variable(settings, variable)
        if path is None:
            known = [setting.variable for setting in settings] + list(OTHER_VARIABLES)
            suggestion = did_you_mean(variable, known, PREFIX)
            raise SettingsError(f"{variable} (in the environment) is no setting{suggestion}")
        if environ[variable]:
            yield _from_text(settings, path, environ[variable], variable)


def _is_service_link(variable: str, text: str) -> bool:
    end = _SERVICE_LINK.search(variable)
    if end is None:
        return False
    # A port alone may be ours: TICKGATE_GATEWAY_PORT.
    return end[0] != "_PORT" or text.startswith(_OF_A_PORT)


def _path_of_variable(settings: tuple[Setting, ...], variable: str) -> tuple[str, ...] | None:
    """Fixed names first: TICKGATE_VENUES is not a venue named S."""
    for setting in settings:
        if setting.variable == variable:
            return setting.path
    for setting in settings:
        pattern = re.escape(setting.variable).replace("<NAME>", "([A-Z0-9][A-Z0-9_]*)")
        if found := re.fullmatch(pattern, variable):
            names = iter(found.groups())
            return tuple(next(names).lower() if p == ANY_NAME else p for p in setting.path)
    return None


def _from_overrides(
    settings: tuple[Setting, ...], overrides: Mapping[str, object]
) -> Iterator[tuple[tuple[str, ...], _Given]]:
    for key, value in overrides.items():
        if value is not None:
            path = tuple(key.split("."))
            yield _from_text(settings, path, str(value), "--" + path[-1].replace("_", "-"))


def _from_text(
    settings: tuple[Setting, ...], path: tuple[str, ...], text: str, source: str
) -> tuple[tuple[str, ...], _Given]:
    setting = _setting_at(settings, path)
    assert setting is not None, f"no setting at {path}"
    value: object = text
    if _is_list(setting.type):
        value = [part.strip() for part in text.split(",") if part.strip()]
    try:
        return path, _Given(msgspec.convert(value, setting.type, strict=False), source)
    except msgspec.ValidationError as error:
        reason = _with_choices(_reason(error).split(", got ")[0], setting.type)
        raise _wrong(path, f"{reason}, got {text!r}", source) from None


def _check(path: tuple[str, ...], given: _Given, checks: Mapping[str, Check]) -> None:
    for end in range(1, len(path) + 1):
        key = ".".join(path[:end])
        if key in checks:
            try:
                checks[key](given.value if end == len(path) else path[end])
            except ValueError as error:
                raise _wrong(path, str(error), given.source) from None


def _is_list(type_: Any) -> bool:
    kind = msgspec.inspect.type_info(type_)
    kinds = kind.types if isinstance(kind, msgspec.inspect.UnionType) else (kind,)
    lists = (msgspec.inspect.VarTupleType, msgspec.inspect.ListType, msgspec.inspect.SetType)
    return any(isinstance(one, lists) for one in kinds)


def _setting_at(settings: tuple[Setting, ...], path: tuple[str, ...]) -> Setting | None:
    return next((setting for setting in settings if _matches(setting.path, path)), None)


def _matches(pattern: tuple[str, ...], path: tuple[str, ...]) -> bool:
    return len(pattern) == len(path) and all(
        expected in {ANY_NAME, part} for expected, part in zip(pattern, path, strict=True)
    )


def _flat(
    tree: Mapping[str, object], prefix: tuple[str, ...]
) -> Iterator[tuple[tuple[str, ...], object]]:
    """Leaves of a TOML tree; an empty table counts as one."""
    for name, value in tree.items():
        if isinstance(value, dict) and value:
            yield from _flat(value, (*prefix, name))
        else:
            yield (*prefix, name), value


def _nested(given: Mapping[tuple[str, ...], _Given]) -> dict[str, Any]:
    tree: dict[str, Any] = {}
    for path, one in given.items():
        node = tree
        for part in path[:-1]:
            node = node.setdefault(part, {})
        node[path[-1]] = one.value
    return tree


def did_you_mean(word: str, known: list[str], prefix: str = "") -> str:
    """`; did you mean …?`, where something known is close or ends with that; else nothing.

    A `prefix` that all have in common says nothing about closeness.
    """
    names = [name.removeprefix(prefix) for name in known]
    word = word.removeprefix(prefix)
    close = difflib.get_close_matches(word, names, n=1)
    close = close or [name for name in names if name.endswith(("." + word, "_" + word))]
    return f"; did you mean {prefix}{close[0]}?" if close else ""


def _wrong(path: tuple[str, ...], reason: str, source: str) -> SettingsError:
    return SettingsError(f"{'.'.join(path)}: {reason} (from {source})")


def _with_choices(reason: str, type_: Any) -> str:
    """`expected a, b or c`, where it says only that it is none of them."""
    kind = msgspec.inspect.type_info(type_)
    kinds = kind.types if isinstance(kind, msgspec.inspect.UnionType) else (kind,)
    words = [
        str(word) for one in kinds if isinstance(one, msgspec.inspect.LiteralType)
        for word in one.values
    ]  # fmt: skip
    if not words or not reason.startswith("invalid enum value"):
        return reason
    return f"expected {', '.join(words[:-1])} or {words[-1]}"


def _reason(error: msgspec.ValidationError) -> str:
    """msgspec's sentence, in words."""
    text = re.sub(r"`([a-z]+)`", lambda m: _WORDS.get(m[1], m[1]), str(error))
    text = re.sub(r"`([a-z]+) \| null`", lambda m: _WORDS.get(m[1], m[1]), text)
    text = re.sub(r" - at `\$\[(\d+)\]`", lambda m: f" as number {int(m[1]) + 1}", text)
    return text[:1].lower() + text[1:]
