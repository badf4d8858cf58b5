"""Somebody with users of their own, who signs tokens for them; and who forges them."""

import base64
import json
from functools import cache
from typing import Any

import jwt
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from jwt.algorithms import OKPAlgorithm, RSAAlgorithm

ISSUER = "https://users.example"
AUDIENCE = "tickgate"
SECRET = b"a secret of more than thirty-two bytes, for tests"


@cache
def rsa_key(name: str = "first", bits: int = 2_048) -> rsa.RSAPrivateKey:
    """One for each name; making one takes a tenth of a second."""
    return rsa.generate_private_key(public_exponent=65_537, key_size=bits)


@cache
def ed25519_key() -> Ed25519PrivateKey:
    return Ed25519PrivateKey.generate()


def rsa_jwk(kid: str = "first", **fields: object) -> dict[str, Any]:
    """The public half, as it stands in a set."""
    return json.loads(RSAAlgorithm.to_jwk(rsa_key(kid).public_key())) | {"kid": kid} | fields


def ed25519_jwk(kid: str = "ed") -> dict[str, Any]:
    return json.loads(OKPAlgorithm.to_jwk(ed25519_key().public_key())) | {"kid": kid}


def jwks(*keys: dict[str, Any]) -> bytes:
    return json.dumps({"keys": keys}).encode()


def rsa_public_pem() -> bytes:
    return (
        rsa_key()
        .public_key()
        .public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    )


def claims_at(now_s: float, **changes: Any) -> dict[str, Any]:
    """Of a valid token; a change to None leaves a claim out."""
    claims = {"iss": ISSUER, "aud": AUDIENCE, "sub": "ada", "exp": now_s + 600, "plan": "pro"}
    return {name: value for name, value in (claims | changes).items() if value is not None}


def signed(claims: dict[str, Any], kid: str | None = "first", **header: Any) -> str:
    """By the RSA key of that name."""
    headers = header | ({} if kid is None else {"kid": kid})
    return jwt.encode(claims, rsa_key(kid or "first"), "RS256", headers=headers)


def joined(header: Any, payload: bytes, signature: bytes = b"") -> str:
    """Any three segments."""
    head = header if isinstance(header, bytes) else json.dumps(header).encode()
    return ".".join(
        base64.urlsafe_b64encode(part).rstrip(b"=").decode() for part in (head, payload, signature)
    )
