"""Decimal texts to integers and back, exactly. Pure; no float, no rounding.

A number is a pair: an integer, and how many of its digits stand behind the point.
"""

from functools import lru_cache


@lru_cache(maxsize=16_384)
def read(text: str) -> tuple[int, int]:
    """`"-3.50"` -> (-350, 2). Cached: most venues' quotes stand while another's moves."""
    whole, _, fraction = text.partition(".")
    return int(whole + fraction), len(fraction)


def written(number: int, decimals: int) -> str:
    """(-350, 2) -> `"-3.5"`: without zeros at the end."""
    if not decimals:
        return str(number)
    sign = "-" if number < 0 else ""
    digits = str(abs(number)).rjust(decimals + 1, "0")
    fraction = digits[-decimals:].rstrip("0")
    return f"{sign}{digits[:-decimals]}{'.' if fraction else ''}{fraction}"
