"""API keys: `tg_<id>_<secret>`, 256 random bits, of which only a SHA-256 is kept. Pure.

A plain hash suffices: there is nothing to guess in a secret that no person chose.
"""

import hashlib
import hmac
import re
import secrets
from typing import Self

import msgspec

_SHAPE = re.compile(r"tg_([a-z0-9]{8})_([A-Za-z0-9_-]{43})\Z")
_ID_ALPHABET = "abcdefghijkmnpqrstuvwxyz23456789"
LABEL_MAX = 64


class KeyRecord(msgspec.Struct, frozen=True, omit_defaults=True):
    """What is known of a key. `id` is no secret: it stands in logs and lists."""

    id: str
    label: str
    plan: str
    sha256: str
    created_us: int
    revoked_us: int | None = None

    @classmethod
    def made(cls, label: str, plan: str, now_us: int) -> tuple[Self, str]:
        """A new record, and the key itself: the only time that it can be seen."""
        key_id = "".join(secrets.choice(_ID_ALPHABET) for _ in range(8))
        key = f"tg_{key_id}_{secrets.token_urlsafe(32)}"
        return cls(key_id, label[:LABEL_MAX], plan, _sha256(key), now_us), key

    def admits(self, key: str) -> bool:
        """Whether this is the key, and it is not revoked. Takes the same time for all keys."""
        same = hmac.compare_digest(self.sha256, _sha256(key))
        return same and self.revoked_us is None


def id_in(key: str) -> str | None:
    """The id that a text of a key's shape claims; None for any other text."""
    shape = _SHAPE.match(key)
    return shape.group(1) if shape else None


def _sha256(key: str) -> str:
    return hashlib.sha256(key.encode()).hexdigest()
