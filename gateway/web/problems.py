"""What HTTP can refuse: codes with a status and a title, told as problem+json (RFC 9457). Pure.

The README's table is this one; a test keeps them equal. `message` says what `detail` says: it was
there before the rest, and clients of the stream's upgrade read it.
"""

from collections.abc import Mapping
from typing import Final

import msgspec

MEDIA_TYPE: Final = "application/problem+json"
_TYPE_PREFIX: Final = "urn:tickgate:problem:"


class ProblemRow(msgspec.Struct, frozen=True):
    """A kind of refusal."""

    code: str
    status: int
    title: str


class Problem(msgspec.Struct, frozen=True):
    """The body of a refusal. `code` is what programs are to look at."""

    type: str
    """`urn:tickgate:problem:` and the code."""
    title: str
    """The same for all of the code."""
    status: int
    detail: str
    """What is wrong with this request."""
    code: str
    message: str
    """The same as `detail`."""


PROBLEMS: Final[dict[str, ProblemRow]] = {
    row.code: row
    for row in (
        ProblemRow("bad_parameter", 400, "A parameter is not what it should be."),
        ProblemRow("bad_cursor", 400, "The cursor is none of this listing's."),
        ProblemRow("bad_channel", 400, "The name is not a channel's."),
        ProblemRow("too_many_channels", 400, "One request names too many channels."),
        ProblemRow("key_in_url", 400, "A key does not belong into a URL."),
        ProblemRow("unknown_subprotocol", 400, "There is no such subprotocol."),
        ProblemRow("auth_required", 401, "A key is needed."),
        ProblemRow("auth_failed", 401, "The key is not valid."),
        ProblemRow("not_in_plan", 403, "The key may not see this."),
        ProblemRow("origin_not_allowed", 403, "Pages of this site may not connect."),
        ProblemRow("not_found", 404, "There is nothing at this path."),
        ProblemRow("unknown_venue", 404, "Nobody publishes under this venue."),
        ProblemRow("unknown_symbol", 404, "The venue has no such channel."),
        ProblemRow("unknown_model", 404, "There is no such model, or it has no record."),
        ProblemRow("method_not_allowed", 405, "The path has no such method."),
        ProblemRow("history_gone", 410, "What comes next in the listing is no longer kept."),
        ProblemRow("epoch_ended", 410, "The channel's numbering began anew."),
        ProblemRow("upgrade_required", 426, "This is a WebSocket endpoint."),
        ProblemRow("rate_limited", 429, "Too many calls."),
        ProblemRow("quota_exceeded", 429, "The plan allows no more calls in this month."),
        ProblemRow("too_many_connections", 429, "All connections of the key are in use."),
        ProblemRow("too_many_failures", 429, "Too many wrong keys came from this address."),
        ProblemRow("internal", 500, "The gateway failed; it is not the client's fault."),
        ProblemRow("busy", 503, "Too many requests wait for their turn."),
        ProblemRow("history_unavailable", 503, "What is kept can't be read just now."),
        ProblemRow("keys_unavailable", 503, "Keys can't be looked at just now."),
        ProblemRow("tickets_unavailable", 503, "Tickets can't be had just now."),
        ProblemRow("usage_unavailable", 503, "The usage can't be read just now."),
        ProblemRow("draining", 503, "This gateway is stopping; another one serves."),
    )
}


def problem(code: str, detail: str = "") -> Problem:
    """The body of a refusal; without a detail its title says it all."""
    row = PROBLEMS[code]
    detail = detail or row.title
    return Problem(_TYPE_PREFIX + code, row.title, row.status, detail, code, detail)


class Refusal(Exception):  # noqa: N818 - a word of the protocol
    """A connection or request that is not let in: answered with a status and problem+json."""

    def __init__(
        self, code: str, detail: str = "", headers: Mapping[str, str] | None = None
    ) -> None:
        self.code = code
        self.status = PROBLEMS[code].status
        self.body: dict[str, object] = msgspec.to_builtins(problem(code, detail))
        self.headers = dict(headers or {})
        super().__init__(detail)
