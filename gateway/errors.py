"""What can go wrong for a client: error codes and close codes, each a row with what to do next.

The README's tables are these; a test keeps them equal.
"""

from typing import Literal

import msgspec


class ErrorRow(msgspec.Struct, frozen=True):
    """A refusal of one command, or of one channel of it. The connection goes on."""

    code: str
    text: str
    retry: bool
    """Whether the same request can succeed later."""


ERRORS: dict[str, ErrorRow] = {
    row.code: row
    for row in (
        ErrorRow("bad_message", "The message is not a command of this protocol.", retry=False),
        ErrorRow("auth_required", "Send auth with a key first.", retry=False),
        ErrorRow("already_authenticated", "This connection has its key already.", retry=False),
        ErrorRow("bad_channel", "The name is not a channel's.", retry=False),
        ErrorRow("unknown_venue", "Nobody publishes under this venue.", retry=True),
        ErrorRow("unknown_symbol", "The venue has no such channel.", retry=True),
        ErrorRow("not_in_plan", "The key may not see this channel.", retry=False),
        ErrorRow("not_subscribed", "There is no such subscription to end.", retry=False),
        ErrorRow("bad_rate", "There is no such rate.", retry=False),
        ErrorRow("too_many_channels", "One command names too many channels.", retry=False),
        ErrorRow("too_many_subscriptions", "The plan allows no more subscriptions.", retry=False),
        ErrorRow("rate_limited", "Too many commands.", retry=True),
        ErrorRow("replay_later", "Too much to replay at once; ask again.", retry=True),
        ErrorRow("usage_unavailable", "The usage can't be read just now.", retry=True),
        ErrorRow("bus_unavailable", "The channel could not be opened just now.", retry=True),
    )
}

Next = Literal["stop", "back_off", "come_back"]


class CloseRow(msgspec.Struct, frozen=True):
    """An end of the connection. The band of the code says what the client is to do."""

    code: int
    name: str
    text: str

    @property
    def next(self) -> Next:
        """What the README's section on closes says of the code."""
        return next_after(self.code)


def next_after(code: int) -> Next:
    """What a client is to do after a close with this code, of ours or the protocol's own."""
    if 4000 <= code < 4100 or code in (1002, 1003, 1007, 1008, 1009):
        return "stop"
    return "back_off" if 4100 <= code < 4200 else "come_back"


CLOSES: dict[str, CloseRow] = {
    row.name: row
    for row in (
        CloseRow(1008, "policy", "Too many malformed messages."),
        CloseRow(4000, "protocol", "The client broke the protocol."),
        CloseRow(4001, "auth_timeout", "No key came in time."),
        CloseRow(4002, "auth_failed", "The key is not valid."),
        CloseRow(4003, "key_revoked", "The key was revoked or has expired."),
        CloseRow(4100, "connections", "The key has too many connections."),
        CloseRow(4101, "rate", "That was more, or faster, than the plan allows."),
        CloseRow(4103, "internal", "The gateway failed; it is not the client's fault."),
        CloseRow(4105, "slow", "The client reads too slowly."),
        CloseRow(4201, "max_age", "The connection is as old as the plan allows: come back."),
        CloseRow(4203, "no_pong", "The client did not answer a ping."),
        CloseRow(4204, "bus_lost", "The gateway lost its bus; another one may have it."),
        CloseRow(4200, "draining", "This gateway is stopping; another one serves."),
    )
}


class CommandError(Exception):
    """A client's mistake, answered with a row of ERRORS."""

    def __init__(self, code: str, detail: str = "", *, after_ms: int | None = None) -> None:
        self.row = ERRORS[code]
        self.detail = detail or self.row.text
        self.after_ms = after_ms
        super().__init__(self.detail)
