"""JSON Schemas of our types, for the documents: as msgspec makes them, with the fields described.

The descriptions are the docstrings that stand under the fields.
"""

import re
from collections.abc import Iterable, Mapping
from functools import partial
from typing import Any, Final

import msgspec

from gateway.fanout.sent import ADDED, SENT, SENT_TRADES, AnyMessage
from gateway.setting import field_descriptions

Schema = dict[str, Any]

_PREFIX: Final = "#/components/schemas/"
_NULL: Final = {"type": "null"}
_NONE: Final = re.compile(r"\bNone\b")


def components(types: Iterable[Any]) -> dict[str, Schema]:
    """The schemas of Structs, and of all that they are made of, by `name_of`."""
    every = [*types, *SENT.values()]
    _, made = msgspec.json.schema_components(
        every, schema_hook=_of_anything, ref_template=_PREFIX + "{name}"
    )
    # A generic's name ends with what was its bracket.
    text = msgspec.json.encode(made).replace(b'_"', b'"')
    schemas = msgspec.json.decode(text, type=dict[str, Schema])
    structs: dict[str, Any] = {}
    for kind in every:
        _find(msgspec.inspect.type_info(kind), structs)
    for name, struct in structs.items():
        _describe(schemas[name], struct)
    if AnyMessage.__name__ in schemas:
        schemas[AnyMessage.__name__]["anyOf"] = [reference(one) for one in SENT.values()]
    return schemas


def name_of(kind: Any) -> str:
    """A generic one's with its parameters."""
    arguments = [name_of(one) for one in getattr(kind, "__args__", ())]
    return "_".join([getattr(kind, "__origin__", kind).__name__, *arguments])


def reference(kind: Any) -> Schema:
    return {"$ref": _PREFIX + name_of(kind)}


def parameters(query: type[msgspec.Struct]) -> list[Schema]:
    """Of a query that is such a Struct, as OpenAPI has them."""
    (_,), schemas = msgspec.json.schema_components([query])
    told = schemas[query.__name__]
    descriptions = field_descriptions(query)
    return [
        {
            "name": name,
            "in": "query",
            "required": name in told.get("required", ()),
            "schema": _without_null(schema),
            **({"description": descriptions[name]} if name in descriptions else {}),
        }
        for name, schema in told.get("properties", {}).items()
    ]


def _describe(schema: Schema, kind: Any) -> None:
    struct = getattr(kind, "__origin__", kind)
    described: Mapping[str, str] = field_descriptions(struct)
    if "description" in schema:
        schema["description"] = " ".join(schema["description"].split())
    added = ADDED if struct in (*SENT.values(), SENT_TRADES) else {}
    schema["title"] = name_of(kind)
    if struct.__struct_config__.array_like:
        return
    for field in msgspec.structs.fields(struct):
        told = schema["properties"][field.encode_name]
        if struct.__struct_config__.omit_defaults and field.default is None:
            # What is None is left out, so that null is never sent.
            told = schema["properties"][field.encode_name] = _without_null(told)
        if description := described.get(field.name) or added.get(field.name):
            word = "absent" if struct.__struct_config__.omit_defaults else "null"
            told["description"] = _NONE.sub(partial(_in_json, word), description)


def _in_json(word: str, found: re.Match[str]) -> str:
    """What Python's None is there."""
    begins = found.start() == 0 or found.string[: found.start()].rstrip().endswith(".")
    return word.capitalize() if begins else word


def _without_null(schema: Schema) -> Schema:
    """The same for who leaves out what is None."""
    others = [one for one in schema.get("anyOf", ()) if one != _NULL]
    rest = {
        name: told
        for name, told in schema.items()
        if name != "anyOf" and not (name == "default" and told is None)
    }
    if not others or len(others) == len(schema["anyOf"]):
        return schema if not others else rest | {"anyOf": others}
    return rest | (others[0] if len(others) == 1 else {"anyOf": others})


def _of_anything(kind: type) -> Schema:
    """What is looked at later, and by other means than its type."""
    assert kind is object
    return {"description": "Any value."}


def _find(info: Any, found: dict[str, Any]) -> None:
    """All Structs that a type is made of, by name."""
    if isinstance(info, msgspec.inspect.StructType):
        if name_of(info.cls) in found:
            return
        found[name_of(info.cls)] = info.cls
        for field in info.fields:
            _find(field.type, found)
    for part in ("type", "item_type", "key_type", "value_type"):
        if (inner := getattr(info, part, None)) is not None:
            _find(inner, found)
    for parts in ("types", "item_types"):
        for inner in getattr(info, parts, ()):
            _find(inner, found)
