"""Tokens that nobody should accept, by chance: a valid one bent, or segments made up.

Each call of `bent_token` is one input; the full run asks for a million.
"""

import base64
import json
from random import Random
from typing import Any, Final

from tests.token_issuer import joined

_ALGORITHMS: Final = ("none", "None", "", "HS256", "RS256", "RS512", "ES256", "EdDSA", None, 7, [])
_ODD: Final[tuple[Any, ...]] = (
    None,
    True,
    -1,
    0,
    1e308,
    10**400,
    "",
    "x" * 300,
    "\u0000",
    [],
    {},
    [[[[]]]],
    {"a": {"b": {}}},
)
_NAMES: Final = ("alg", "kid", "typ", "jku", "jwk", "x5u", "x5c", "crit", "b64", "cty", "zip")
_CLAIMS: Final = ("iss", "aud", "sub", "exp", "nbf", "iat", "plan", "channels")
_LETTERS: Final = (
    "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.=+/ \u00e9\ud800"
)


def bent_token(random: Random, valid: str) -> str:
    """Never the valid token itself."""
    bend = random.choice((_flipped, _cut, _repeated, _made_up, _with_header, _with_claims, _noise))
    bent = bend(random, valid)
    return bent if bent != valid else bent + "A"


def _flipped(random: Random, valid: str) -> str:
    letters = list(valid)
    for _ in range(random.randint(1, 4)):
        letters[random.randrange(len(letters))] = random.choice(_LETTERS)
    # The last letter of a segment has bits that mean nothing: another letter may be the same bytes.
    return (
        valid[:-3] + "AAAA" if _bytes_of("".join(letters)) == _bytes_of(valid) else "".join(letters)
    )


def _cut(random: Random, valid: str) -> str:
    return valid[: random.randrange(len(valid))][random.randrange(3) :]


def _repeated(random: Random, valid: str) -> str:
    parts = valid.split(".")
    return ".".join(random.choice(parts) for _ in range(random.randint(1, 5)))


def _noise(random: Random, _: str) -> str:
    return "".join(random.choice(_LETTERS) for _ in range(random.randint(0, 200)))


def _made_up(random: Random, _: str) -> str:
    segments = (random.randbytes(random.randint(0, 60)) for _ in range(3))
    return ".".join(base64.urlsafe_b64encode(one).rstrip(b"=").decode() for one in segments)


def _with_header(random: Random, valid: str) -> str:
    header, payload, signature = _bytes_of(valid)
    said = json.loads(header)
    said["alg"] = random.choice(_ALGORITHMS)
    for _ in range(random.randint(0, 3)):
        said[random.choice(_NAMES)] = random.choice(_ODD)
    return joined(said, payload, random.choice((signature, b"", random.randbytes(32))))


def _with_claims(random: Random, valid: str) -> str:
    header, payload, signature = _bytes_of(valid)
    said = json.loads(payload)
    for _ in range(random.randint(1, 4)):
        said[random.choice(_CLAIMS)] = random.choice(_ODD)
    text = random.choice((json.dumps(said).encode(), b"[" * 5_000, b"", b"null", payload[:-1]))
    return joined(header, text, signature)


def _bytes_of(token: str) -> list[bytes]:
    """Of each segment; what is no base64 is nothing."""
    found = []
    for part in token.split("."):
        try:
            found.append(base64.urlsafe_b64decode(part.encode() + b"=" * (-len(part) % 4)))
        except ValueError:
            found.append(b"")
    return found
