"""EDGE: the keys that tokens (JWT) are verified with: a secret's file, or a JWKS by file or URL.

They are read at the start, now and then, and, not more often than is allowed, when a token names
one that is not known. Whatever is fetched is bounded in size and time; a fetch that fails keeps
what was.
"""

import asyncio
import contextlib
import logging
import math
import ssl
from http import HTTPStatus
from http.client import HTTPConnection, HTTPException, HTTPResponse, HTTPSConnection
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, BinaryIO, Final, NamedTuple
from urllib.parse import urlsplit, urlunsplit

import msgspec

from feeds.market import Clock
from gateway.cancelling import stop_if_cancelled
from gateway.settings import Algorithm

if TYPE_CHECKING:
    from jwt import PyJWK

_log = logging.getLogger(__name__)

KEYS_MAX: Final = 32
_BYTES_MAX: Final = 65_536
_FETCH_LIMIT_S: Final = 5.0
_SECRET_BYTES_MIN: Final = 32
_RSA_BITS_MIN: Final = 2_048
_KEY_TYPES: Final = {"RS256": "RSA", "EdDSA": "OKP"}
_LOOPBACK: Final = frozenset(("localhost", "127.0.0.1", "::1"))


class TokenKeysError(Exception):
    """There are no keys that could be used. One line, for the operator."""


class _Jwk(msgspec.Struct, frozen=True):
    """What we look at, of a key that PyJWT reads."""

    kty: str
    kid: str | None = None
    use: str = "sig"
    alg: str | None = None
    crv: str = ""


class _Jwks(msgspec.Struct, frozen=True):
    keys: Annotated[list[msgspec.Raw], msgspec.Meta(max_length=KEYS_MAX)]


_decode_set = msgspec.json.Decoder(_Jwks).decode
_decode_key = msgspec.json.Decoder(_Jwk).decode


class TokenKey(NamedTuple):
    """One that may have signed a token."""

    kid: str | None
    key: "PyJWK | bytes"


class TokenKeys:
    """All that may have signed a token, of one source."""

    def __init__(
        self,
        source: str,
        algorithm: Algorithm,
        clock: Clock,
        *,
        refresh_s: float,
        age_max_s: float = math.inf,
    ) -> None:
        """`source`: a path, or a URL with https (http where it is this machine)."""
        self._source = source
        self._algorithm: Algorithm = algorithm
        self._clock = clock
        self._refresh_s = refresh_s
        self._age_max_s = age_max_s
        self._keys: list[TokenKey] = []
        self._read_s = float("-inf")
        self._reading = asyncio.Lock()

    async def load(self) -> None:
        """Raises TokenKeysError."""
        self._read_s = self._clock.monotonic_s()
        try:
            # However slowly it drips: urllib's own limit is one of each read.
            async with asyncio.timeout(2 * _FETCH_LIMIT_S):
                text = await asyncio.to_thread(_text_at, self._source)
        except TimeoutError:
            raise TokenKeysError(f"the keys of tokens don't come from {self._source}") from None
        self._keys = keys_in(text, self._algorithm)

    async def keep_fresh(self) -> None:
        """Until cancelled: one that was taken out of the set is to verify nothing any more."""
        while math.isfinite(self._age_max_s):
            stop_if_cancelled()
            await asyncio.sleep(self._age_max_s)
            async with self._reading:
                await self._load_again()

    async def find(self, kid: str | None) -> "PyJWK | bytes | None":
        """The key of that name, or the only one where a token names none; None: there is none."""
        found = self._known(kid)
        if found is not None or not (self._may_read() or self._reading.locked()):
            return found
        async with self._reading:
            # Perhaps another one's reading has brought it meanwhile.
            if self._known(kid) is None and self._may_read():
                await self._load_again()
        return self._known(kid)

    def _known(self, kid: str | None) -> "PyJWK | bytes | None":
        if kid is None or self._algorithm == "HS256":
            return self._keys[0].key if len(self._keys) == 1 else None
        return next((one.key for one in self._keys if one.kid == kid), None)

    def _may_read(self) -> bool:
        return self._clock.monotonic_s() - self._read_s >= self._refresh_s

    async def _load_again(self) -> None:
        try:
            await self.load()
        except TokenKeysError as error:
            _log.warning("the keys of tokens stay as they were error=%s", error)


