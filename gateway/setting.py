"""What settings there are: the leaves of a Struct, described by the docstrings under its fields.

Knows none by name, and no value: `gateway.configuration` reads those.
"""

import ast
import inspect
import itertools
import sys
from collections.abc import Callable, Iterator
from functools import cache
from typing import Any, Final, cast

import msgspec

PREFIX: Final = "TICKGATE_"
"""Of their environment variables."""
ANY_NAME: Final = "*"
"""In a path: a name that the user chooses."""


class Setting(msgspec.Struct, frozen=True):
    """One leaf of the settings."""

    path: tuple[str, ...]
    """Its names from the outside in; ANY_NAME as in `venue.*.url`."""
    type: Any
    default: Any
    description: str

    @property
    def key(self) -> str:
        """As in the file and in messages."""
        return ".".join("<name>" if part == ANY_NAME else part for part in self.path)

    @property
    def variable(self) -> str:
        """As in the environment."""
        parts = ("<NAME>" if part == ANY_NAME else part.upper() for part in self.path)
        return PREFIX + "_".join(parts)


def settings_of(type_: type[msgspec.Struct]) -> tuple[Setting, ...]:
    """All settings of a Struct, nested ones and `dict`s of Structs included, in their order."""
    return tuple(_leaves(type_, ()))


def _leaves(type_: type[msgspec.Struct], prefix: tuple[str, ...]) -> Iterator[Setting]:
    descriptions = field_descriptions(type_)
    for field in msgspec.structs.fields(type_):
        path = (*prefix, field.encode_name)
        kind = msgspec.inspect.type_info(field.type)
        if isinstance(kind, msgspec.inspect.StructType):
            yield from _leaves(kind.cls, path)
        elif isinstance(kind, msgspec.inspect.DictType) and isinstance(
            kind.value_type, msgspec.inspect.StructType
        ):
            yield from _leaves(kind.value_type.cls, (*path, ANY_NAME))
        else:
            default = field.default
            if default is msgspec.NODEFAULT and field.default_factory is not msgspec.NODEFAULT:
                default = cast("Callable[[], object]", field.default_factory)()
            yield Setting(path, field.type, default, descriptions.get(field.name, ""))


def field_descriptions(type_: type) -> dict[str, str]:
    """By field: the docstrings that stand under the fields, in the class and in what it extends."""
    found: dict[str, str] = {}
    for owner in reversed(type_.__mro__):
        if owner is not msgspec.Struct and issubclass(owner, msgspec.Struct):
            found |= _described_in(owner.__module__).get(owner.__qualname__, {})
    return found


@cache
def _described_in(module: str) -> dict[str, dict[str, str]]:
    """Of all classes of a module, by their qualified names: to parse it takes 5 ms."""
    try:
        tree = ast.parse(inspect.getsource(sys.modules[module]))
    except (OSError, KeyError):  # An installation without sources has no descriptions.
        return {}
    return dict(_classes(tree, ""))


def _classes(node: ast.AST, prefix: str) -> Iterator[tuple[str, dict[str, str]]]:
    for child in ast.iter_child_nodes(node):
        match child:
            case ast.ClassDef(name=name, body=body):
                yield prefix + name, _described(body)
                yield from _classes(child, f"{prefix}{name}.")
            case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name):
                yield from _classes(child, f"{prefix}{name}.<locals>.")
            case _:
                yield from _classes(child, prefix)


def _described(body: list[ast.stmt]) -> dict[str, str]:
    found: dict[str, str] = {}
    for field, text in itertools.pairwise(body):
        match field, text:
            case (
                ast.AnnAssign(target=ast.Name(id=name)),
                ast.Expr(value=ast.Constant(value=str(said))),
            ):
                found[name] = " ".join(said.split())
    return found
