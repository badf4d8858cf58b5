"""Times as a person reads them: UTC."""

from datetime import UTC, datetime


def time_of(at_us: int) -> str:
    """To the second, with its zone."""
    return f"{datetime.fromtimestamp(at_us / 1e6, UTC):%Y-%m-%d %H:%M:%S} UTC"


def minute_of(at_us: int) -> str:
    """Without its zone: for spans of time that name it once."""
    return f"{datetime.fromtimestamp(at_us / 1e6, UTC):%Y-%m-%d %H:%M}"
