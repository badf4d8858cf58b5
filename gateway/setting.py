"""What settings there are: the leaves of a Struct, described by the docstrings under its fields.

Knows none by name, and no value: `gateway.configuration` reads those.
"""

import ast
import inspect
import itertools
import textwrap
from collections.abc import Callable, Iterator
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
    descriptions = _descriptions(type_)
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


def _descriptions(type_: type) -> dict[str, str]:
    """The docstrings that stand under the fields, in the class and in what it extends."""
    found: dict[str, str] = {}
    for owner in reversed(type_.__mro__):
        if owner is msgspec.Struct or not issubclass(owner, msgspec.Struct):
            continue
        try:
            source = textwrap.dedent(inspect.getsource(owner))
        except OSError:  # An installation without sources has no descriptions.
            continue
        body = cast("ast.ClassDef", ast.parse(source).body[0]).body
        for field, text in itertools.pairwise(body):
            match field, text:
                case (
                    ast.AnnAssign(target=ast.Name(id=name)),
                    ast.Expr(value=ast.Constant(value=str(said))),
                ):
                    found[name] = " ".join(said.split())
    return found
