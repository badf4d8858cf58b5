"""Where a listing goes on: opaque to clients, and good for the listing that gave it only. Pure.

It names seqs, not times or offsets: what comes while somebody turns pages moves nothing.
"""

import base64
import hashlib
import zlib
from typing import Final, TypeVar

import msgspec

_LENGTH_MAX: Final = 6_000
_INFLATED_MAX: Final = 32_768
_CHECK_BYTES: Final = 6

T = TypeVar("T")


class CursorError(ValueError):
    """A text that is no cursor of this listing."""


def encode(listing: str, place: object) -> str:
    """`listing` is what was asked: a cursor of another question is none."""
    body = zlib.compress(msgspec.msgpack.encode(place), 6)
    return base64.urlsafe_b64encode(_check(listing, body) + body).rstrip(b"=").decode()


def decode(listing: str, text: str, type_: type[T]) -> T:
    """Raises CursorError."""
    try:
        if len(text) > _LENGTH_MAX:
            raise CursorError("too long")
        raw = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
        check, body = raw[:_CHECK_BYTES], raw[_CHECK_BYTES:]
        if check != _check(listing, body):
            raise CursorError("of another listing")
        inflating = zlib.decompressobj()
        plain = inflating.decompress(body, _INFLATED_MAX)
        if not inflating.eof:
            raise CursorError("too long")
        return msgspec.msgpack.decode(plain, type=type_)
    except (ValueError, zlib.error, msgspec.DecodeError) as error:
        raise CursorError(str(error)) from error


def _check(listing: str, body: bytes) -> bytes:
    """Against mistakes, not malice: what a cursor names is looked at as what a query names."""
    return hashlib.blake2b(listing.encode() + b"\0" + body, digest_size=_CHECK_BYTES).digest()
