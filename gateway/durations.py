"""Lengths of time as people write them: `90s`, `15m`, `24h`, `90d`. Pure."""

import re
from typing import Final

_UNITS_S: Final = {"s": 1, "m": 60, "h": 3_600, "d": 86_400}
_SHAPE: Final = re.compile(r"([0-9]{1,9})([smhd])\Z")
MOST_S: Final = 100 * 365 * 86_400


def seconds_in(text: str) -> int:
    """Raises ValueError, saying what was expected."""
    shape = _SHAPE.match(text)
    if shape is None:
        raise ValueError(f"expected a length of time like 90s, 15m, 24h or 90d, got {text[:32]!r}")
    seconds = int(shape[1]) * _UNITS_S[shape[2]]
    if seconds > MOST_S:
        raise ValueError(f"{text} is more than a hundred years")
    return seconds
