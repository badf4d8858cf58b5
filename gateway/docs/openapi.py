"""The OpenAPI 3.1 document of REST, made of the tables and types that REST itself is made of."""

from collections.abc import Iterable, Mapping
from importlib.metadata import version
from typing import Any, Final

from gateway.docs.schemas import Schema, components, parameters, reference
from gateway.rest.routes import FOR_ALL, REST, RestRoute
from gateway.web.problems import MEDIA_TYPE, PROBLEMS, Problem

_ABOUT: Final = """\
What keys may ask by plain HTTP, beside the stream at `/v1/stream` (its own document is
`/v1/asyncapi.json`). Messages have the keys that they have in the stream, less `gw`. Each call
counts against the key's limits, of which every answer tells.

A listing's `next` goes on where its page ended, exactly, whatever was published meanwhile. Where
what follows is no longer kept, that is a refusal (410), never a hole. `positions` of a first page
are what a subscription takes as `since`: the stream then goes on from that page without a hole.

All times are integer microseconds UTC; prices and sizes are strings with the venue's own digits.
Every refusal is `application/problem+json`; `code` is what programs are to look at."""

_LIMITS: Final = {
    "RateLimit-Policy": "The plan's limits: draft-ietf-httpapi-ratelimit-headers-11.",
    "RateLimit": "What is left of them, and until when.",
}
_RETRY: Final = {"Retry-After": "Seconds after which to ask again."}
_FURTHER: Final[Mapping[str, tuple[str, str, Mapping[str, str]]]] = {
    "/healthz": ("healthz", "Whether this gateway lives", {"200": "It does."}),
    "/readyz": (
        "readyz",
        "Whether it serves subscribers",
        {"200": "It does.", "503": "Not yet, or not any more: the body says why."},
    ),
    "/v1/openapi.json": ("openapi", "This document", {"200": "OpenAPI 3.1."}),
    "/v1/asyncapi.json": ("asyncapi", "The stream's document", {"200": "AsyncAPI 3."}),
}
"""What needs no key."""


def openapi() -> Schema:
    """The document, as JSON has it."""
    answers = [row.answer for row in REST]
    paths: dict[str, Schema] = {}
    for row in REST:
        paths.setdefault(row.path, {})[row.method.lower()] = _operation(row)
    for path, (name, summary, told) in _FURTHER.items():
        responses = {
            status: {
                "description": description,
                "content": {"application/json": {"schema": {"type": "object"}}},
            }
            for status, description in told.items()
        }
        paths[path] = {"get": _open(name, summary, responses)}
    paths["/v1/stream"] = {
        "get": _open(
            "upgrade",
            "The WebSocket of the stream",
            {
                "101": {"description": "The stream begins: see the AsyncAPI document."},
                **_refusals(("upgrade_required", *STREAM_REFUSALS)),
            },
        )
    }
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Tickgate REST",
            "version": version("tickgate"),
            "summary": "Prices, candles and signals by plain HTTP.",
            "description": _ABOUT,
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": "/", "description": "This gateway"}],
        "tags": [
            {"name": "data", "description": "What the streams keep."},
            {"name": "key", "description": "What a key may ask about itself."},
            {"name": "gateway", "description": "What needs no key."},
        ],
        "security": [{"key": []}, {"bearer": []}],
        "paths": paths,
        "components": {
            "schemas": components([*answers, Problem]),
            "securitySchemes": {
                "key": {"type": "apiKey", "in": "header", "name": "X-API-Key"},
                "bearer": {
                    "type": "http",
                    "scheme": "bearer",
                    "description": "An API key, or a token (JWT) of the set issuer.",
                },
            },
        },
    }


STREAM_REFUSALS: Final = (
    *("key_in_url", "unknown_subprotocol", "auth_failed", "origin_not_allowed", "not_found"),
    *("too_many_connections", "too_many_failures", "keys_unavailable", "draining"),
)
"""What an upgrade to the stream may be refused for."""


def _operation(row: RestRoute) -> Schema:
    headers = _headers(_LIMITS)
    if not row.is_secret:
        headers |= _headers({"ETag": "Of the answer: send it as If-None-Match."})
    responses: Schema = {
        "200": {
            "description": f"{row.summary}.",
            "headers": headers,
            "content": {"application/json": {"schema": reference(row.answer)}},
        }
    }
    if not row.is_secret:
        responses["304"] = {"description": "The answer is still what If-None-Match names."}
    return {
        "operationId": row.name,
        "summary": row.summary,
        "tags": ["key" if row.is_secret else "data"],
        "parameters": parameters(row.query),
        "responses": responses | _refusals((*FOR_ALL, *row.problems)),
    }


def _open(name: str, summary: str, responses: Schema) -> Schema:
    return {
        "operationId": name,
        "summary": summary,
        "tags": ["gateway"],
        "security": [],
        "responses": responses,
    }


def _refusals(codes: Iterable[str]) -> Schema:
    """By status, with the codes that it may have."""
    by_status: dict[int, list[str]] = {}
    for code in dict.fromkeys(codes):
        by_status.setdefault(PROBLEMS[code].status, []).append(code)
    return {
        str(status): {
            "description": " ".join(f"`{code}`: {PROBLEMS[code].title}" for code in of_status),
            **({"headers": _headers(_RETRY)} if status in (429, 503) else {}),
            "content": {MEDIA_TYPE: {"schema": _problem(of_status)}},
        }
        for status, of_status in sorted(by_status.items())
    }


def _problem(codes: list[str]) -> Schema:
    return {"allOf": [reference(Problem), {"properties": {"code": {"enum": codes}}}]}


def _headers(told: Mapping[str, str]) -> dict[str, Any]:
    return {
        name: {"description": description, "schema": {"type": "string"}}
        for name, description in told.items()
    }
