"""Why a command ends without having done what it was asked to."""

from typing import Final, Literal

STATUS_WORLD: Final = 1
"""What the command needs isn't there just now: it may work later, unchanged."""
STATUS_MISTAKE: Final = 2
"""What was typed or set can't work."""
STATUS_INTERRUPTED: Final = 130
"""Ctrl-C, where that is not the usual way to end; as shells have it."""
NO_KEY: Final = "no key: set TICKGATE_KEY, or give --key (`tickgate keys create` makes one)"


class CommandFailure(Exception):  # noqa: N818 - what happened to the command, not to Python
    """One line for the terminal and an exit status."""

    def __init__(self, message: str, status: Literal[1, 2] = STATUS_WORLD) -> None:
        super().__init__(message)
        self.status = status
