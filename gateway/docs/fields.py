"""A JSON Schema as people read it: a table of members, each with its type. Pure."""

from collections.abc import Iterable
from typing import Any, Final

from gateway.docs.markup import Html, element, joined, prose, table

Schema = dict[str, Any]

_NULL: Final = {"type": "null"}


def type_anchor(name: str) -> str:
    return f"type-{name}"


def type_of(schema: Schema) -> Html:
    """In a few words, with links to other types."""
    told = Html("anything")
    match schema:
        case {"$ref": str(reference)}:
            name = reference.rpartition("/")[2]
            told = element("a", name.replace("_", " of ", 1), href=f"#{type_anchor(name)}")
        case {"anyOf": list(options)}:
            told = _either(options)
        case {"enum": list(values)}:
            told = _separated((element("code", _told(value)) for value in values), " · ")
        case {"type": "array", "prefixItems": list(items)}:
            told = joined(("[", _separated(map(type_of, items), ", "), "]"))
        case {"type": "array", "items": dict(items)}:
            told = joined(("list of ", type_of(items)))
        case {"type": "object", "additionalProperties": dict(values)}:
            told = joined(("object of ", type_of(values)))
        case {"type": str(name)}:
            told = joined((_PLAIN.get(name, name), _bounds(schema)))
    return told


_PLAIN: Final = {"integer": "integer", "string": "text", "boolean": "true or false"}


def members(schema: Schema) -> Html:
    """Of an object; of a list with fixed places, those."""
    if "prefixItems" in schema or "properties" not in schema:
        return element("p", "A list: ", type_of(schema))
    required = set(schema.get("required", ()))
    rows = []
    for name, member in schema["properties"].items():
        said = prose(member.get("description", ""))
        default = member.get("default")
        if name not in required and default not in (None, False, [], {}):
            said = joined(
                (said, " " if said else "", "Else ", element("code", _told(default)), ".")
            )
        mark = "" if name in required else element("span", "optional", class_="optional")
        rows.append((joined((element("code", name), " ", mark)), type_of(member), said))
    told = table(("member", "type", "meaning"), rows)
    if "anyOf" in schema:
        return joined((told, element("p", "It is a ", _either(schema["anyOf"]), ".")))
    return told


def _either(options: list[Schema]) -> Html:
    others = [one for one in options if one != _NULL]
    told = _separated(map(type_of, others), " or ")
    return told if len(others) == len(options) else joined((told, " or null"))


def _bounds(schema: Schema) -> str:
    low, high = schema.get("minimum"), schema.get("maximum")
    if low is None or high is None:
        return ""
    return f", {low:,} to {high:,}" if abs(high) < 2**52 else ""


def _separated(parts: Iterable[Html], by: str) -> Html:
    """`by` is markup, too."""
    return Html(by.join(parts))


def _told(value: object) -> str:
    return value if isinstance(value, str) else str(value).lower()
