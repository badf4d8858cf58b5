"""The AsyncAPI 3 document of the stream, made of the types and tables of the protocol itself.

AsyncAPI's schemas are JSON Schema draft 07, so that tuples are written as there.
"""

from collections.abc import Iterable
from importlib.metadata import version
from typing import Any, Final, get_args

import msgspec

from gateway.docs.openapi import STREAM_REFUSALS
from gateway.docs.schemas import Schema, components, name_of, reference
from gateway.errors import CLOSES, ERRORS
from gateway.fanout.sent import SENT, SENT_TRADES
from gateway.protocol import (
    SUBPROTOCOLS,
    Ack,
    Announcement,
    Auth,
    Command,
    Drain,
    Error,
    Gap,
    Heartbeat,
    Lag,
    List,
    Listing,
    Ping,
    Pong,
    Reset,
    State,
    Subscribe,
    Unsubscribe,
    Usage,
    UsageReport,
    Welcome,
)
from gateway.web.problems import PROBLEMS

_STREAM: Final = "#/channels/stream"
_ABOUT: Final = """\
One WebSocket, many channels of prices and signals. One message is one WebSocket message: a JSON
object in a text frame (subprotocol `tickgate.v1.json`, also when none is offered), or one msgpack
map with the same keys in a binary frame (`tickgate.v1.msgpack`).

Show a key in `X-API-Key` or `Authorization`, with a ticket (`POST /v1/tickets`) in the query, or
in an `auth` message within 5 s. Every message of a channel has the next `seq` of the channel's
`epoch`; whatever is missing is announced by a `gap`. Times are integer microseconds UTC; prices and
sizes are strings with the venue's own digits."""

_SUMMARIES: Final[dict[type, str]] = {
    Subscribe: "Subscribe to channels, resume them, or change their rate",
    Unsubscribe: "End subscriptions",
    List: "Ask what one is subscribed to",
    Ping: "Ask for a pong",
    Usage: "Ask what the key has used",
    Auth: "Show a key, where none came with the upgrade",
    Welcome: "The first message: the session and its limits",
    Ack: "The answer to a subscribe or unsubscribe, channel by channel",
    Listing: "The answer to a list",
    Pong: "The answer to a ping",
    UsageReport: "The answer to a usage",
    Gap: "Messages that will not come, and by whose fault",
    Reset: "The numbering of a channel began anew",
    State: "How a channel does changed",
    Lag: "You read too slowly",
    Heartbeat: "Nothing was sent for heartbeat_ms; never counts as data",
    Error: "A command was refused",
    Drain: "This gateway is stopping: a close follows",
}
_REPLIES: Final[dict[type, tuple[type, ...]]] = {
    Subscribe: (Ack, Error),
    Unsubscribe: (Ack, Error),
    List: (Listing, Error),
    Ping: (Pong, Error),
    Usage: (UsageReport, Error),
    Auth: (Welcome, Ack, Error),
}
COMMANDS: Final[tuple[type, ...]] = get_args(Command)
ANNOUNCEMENTS: Final[tuple[type, ...]] = get_args(Announcement)
DATA: Final[tuple[type, ...]] = (*SENT.values(), SENT_TRADES)
_UNASKED: Final = [one for one in ANNOUNCEMENTS if one not in (Ack, Listing, Pong, UsageReport)]


