"""Where each venue is published since the derivations began: here, or by another process. Pure.

Of a venue that was heard from both sides the order of ticks is not known: derivations begin again.
"""


class MovedError(Exception):
    """A venue is published by another process than before."""


class Whereabouts:
    """Of the venues that were heard."""

    def __init__(self) -> None:
        self.here: set[str] = set()
        """Venues that were offered here."""
        self.elsewhere: set[str] = set()
        """Venues that were heard from the bus."""

    def begin(self, here: set[str]) -> None:
        """The derivations begin; what waits for them already was offered `here`."""
        self.here = here
        self.elsewhere.clear()

    def expect_unmoved(self) -> None:
        """Raises MovedError."""
        moved = self.here & self.elsewhere
        if moved:
            raise MovedError(f"another process than before publishes {', '.join(sorted(moved))}")
