"""Times as text, to integer microseconds UTC: exactly, never through a float. Pure."""

import re
from datetime import date
from functools import lru_cache

_RFC3339 = re.compile(
    r"([0-9]{4}-[0-9]{2}-[0-9]{2})[Tt ]([0-9]{2}):([0-9]{2}):([0-9]{2})"
    r"(?:\.([0-9]{1,9}))?(?:[Zz]|([+-])([0-9]{2}):([0-9]{2}))\Z"
)
_EPOCH_DAY = date(1970, 1, 1).toordinal()


class TimeError(ValueError):
    """A text that is no moment since 1970."""


@lru_cache(maxsize=64)
def _day_s(day: str) -> int:
    """Seconds since 1970 at the start of a day (`2026-08-09`). Raises ValueError."""
    return (date.fromisoformat(day).toordinal() - _EPOCH_DAY) * 86_400


def rfc3339_us(text: str) -> int:
    """Microseconds since 1970 of `2026-08-09T21:05:48.229111828Z` or `…+02:00`.

    What is below a microsecond is cut off, not rounded. The second may be 60 (a leap second
    counts as the next minute's first). Raises TimeError.
    """
    found = _RFC3339.match(text)
    if found is None:
        raise TimeError(f"not a time like 2026-08-09T21:05:48.229Z: {text[:40]!r}")
    day, hour, minute, second, fraction, sign, ahead_hours, ahead_minutes = found.groups()
    hours, minutes, seconds = int(hour), int(minute), int(second)
    if hours > 23 or minutes > 59 or seconds > 60:
        raise TimeError(f"no such time of day: {text[:40]!r}")
    try:
        total_s = _day_s(day) + hours * 3_600 + minutes * 60 + seconds
    except ValueError as error:
        raise TimeError(f"no such day: {text[:40]!r}") from error
    if sign:
        total_s -= _ahead_s(sign, int(ahead_hours), int(ahead_minutes))
    if total_s < 0:
        raise TimeError(f"before 1970: {text[:40]!r}")
    below_s = int(fraction[:6].ljust(6, "0")) if fraction else 0
    return total_s * 1_000_000 + below_s


def _ahead_s(sign: str, hours: int, minutes: int) -> int:
    """How far a zone's clock is ahead of UTC, seconds. Raises TimeError."""
    if hours > 23 or minutes > 59:
        raise TimeError(f"no such offset from UTC: {sign}{hours:02}:{minutes:02}")
    ahead_s = hours * 3_600 + minutes * 60
    return -ahead_s if sign == "-" else ahead_s