def asyncapi() -> Schema:
    """The document, as JSON has it."""
    told = (*COMMANDS, *ANNOUNCEMENTS, *DATA)
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "Tickgate stream",
            "version": version("tickgate"),
            "description": _ABOUT,
            "license": {"name": "Apache-2.0"},
        },
        "defaultContentType": "application/json",
        "servers": {
            "gateway": {
                "host": "{host}",
                "protocol": "wss",
                "description": "This gateway; `ws` where it has no TLS.",
                "variables": {"host": {"default": "127.0.0.1:8787"}},
                "security": [
                    {"$ref": "#/components/securitySchemes/key"},
                    {"$ref": "#/components/securitySchemes/bearer"},
                    {"$ref": "#/components/securitySchemes/ticket"},
                ],
            }
        },
        "channels": {
            "stream": {
                "address": "/v1/stream",
                "title": "The stream",
                "description": "All commands, announcements and data.",
                "messages": {
                    _id(one): {"$ref": f"#/components/messages/{_id(one)}"} for one in told
                },
                "bindings": {"ws": _binding()},
                "x-refusals": [msgspec.to_builtins(PROBLEMS[code]) for code in STREAM_REFUSALS],
                "x-closes": [
                    {**msgspec.to_builtins(row), "next": row.next} for row in CLOSES.values()
                ],
                "x-errors": [msgspec.to_builtins(row) for row in ERRORS.values()],
            }
        },
        "operations": _operations(),
        "components": {
            "messages": {_id(one): _message(one) for one in told},
            "schemas": _as_of_draft_7(components(told)),
            "securitySchemes": {
                "key": {"type": "httpApiKey", "in": "header", "name": "X-API-Key"},
                "bearer": {"type": "http", "scheme": "bearer"},
                "ticket": {"type": "httpApiKey", "in": "query", "name": "ticket"},
            },
        },
    }


def _operations() -> Schema:
    """From the gateway's point of view: it receives commands and sends the rest."""
    operations: Schema = {
        _id(command): {
            "action": "receive",
            "channel": {"$ref": _STREAM},
            "summary": _SUMMARIES[command],
            "messages": _refs([command]),
            "reply": {"channel": {"$ref": _STREAM}, "messages": _refs(_REPLIES[command])},
        }
        for command in COMMANDS
    }
    told = {
        "announce": ("What is said of channels and of the connection", _UNASKED),
        "data": ("Messages of the channels that one is subscribed to", DATA),
    }
    for name, (summary, messages) in told.items():
        operations[name] = {
            "action": "send",
            "channel": {"$ref": _STREAM},
            "summary": summary,
            "messages": _refs(messages),
        }
    return operations


def _message(kind: type) -> Schema:
    about = " ".join((kind.__doc__ or "").split())
    summary = _SUMMARIES.get(kind) or about.partition(". ")[0].rstrip(".")
    return {
        "name": _id(kind),
        "title": kind.__name__,
        "summary": summary,
        "payload": reference(kind),
    }


def _id(kind: type) -> str:
    """What tells it from others on the wire, where there is such: its `op` or `type`."""
    tag = getattr(kind, "__struct_config__").tag  # noqa: B009 - no attribute of every type
    if kind in COMMANDS:
        return str(tag)
    return f"{tag}_reply" if tag in ("list", "usage") else str(tag or name_of(kind))


def _refs(kinds: Iterable[type]) -> list[Schema]:
    return [{"$ref": f"{_STREAM}/messages/{_id(kind)}"} for kind in kinds]


def _binding() -> Schema:
    return {
        "method": "GET",
        "query": {
            "type": "object",
            "properties": {
                "ticket": {"type": "string", "description": "Of POST /v1/tickets: good once."}
            },
        },
        "headers": {
            "type": "object",
            "properties": {
                "X-API-Key": {"type": "string"},
                "Authorization": {"type": "string", "description": "Bearer, and a key or token."},
                "Sec-WebSocket-Protocol": {"type": "string", "enum": list(SUBPROTOCOLS)},
            },
        },
        "bindingVersion": "0.1.0",
    }


def _as_of_draft_7(schema: Any) -> Any:
    """`prefixItems` was written as a list of `items` then."""
    if isinstance(schema, list):
        return [_as_of_draft_7(one) for one in schema]
    if not isinstance(schema, dict):
        return schema
    told = {name: _as_of_draft_7(one) for name, one in schema.items()}
    if "prefixItems" in told:
        told["additionalItems"] = told.get("items", True)
        told["items"] = told.pop("prefixItems")
    return told
