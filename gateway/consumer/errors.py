"""Why a client has no stream, or not the one it asked for, and what it is to do next. Pure."""

from random import Random
from typing import Final

from gateway.errors import Next, next_after
from gateway.protocol import Ack, Error

COME_BACK_S: Final = 3.0
BACK_OFF_FIRST_S: Final = 0.5
BACK_OFF_MAX_S: Final = 30.0
_WISH_MAX_S: Final = 300.0
"""However long a `Retry-After` asks us to stay away."""

_KEY_CODES: Final = frozenset((4001, 4002, 4003))
_LATER_STATUSES: Final = frozenset((408, 425, 429))


class StreamError(Exception):
    """The base of all that a Stream raises. The message is one line, for people."""

    next: Next = "stop"
    after_s = 0.0
    """The least wait that the gateway asked for."""


class UnreachableError(StreamError):
    """No gateway answers there: refused, no such name, not in time, or something else does."""

    next: Next = "back_off"


class RefusedError(StreamError):
    """The gateway answers, and refuses the connection with an HTTP status."""

    def __init__(self, status: int, code: str, message: str, retry_after: str = "") -> None:
        """`retry_after` is the header: seconds; a date is not understood."""
        super().__init__(f"the gateway refuses the connection: {message} ({status} {code})")
        self.status = status
        self.code = code
        self.next = "back_off" if status >= 500 or status in _LATER_STATUSES else "stop"
        if retry_after.isdecimal():
            self.after_s = min(float(retry_after), _WISH_MAX_S)


class ClosedError(StreamError):
    """The connection ended. `code` is the WebSocket's, 1006 where it just broke."""

    def __init__(self, code: int, reason: str) -> None:
        super().__init__(f"the connection was closed: {reason or 'no reason given'} ({code})")
        self.code = code
        self.reason = reason
        self.next = next_after(code)


class KeyRefusedError(StreamError):
    """The key is no valid one, or isn't any more. Another try would not help."""


class CommandRefusedError(StreamError):
    """The gateway refused a whole command."""

    def __init__(self, error: Error) -> None:
        super().__init__(f"{error.message} ({error.code})")
        self.error = error


class ChannelsRefusedError(StreamError):
    """The gateway refused some channels of a command; those of `ack.ok` are subscribed."""

    def __init__(self, ack: Ack) -> None:
        told = (
            f"{row.ch}: {row.message} ({row.code})"
            + (f"; did you mean {row.hint}?" if row.hint else "")
            for row in ack.err
        )
        super().__init__("; ".join(told))
        self.ack = ack


class UnansweredError(StreamError):
    """The gateway did not answer a command in time."""


def closed(code: int, reason: str) -> StreamError:
    """What a close with that code is, in this hierarchy."""
    if code in _KEY_CODES:
        return KeyRefusedError(f"the gateway closed the connection: {reason} ({code})")
    return ClosedError(code, reason)


def back_off_s(failures: int, random: Random) -> float:
    """Full jitter under a ceiling that doubles with each failure in a row (the first is 1)."""
    ceiling_s = min(BACK_OFF_MAX_S, BACK_OFF_FIRST_S * 2 ** min(failures, 16))
    return random.uniform(BACK_OFF_FIRST_S, ceiling_s)


def pause_s(error: StreamError, failures: int, random: Random) -> float:
    """How long to stay away after the `failures`-th failure in a row."""
    if error.next == "come_back":
        return random.uniform(0.0, COME_BACK_S)
    return max(error.after_s, back_off_s(failures, random))
