"""Tokens (JWT) of those who have users of their own: who signs them says who may see what.

One algorithm is pinned by the settings; what a token's header says of algorithms, or of where its
key is to be found, is never followed. PyJWT verifies the signature; the claims are read and checked
here, by types and by the clock that is handed in.
"""

import hashlib
import hmac
import math
from typing import Annotated, Final

import msgspec

from feeds.market import Clock
from gateway.access.grants import ChannelPatterns
from gateway.access.keys import Holder
from gateway.access.token_keys import TokenKeys, TokenKeysError
from gateway.settings import TokenSettings

TOKEN_MAX: Final = 8_192
"""Characters."""
_SEGMENTS: Final = 3

_Name = Annotated[str, msgspec.Meta(min_length=1, max_length=256)]


class TokenRefused(Exception):  # noqa: N818 - a word of the protocol
    """It is no valid token. The message never holds any of it."""


class _Header(msgspec.Struct, frozen=True):
    """`Raw` fields: whatever they say, a token that has them is refused."""

    alg: str
    kid: Annotated[str, msgspec.Meta(max_length=256)] | None = None
    typ: str = "JWT"
    jku: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET
    jwk: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET
    x5u: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET
    x5c: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET
    crit: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET
    b64: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET

    @property
    def names_its_own_key(self) -> bool:
        led = (self.jku, self.jwk, self.x5u, self.x5c, self.crit, self.b64)
        return any(one is not msgspec.UNSET for one in led)


class _Claims(msgspec.Struct, frozen=True):
    iss: str
    aud: str | list[str]
    sub: _Name
    exp: float
    nbf: float | None = None
    plan: Annotated[str, msgspec.Meta(min_length=1, max_length=32)] | None = None
    channels: ChannelPatterns | None = None


_decode_header = msgspec.json.Decoder(_Header).decode
_decode_claims = msgspec.json.Decoder(_Claims).decode


class Tokens:
    """The verifier of one issuer's tokens."""

    def __init__(self, settings: TokenSettings, keys: TokenKeys, clock: Clock) -> None:
        """Raises TokenKeysError where PyJWT is not installed."""
        try:
            from jwt.api_jws import PyJWS  # noqa: PLC0415 - an extra
            from jwt.exceptions import PyJWTError  # noqa: PLC0415
        except ImportError:
            raise TokenKeysError("tokens need PyJWT: pip install 'tickgate[jwt]'") from None
        self._settings = settings
        self._keys = keys
        self._clock = clock
        self._jws = PyJWS(algorithms=[settings.algorithm])
        self._jws_error = PyJWTError

    async def keep_keys_fresh(self) -> None:
        """Until cancelled."""
        await self._keys.keep_fresh()

    async def holder(self, token: str) -> Holder:
        """Whose it is, and what they may see. Raises TokenRefused."""
        header = self._header(token)
        key = await self._keys.find(header.kid)
        if key is None:
            raise TokenRefused("its key is not known")
        try:
            payload = self._jws.decode(token, key, algorithms=[self._settings.algorithm])
        except (self._jws_error, ValueError) as error:
            raise TokenRefused("its signature is not valid") from error
        try:
            claims = _decode_claims(payload)
        except (msgspec.DecodeError, RecursionError) as error:
            raise TokenRefused("its claims are not what they should be") from error
        self._check(claims)
        plan = claims.plan or self._settings.plan
        ends_us = int(claims.exp * 1_000_000)
        return Holder(_id_of(claims), plan, claims.channels, ends_us)

    def _header(self, token: str) -> _Header:
        parts = token.split(".")
        if len(token) > TOKEN_MAX or len(parts) != _SEGMENTS or not token.isascii():
            raise TokenRefused("it has no token's shape")
        from jwt.utils import base64url_decode  # noqa: PLC0415 - an extra

        try:
            header = _decode_header(base64url_decode(parts[0]))
        except (ValueError, RecursionError) as error:
            raise TokenRefused("its header is not what it should be") from error
        if header.alg != self._settings.algorithm:
            raise TokenRefused("its algorithm is not the one that is accepted")
        if header.typ.lower() not in {"jwt", "at+jwt"}:
            raise TokenRefused("it is a token for something else")
        if header.names_its_own_key:
            raise TokenRefused("it says itself with which key it is to be verified")
        return header

    def _check(self, claims: _Claims) -> None:
        settings, now_s = self._settings, self._clock.now_ns() / 1e9
        audiences = [claims.aud] if isinstance(claims.aud, str) else claims.aud
        if not hmac.compare_digest(claims.iss.encode(), settings.issuer.encode()):
            raise TokenRefused("its issuer is another one")
        if settings.audience not in audiences:
            raise TokenRefused("it is for another audience")
        if not math.isfinite(claims.exp) or claims.exp + settings.leeway_s <= now_s:
            raise TokenRefused("it has expired")
        if claims.exp - now_s > settings.age_max_s + settings.leeway_s:
            raise TokenRefused("it is valid for too long")
        if claims.nbf is not None and claims.nbf - settings.leeway_s > now_s:
            raise TokenRefused("it is not valid yet")


def is_token(text: str) -> bool:
    """Whether a text has a token's shape: no API key has."""
    return text.count(".") == _SEGMENTS - 1


def _id_of(claims: _Claims) -> str:
    """The same for the same user. A hash: what a user is called belongs in no log of ours."""
    who = f"{len(claims.iss)}:{claims.iss}{claims.sub}"
    return f"jwt_{hashlib.sha256(who.encode()).hexdigest()[:16]}"
