"""API keys: `tg_<id>_<secret>`, 256 random bits, of which only a SHA-256 is kept. Pure.

A plain hash suffices: there is nothing to guess in a secret that no person chose. An HMAC would
add a secret to lose, which had to be where the hashes are.
"""

import hashlib
import hmac
import re
import secrets
from typing import Literal, Self

import msgspec

_SHAPE = re.compile(r"tg_([a-z0-9]{8})_([A-Za-z0-9_-]{43})\Z")
_ID_ALPHABET = "abcdefghijkmnpqrstuvwxyz23456789"
LABEL_MAX = 64

KeyState = Literal["valid", "revoked", "expired"]


class Holder(msgspec.Struct, frozen=True, omit_defaults=True):
    """Who was let in, by a key or a token: under `id` they are counted and limited."""

    id: str
    """No secret: it stands in logs and lists."""
    plan: str
    channels: tuple[str, ...] | None = None
    """Patterns, inside the plan's; None: all that the plan has."""
    ends_us: int | None = None
    """When the right to be here ends, as far as is known; UTC."""
    proof: str = ""
    """The SHA-256 of the key that was shown; nothing where it was a token."""


class KeyRecord(msgspec.Struct, frozen=True, omit_defaults=True):
    """What is known of a key. `id` is no secret: it stands in logs and lists."""

    id: str
    label: str
    plan: str
    sha256: str
    created_us: int
    revoked_us: int | None = None
    expires_us: int | None = None
    channels: tuple[str, ...] | None = None
    """Patterns of the channels it may see, inside its plan's; None: all of the plan's."""
    previous_sha256: str = ""
    """Of the key before the last rotation, which is good until `previous_until_us`."""
    previous_until_us: int = 0

    @classmethod
    def made(
        cls,
        label: str,
        plan: str,
        now_us: int,
        *,
        expires_us: int | None = None,
        channels: tuple[str, ...] | None = None,
    ) -> tuple[Self, str]:
        """A new record, and the key itself: the only time that it can be seen."""
        key_id = "".join(secrets.choice(_ID_ALPHABET) for _ in range(8))
        key = _new_key(key_id)
        record = cls(
            key_id,
            label[:LABEL_MAX],
            plan,
            _sha256(key),
            now_us,
            expires_us=expires_us,
            channels=channels,
        )
        return record, key

    def rotated(self, now_us: int, overlap_us: int) -> tuple[Self, str]:
        """With a new secret under the same id; the one of now is good for `overlap_us` more.

        One that still was in its overlap from the time before is over.
        """
        key = _new_key(self.id)
        record = msgspec.structs.replace(
            self,
            sha256=_sha256(key),
            previous_sha256=self.sha256 if overlap_us > 0 else "",
            previous_until_us=now_us + overlap_us if overlap_us > 0 else 0,
        )
        return record, key

    def state(self, now_us: int) -> KeyState:
        if self.revoked_us is not None:
            return "revoked"
        if self.expires_us is not None and self.expires_us <= now_us:
            return "expired"
        return "valid"

    def admits(self, key: str, now_us: int) -> bool:
        """Whether this is the key, and it is good. Takes the same time for all keys."""
        return self.still_admits(_sha256(key), now_us)

    def still_admits(self, proof: str, now_us: int) -> bool:
        """Whether the key of which `proof` is the hash is good at this moment."""
        is_current = hmac.compare_digest(self.sha256, proof)
        is_previous = hmac.compare_digest(self.previous_sha256, proof)
        in_overlap = is_previous and now_us < self.previous_until_us
        return (is_current or in_overlap) and self.state(now_us) == "valid"

    def holder(self, key: str) -> Holder:
        """The holder of a key that is admitted."""
        proof = _sha256(key)
        ends = [self.expires_us] if self.expires_us is not None else []
        if proof != self.sha256:
            ends.append(self.previous_until_us)
        return Holder(self.id, self.plan, self.channels, min(ends, default=None), proof)


def id_in(key: str) -> str | None:
    """The id that a text of a key's shape claims; None for any other text."""
    shape = _SHAPE.match(key)
    return shape.group(1) if shape else None


def _new_key(key_id: str) -> str:
    return f"tg_{key_id}_{secrets.token_urlsafe(32)}"


def _sha256(key: str) -> str:
    return hashlib.sha256(key.encode(errors="surrogatepass")).hexdigest()
