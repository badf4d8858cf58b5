"""What the world does to feeds. Each is caught at one named place, which retries or reports."""


class FeedError(Exception):
    """Something that feeds meet and can name; its text is a sentence for the operator."""


class SettingError(FeedError):
    """A setting that no feed can run with. Raised before anything is connected."""


class UnknownVenueError(SettingError):
    """A venue that nobody wrote an adapter for."""

    def __init__(self, name: str, known: tuple[str, ...]) -> None:
        super().__init__(f"no such venue: {name[:40]}; there are {', '.join(known)}")


class BusUnreachableError(FeedError):
    """Redis is not there at the start. (Later on the publisher holds ticks and retries.)"""

    def __init__(self, text: str, is_refusal: bool = False) -> None:
        super().__init__(text)
        self.is_refusal = is_refusal
        """Something is there and answers, but not to us: no waiting helps."""


class RecordError(FeedError):
    """A recording can't be written: no space, no permission."""


class ConnectionLostError(FeedError):
    """A venue's connection ended, or never began; the text finishes `<venue> …`."""


class VenueUnreachableError(ConnectionLostError):
    """It could not be opened."""


class VenueSilentError(ConnectionLostError):
    """It is open, and nothing comes: the commonest failure of feeds, and the one without a sign."""


class LedgerError(FeedError):
    """The ledger can't be opened, or can't be written: what it can't prove must not be told."""