def keys_in(text: bytes, algorithm: Algorithm) -> list[TokenKey]:
    """Those that may sign with that algorithm. Raises TokenKeysError, also where there is none.

    With a shared secret the text is the secret; a set is never read for one, or a public key could
    be taken for it.
    """
    if algorithm == "HS256":
        secret = text.strip()
        if len(secret) < _SECRET_BYTES_MIN:
            raise TokenKeysError(f"the secret of HS256 has less than {_SECRET_BYTES_MIN} bytes")
        return [TokenKey(None, secret)]
    try:
        rows = _decode_set(text).keys
        keys = [one for row in rows if (one := _key_in(bytes(row), algorithm)) is not None]
    except (msgspec.DecodeError, RecursionError) as error:
        raise TokenKeysError(f"this is no JSON Web Key Set: {error}") from None
    if not keys:
        raise TokenKeysError(f"the JSON Web Key Set has no key for {algorithm}")
    return keys


def _key_in(row: bytes, algorithm: Algorithm) -> TokenKey | None:
    """None: it is for something else."""
    from jwt import PyJWK  # noqa: PLC0415 - an extra: only those who use tokens have it
    from jwt.exceptions import PyJWTError  # noqa: PLC0415

    said = _decode_key(row)
    if said.kty != _KEY_TYPES[algorithm] or said.use != "sig":
        return None
    if said.alg not in {None, algorithm} or (algorithm == "EdDSA" and said.crv != "Ed25519"):
        return None
    try:
        key = PyJWK.from_json(row.decode(), algorithm)
    except (PyJWTError, ValueError) as error:
        raise TokenKeysError(f"the key {said.kid} can't be used: {error}") from None
    if algorithm == "RS256" and key.key.key_size < _RSA_BITS_MIN:
        raise TokenKeysError(f"the RSA key {said.kid} has less than {_RSA_BITS_MIN} bits")
    if hasattr(key.key, "private_numbers") or hasattr(key.key, "private_bytes"):
        raise TokenKeysError(f"the key {said.kid} is a private one: it belongs to who signs")
    return TokenKey(said.kid, key)


def _text_at(source: str) -> bytes:
    """Raises TokenKeysError."""
    try:
        return _fetched(source) if "://" in source else _read(Path(source))
    except (OSError, HTTPException, ValueError) as error:
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        raise TokenKeysError(f"the keys of tokens can't be read from {source}: {reason}") from None


def _read(path: Path) -> bytes:
    with path.open("rb") as file:
        return _bounded(file)


def _fetched(url: str) -> bytes:
    """By one request. A redirect is no answer: it could name any host of our own network."""
    parts = urlsplit(url)
    host = parts.hostname or ""
    connection: HTTPConnection
    if parts.scheme == "https":
        context = ssl.create_default_context()
        connection = HTTPSConnection(host, parts.port, timeout=_FETCH_LIMIT_S, context=context)
    elif parts.scheme == "http" and host in _LOOPBACK:
        connection = HTTPConnection(host, parts.port, timeout=_FETCH_LIMIT_S)
    else:
        raise ValueError("an URL of keys has https://")
    with contextlib.closing(connection):
        target = urlunsplit(("", "", parts.path or "/", parts.query, ""))
        connection.request("GET", target, headers={"Accept": "application/json"})
        with connection.getresponse() as response:
            if response.status != HTTPStatus.OK:
                raise ValueError(f"the answer is {response.status}")
            return _bounded(response)


def _bounded(file: BinaryIO | HTTPResponse) -> bytes:
    text = file.read(_BYTES_MAX + 1)
    if len(text) > _BYTES_MAX:
        raise ValueError(f"it has more than {_BYTES_MAX} bytes")
    return text
