"""Prices and sizes as the venue wrote them: decimal strings, validated, never through a float."""

import re
from decimal import Decimal
from typing import Literal

_PLAIN = re.compile(r"(?:0|[1-9][0-9]{0,23})(?:\.[0-9]{1,24})?\Z")
_SCIENTIFIC = re.compile(r"(?:0|[1-9][0-9]{0,23})(?:\.[0-9]{1,24})?[eE][+-]?[0-9]{1,2}\Z")
_NEGATIVE = re.compile(r"-[0-9.]+(?:[eE][+-]?[0-9]{1,2})?\Z")
_ONLY_ZEROS = frozenset("0.")


class DigitsError(ValueError):
    """A text that is no decimal number of zero or more, or of more than zero."""

    def __init__(self, message: str, fault: Literal["not_a_number", "not_positive"]) -> None:
        self.fault = fault
        super().__init__(message)


def digits(text: str) -> str:
    """The venue's own digits, checked: `"0.01500000"` stays so.

    Scientific notation is written out (`6.37e-08` -> `0.0000000637`), as some venues emit it and
    few readers expect it. Signs, NaN, infinities, blanks, leading zeros and numbers of more than
    24 digits a side raise DigitsError.
    """
    if _PLAIN.match(text):
        return text
    if _SCIENTIFIC.match(text):
        plain = format(Decimal(text), "f")
        if _PLAIN.match(plain):
            return plain
    fault: Literal["not_a_number", "not_positive"]
    fault = "not_positive" if _NEGATIVE.match(text) else "not_a_number"
    raise DigitsError(f"not a decimal number: {text[:40]!r}", fault)


def is_zero(text: str) -> bool:
    """Whether validated digits stand for nothing at all (`0`, `0.00`)."""
    return _ONLY_ZEROS.issuperset(text)


def positive(text: str) -> str:
    """As `digits`, for what must be more than zero: every price, and the size of a trade."""
    plain = digits(text)
    if is_zero(plain):
        raise DigitsError(f"must be more than zero: {text[:40]!r}", "not_positive")
    return plain


def written(number: Decimal) -> str:
    """A sum of ours as digits: plain, without zeros at the end."""
    text = f"{number:f}"
    return text.rstrip("0").rstrip(".") if "." in text else text
