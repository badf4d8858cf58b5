"""Tokens that are none: bent ones of three algorithms, to the verifier, and some to a gateway.

Each is refused as no valid token, whatever it says; the gateway answers 401, or 400 where it is no
header's value, and logs nothing.
"""

import asyncio
import tempfile
from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import Final, get_args

import jwt
import uvloop

from feeds.market import SystemClock
from gateway.access.token_keys import TokenKeys
from gateway.access.tokens import TokenRefused, Tokens
from gateway.settings import Algorithm, TokenSettings
from tests.conftest import RedisServer
from tests.fuzz.found import Found
from tests.fuzz.talking import Faults
from tests.gateway_server import GatewayServer, changed, gateway_on
from tests.token_fuzz import bent_token
from tests.token_issuer import (
    AUDIENCE,
    ISSUER,
    SECRET,
    claims_at,
    ed25519_jwk,
    ed25519_key,
    jwks,
    rsa_jwk,
    signed,
)

_BLOCK: Final = 500
"""Of one algorithm, and one valid token."""
_ASKED_EVERY: Final = 100
"""So many inputs, one goes to a gateway: by HTTP a question takes thirty times as long."""
_REFUSED: Final = (400, 401)


def valid_token(algorithm: Algorithm) -> str:
    """One that is good for ten minutes."""
    claims = claims_at(SystemClock().now_ns() / 1e9)
    match algorithm:
        case "RS256":
            return signed(claims)
        case "EdDSA":
            return jwt.encode(claims, ed25519_key(), "EdDSA", headers={"kid": "ed"})
        case "HS256":
            return jwt.encode(claims, SECRET, "HS256")


def fuzz_tokens(seed: int, first: int, count: int) -> None:
    """Raises Found, and AssertionError where the gateway logs anything."""
    uvloop.run(_fuzz(seed, first, count))


async def _fuzz(seed: int, first: int, count: int) -> None:
    with tempfile.TemporaryDirectory(prefix="tg-") as directory:
        verifiers = {one: await _verifier(Path(directory), one) for one in get_args(Algorithm)}
        for start in range(first, first + count, _BLOCK):
            algorithm = get_args(Algorithm)[start // _BLOCK % 3]
            valid = valid_token(algorithm)
            await verifiers[algorithm].holder(valid)
            numbers = range(start, min(start + _BLOCK, first + count))
            for number, token in zip(numbers, _bent(seed, numbers, valid), strict=True):
                await _check(verifiers[algorithm], seed, number, token)
        await _ask_a_gateway(Path(directory), seed, first, count)


def _bent(seed: int, numbers: range, valid: str) -> Iterator[str]:
    return (bent_token(Random(f"tokens {seed} {number}"), valid) for number in numbers)


async def _verifier(directory: Path, algorithm: Algorithm) -> Tokens:
    settings = _settings(directory, algorithm)
    clock = SystemClock()
    keys = TokenKeys(settings.keys, algorithm, clock, refresh_s=settings.refresh_s)
    await keys.load()
    return Tokens(settings, keys, clock)


def _settings(directory: Path, algorithm: Algorithm) -> TokenSettings:
    path = directory / f"keys-{algorithm}"
    path.write_bytes(SECRET if algorithm == "HS256" else jwks(rsa_jwk(), ed25519_jwk()))
    return TokenSettings(
        issuer=ISSUER, audience=AUDIENCE, algorithm=algorithm, keys=str(path), refresh_s=1e9
    )


async def _check(tokens: Tokens, seed: int, number: int, token: str) -> None:
    try:
        await tokens.holder(token)
    except TokenRefused:
        return
    except Exception as error:
        detail = f"{type(error).__name__} {error}"
        raise Found("tokens", seed, range(number, number + 1), token, detail) from error
    raise Found("tokens", seed, range(number, number + 1), token, "it was accepted")


async def _ask_a_gateway(directory: Path, seed: int, first: int, count: int) -> None:
    server, faults = RedisServer(directory), Faults()
    settings = changed(failures_per_minute=10**6)
    numbers = range(first, first + count, _ASKED_EVERY)
    server.start()
    try:
        with faults.heard_here():
            async with gateway_on(
                server.url, settings, token=_settings(directory, "RS256")
            ) as gateway:
                valid = valid_token("RS256")
                for number, token in zip(numbers, _bent(seed, numbers, valid), strict=True):
                    status = await _status(gateway, token)
                    if status not in _REFUSED:
                        raise Found(
                            "tokens", seed, range(number, number + 1), token, f"answer {status}"
                        )
    finally:
        server.kill()
    assert not faults.heard, f"the gateway logged {faults.heard[:5]}"


async def _status(gateway: GatewayServer, token: str) -> int:
    """Of the answer to a REST call that shows it, as bytes: no client would send them all."""
    shown = token.encode("utf-8", "surrogatepass").replace(b"\0", b"")
    async with asyncio.timeout(10):
        reader, writer = await asyncio.open_connection("127.0.0.1", gateway.port)
        try:
            head = b"GET /v1/usage HTTP/1.1\r\nHost: h\r\nConnection: close\r\n"
            writer.write(head + b"Authorization: Bearer " + shown + b"\r\n\r\n")
            answer = await reader.read()
        finally:
            writer.close()
            await writer.wait_closed()
    return int(answer[9:12] or 0)
