"""The page at `/docs`: both documents as one, for people. Made of them alone. Pure."""

from collections.abc import Iterable, Mapping
from typing import Any, Final

from gateway.docs.fields import Schema, members, type_anchor, type_of
from gateway.docs.markup import Html, element, joined, paragraphs, prose, table

_EXAMPLES: Final[Mapping[str, str]] = {
    "/v1/latest": "?channels=trade:sim:*,quote:sim:BTC-USD",
    "/v1/candles": "?channel=candle.1m:agg:BTC-USD&limit=60",
    "/v1/trades": "?venue=sim&symbol=BTC-USD&limit=50",
    "/v1/signals": "?model=trend&pair=BTC-USD",
    "/v1/track-record": "?model=trend",
    "/v1/symbols": "?kind=trade",
}
_PROBLEM_JSON: Final = "application/problem+json"


def page(rest: Schema, stream: Schema) -> Html:
    """`rest`: the OpenAPI document; `stream`: the AsyncAPI one."""
    operations = [
        (method, path, operation)
        for path, methods in rest["paths"].items()
        for method, operation in methods.items()
    ]
    channel = stream["channels"]["stream"]
    schemas = stream["components"]["schemas"] | rest["components"]["schemas"]
    body = element(
        "main",
        _rest(rest, operations),
        _stream(stream, schemas),
        _tables(channel),
        _types(schemas, stream),
    )
    head = joined(
        (
            Html('<meta charset="utf-8">'),
            Html('<meta name="viewport" content="width=device-width, initial-scale=1">'),
            element("title", "Tickgate: the documents"),
            Html('<link rel="icon" href="/assets/icon.svg" type="image/svg+xml">'),
            Html('<link rel="stylesheet" href="/docs/docs.css">'),
        )
    )
    whole = (element("head", head), element("body", _side(operations, stream), body))
    return joined((Html("<!doctype html>"), element("html", *whole, lang="en")))


def _side(operations: Iterable[tuple[str, str, Schema]], stream: Schema) -> Html:
    def links(title: str, anchors: Iterable[tuple[str, str]]) -> Html:
        items = [element("li", element("a", text, href=href)) for href, text in anchors]
        return joined((element("h2", title), element("ul", *items)))

    messages = stream["components"]["messages"]
    commands = [name for name, one in stream["operations"].items() if one["action"] == "receive"]
    return element(
        "nav",
        element("a", "Tickgate", href="/", class_="brand"),
        element("p", f"version {stream['info']['version']}", class_="version"),
        links("REST", ((f"#{one['operationId']}", path) for _, path, one in operations)),
        links("Commands", ((f"#message-{name}", name) for name in commands)),
        links(
            "Announcements and data",
            ((f"#message-{name}", name) for name in messages if name not in commands),
        ),
        links(
            "Tables",
            (("#errors", "errors"), ("#closes", "closes"), ("#refusals", "refusals")),
        ),
        links(
            "For programs",
            (("/v1/openapi.json", "openapi.json"), ("/v1/asyncapi.json", "asyncapi.json")),
        ),
    )


def _rest(document: Schema, operations: Iterable[tuple[str, str, Schema]]) -> Html:
    info = document["info"]
    return joined(
        (
            element("h1", info["title"], id="rest"),
            paragraphs(info["description"]),
            *(_operation(*one) for one in operations),
        )
    )


