"""Which channels a key may see: patterns like `trade:kraken:*`. Pure.

A pattern is `*`, or a channel's name in which each of the three parts may be or end in `*`. A name
must match one pattern of the plan and, where the key has patterns of its own, one of those too.
"""

import re
from collections.abc import Iterable
from functools import lru_cache
from typing import Annotated, Final

import msgspec

PATTERN: Final = (
    r"^(\*|([a-z]+(\.[a-z0-9]*)?\*?|\*):([a-z0-9][a-z0-9_-]*\*?|\*):([A-Z0-9][A-Z0-9._-]*\*?|\*))$"
)
"""What a pattern looks like."""
PATTERNS_MAX: Final = 64
"""Of one key or one plan."""

ChannelPattern = Annotated[str, msgspec.Meta(pattern=PATTERN, max_length=128)]
ChannelPatterns = Annotated[tuple[ChannelPattern, ...], msgspec.Meta(max_length=PATTERNS_MAX)]

EVERYTHING: Final = ("*",)


class Grant:
    """The channels that one holder of a key may see."""

    __slots__ = ("_all_of",)

    def __init__(self, *patterns: tuple[str, ...]) -> None:
        """A name is allowed that matches one of each; without any, everything is."""
        limits = (one for one in patterns if "*" not in one)
        self._all_of = tuple(_matcher(one) for one in limits)

    def allows(self, name: str) -> bool:
        return all(matcher.fullmatch(name) for matcher in self._all_of)


def checked_patterns(texts: Iterable[str]) -> tuple[str, ...]:
    """The same, where each is a pattern. Raises ValueError, naming the first that isn't."""
    patterns = tuple(texts)
    if len(patterns) > PATTERNS_MAX:
        raise ValueError(f"at most {PATTERNS_MAX} channel patterns")
    for text in patterns:
        if len(text) > 128 or not re.match(PATTERN, text) or text.endswith("\n"):
            raise ValueError(f"{text[:128]!r} is no channel pattern: one is like trade:kraken:*")
    return patterns


@lru_cache(maxsize=1_024)
def _matcher(patterns: tuple[str, ...]) -> re.Pattern[str]:
    """Keys with the same patterns share one. No pattern at all matches nothing."""
    parts = (re.escape(pattern).replace(r"\*", "[^:]*") for pattern in patterns)
    return re.compile("|".join(parts) or r"(?!)")