def _operation(method: str, path: str, operation: Schema) -> Html:
    verb = method.upper()
    parts = [
        element("h3", element("span", verb, class_=f"verb {method}"), " ", element("code", path)),
        element("p", prose(operation["summary"] + ".")),
    ]
    if "security" not in operation:
        words = f"curl -H 'X-API-Key: …' {'-X POST ' if verb == 'POST' else ''}"
        asked = f"'http://127.0.0.1:8787{path}{_EXAMPLES.get(path, '')}'"
        parts.append(element("pre", words + asked))
    if operation.get("parameters"):
        rows = (
            (
                joined((element("code", one["name"]), "" if one["required"] else _OPTIONAL)),
                type_of(one["schema"]),
                joined((prose(one.get("description", "")), _default(one["schema"]))),
            )
            for one in operation["parameters"]
        )
        parts.append(table(("parameter", "type", "meaning"), rows))
    rows = (
        (element("code", status), _answer(told), prose(told["description"]))
        for status, told in operation["responses"].items()
    )
    parts.append(table(("status", "body", "meaning"), rows))
    return element("section", *parts, id=operation["operationId"])


_OPTIONAL: Final = joined((" ", element("span", "optional", class_="optional")))


def _default(schema: Schema) -> Html:
    default = schema.get("default")
    return Html("") if default is None else joined((" Else ", element("code", str(default)), "."))


def _answer(told: Schema) -> Html:
    content: Mapping[str, Any] = told.get("content", {})
    if _PROBLEM_JSON in content:
        return element("a", "Problem", href=f"#{type_anchor('Problem')}")
    return type_of(content["application/json"]["schema"]) if content else Html("")


def _stream(document: Schema, schemas: Mapping[str, Schema]) -> Html:
    replies = {
        name: [one["$ref"].rpartition("/")[2] for one in operation["reply"]["messages"]]
        for name, operation in document["operations"].items()
        if "reply" in operation
    }
    info = document["info"]
    return joined(
        (
            element("h1", info["title"], id="stream"),
            paragraphs(info["description"]),
            *(
                _message(name, message, schemas, replies.get(name, ()))
                for name, message in document["components"]["messages"].items()
            ),
        )
    )


def _message(
    name: str, message: Schema, schemas: Mapping[str, Schema], replies: Iterable[str]
) -> Html:
    type_name = message["payload"]["$ref"].rpartition("/")[2]
    side = "command" if replies else "data" if name[0].isupper() else "announcement"
    parts = [
        element(
            "h3",
            element("span", side, class_=f"verb {side}"),
            " ",
            element("code", name),
            id=type_anchor(type_name),
        ),
        element("p", prose(message["summary"] + ".")),
        members(schemas[type_name]),
    ]
    if replies:
        links = [element("a", one, href=f"#message-{one}") for one in replies]
        parts.append(element("p", "Answered by ", Html(", ".join(links)), "."))
    return element("section", *parts, id=f"message-{name}")


def _tables(channel: Schema) -> Html:
    errors = (
        (element("code", one["code"]), one["text"], "yes" if one["retry"] else "no")
        for one in channel["x-errors"]
    )
    closes = (
        (element("code", str(one["code"])), one["name"], one["text"], one["next"].replace("_", " "))
        for one in channel["x-closes"]
    )
    refusals = (
        (element("code", one["code"]), str(one["status"]), one["title"])
        for one in channel["x-refusals"]
    )
    return joined(
        (
            element("h1", "Tables"),
            element("h2", "Errors of commands", id="errors"),
            table(("code", "meaning", "retry"), errors),
            element("h2", "Closes, and what to do next", id="closes"),
            table(("code", "name", "meaning", "next"), closes),
            element("h2", "Refusals of an upgrade", id="refusals"),
            table(("code", "status", "meaning"), refusals),
        )
    )


def _types(schemas: Mapping[str, Schema], stream: Schema) -> Html:
    """All that have no section of their own above."""
    above = {
        one["payload"]["$ref"].rpartition("/")[2]
        for one in stream["components"]["messages"].values()
    }
    parts: list[Html] = [element("h1", "Types", id="types")]
    for name, schema in sorted(schemas.items()):
        if name not in above:
            about = element("p", prose(schema.get("description", "")))
            title = element("h3", element("code", name.replace("_", " of ", 1)))
            parts.append(element("section", title, about, members(schema), id=type_anchor(name)))
    return joined(parts)
