"""Tokens (JWT): what a valid one gives, and every known way to get in without one."""

import asyncio
import hashlib
import hmac
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from random import Random
from typing import Any

import jwt
import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric import padding
from cryptography.hazmat.primitives.hashes import SHA256
from hypothesis import given
from hypothesis import strategies as st
from jwt.algorithms import RSAAlgorithm

from gateway.access.keys import Holder
from gateway.access.token_keys import TokenKeys, TokenKeysError, keys_in
from gateway.access.tokens import TOKEN_MAX, TokenRefused, Tokens, is_token
from gateway.settings import TokenSettings
from tests.manual_clock import ManualClock
from tests.token_fuzz import bent_token
from tests.token_issuer import (
    AUDIENCE,
    ISSUER,
    SECRET,
    claims_at,
    ed25519_jwk,
    ed25519_key,
    joined,
    jwks,
    rsa_jwk,
    rsa_key,
    rsa_public_pem,
    signed,
)

SETTINGS = TokenSettings(issuer=ISSUER, audience=AUDIENCE)
REFRESH_S = 60.0


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def now_s(clock: ManualClock) -> float:
    return clock.now_ns() / 1e9


async def verifier(
    directory: Path, clock: ManualClock, text: bytes, settings: TokenSettings = SETTINGS
) -> Tokens:
    path = directory / "keys"
    path.write_bytes(text)
    keys = TokenKeys(str(path), settings.algorithm, clock, refresh_s=REFRESH_S)
    await keys.load()
    return Tokens(settings, keys, clock)


@pytest.fixture
async def tokens(tmp_path: Path, clock: ManualClock) -> Tokens:
    return await verifier(tmp_path, clock, jwks(rsa_jwk()))


async def test_a_valid_token_tells_who_what_and_until_when(tokens: Tokens, now_s: float) -> None:
    claims = claims_at(now_s, channels=["trade:kraken:*"])
    holder = await tokens.holder(signed(claims))
    assert holder == Holder(
        holder.id, "pro", ("trade:kraken:*",), int((now_s + 600) * 1_000_000), ""
    )
    assert holder.id.startswith("jwt_")
    assert "ada" not in holder.id


async def test_a_user_is_the_same_with_every_token_and_no_other_user(
    tokens: Tokens, now_s: float
) -> None:
    first = await tokens.holder(signed(claims_at(now_s)))
    second = await tokens.holder(signed(claims_at(now_s, exp=now_s + 5)))
    other = await tokens.holder(signed(claims_at(now_s, sub="bob")))
    assert first.id == second.id != other.id


async def test_a_token_without_a_plan_has_the_one_of_the_settings(
    tokens: Tokens, now_s: float
) -> None:
    assert (await tokens.holder(signed(claims_at(now_s, plan=None)))).plan == "free"


async def test_a_token_for_several_audiences_is_good_if_one_is_us(
    tokens: Tokens, now_s: float
) -> None:
    assert await tokens.holder(signed(claims_at(now_s, aud=["other", AUDIENCE])))


async def test_a_clock_that_is_a_little_off_is_borne(tokens: Tokens, now_s: float) -> None:
    assert await tokens.holder(signed(claims_at(now_s, exp=now_s - 4)))
    assert await tokens.holder(signed(claims_at(now_s, nbf=now_s + 4)))


WRONG_CLAIMS: tuple[dict[str, Any], ...] = (
    {"exp": None},
    {"aud": None},
    {"iss": None},
    {"sub": None},
    {"exp": -6},
    {"exp": 86_400 + 60},
    {"nbf": 60},
    {"iss": "https://other.example"},
    {"iss": ISSUER + "/"},
    {"aud": "other"},
    {"aud": []},
    {"aud": [AUDIENCE + "x"]},
    {"sub": ""},
    {"sub": 7},
    {"sub": "x" * 300},
    {"plan": ""},
    {"plan": ["pro"]},
    {"channels": "trade:kraken:*"},
    {"channels": ["no pattern"]},
    {"channels": ["*"] * 65},
)


@pytest.mark.parametrize("changes", WRONG_CLAIMS, ids=str)
async def test_wrong_claims_are_refused_however_well_signed(
    tokens: Tokens, now_s: float, changes: dict[str, Any]
) -> None:
    times = {name: now_s + changes[name] for name in ("exp", "nbf") if changes.get(name)}
    with pytest.raises(TokenRefused):
        await tokens.holder(signed(claims_at(now_s, **changes | times)))


@pytest.mark.parametrize("number", ["Infinity", "-Infinity", "NaN", "1e400", "9" * 400, '"1"'])
async def test_no_number_is_an_end_that_never_comes(
    tokens: Tokens, now_s: float, number: str
) -> None:
    payload = json.dumps(claims_at(now_s, exp=0)).replace('"exp": 0', f'"exp": {number}')
    token = jwt.PyJWS().encode(payload.encode(), rsa_key(), "RS256", {"kid": "first"})
    with pytest.raises(TokenRefused):
        await tokens.holder(token)


async def test_another_ones_signature_is_refused(tokens: Tokens, now_s: float) -> None:
    token = jwt.encode(claims_at(now_s), rsa_key("forger"), "RS256", headers={"kid": "first"})
    with pytest.raises(TokenRefused, match="signature"):
        await tokens.holder(token)


@pytest.mark.parametrize("name", ["none", "None", "NONE", "nOnE", ""])
async def test_no_signature_is_no_signature(tokens: Tokens, now_s: float, name: str) -> None:
    payload = json.dumps(claims_at(now_s)).encode()
    for signature in (b"", b"x"):
        with pytest.raises(TokenRefused, match="algorithm"):
            await tokens.holder(joined({"alg": name, "kid": "first"}, payload, signature))


async def test_a_public_key_is_no_secret_to_sign_with(tokens: Tokens, now_s: float) -> None:
    """Algorithm confusion: an HMAC with the public key, which everybody knows, as its secret."""
    payload = json.dumps(claims_at(now_s)).encode()
    public = rsa_jwk()
    for secret in (rsa_public_pem(), json.dumps(public).encode(), public["n"].encode()):
        head = {"alg": "HS256", "typ": "JWT", "kid": "first"}
        unsigned = joined(head, payload).rstrip(".").encode()
        signature = _hmac_sha256(secret, unsigned)
        with pytest.raises(TokenRefused, match="algorithm"):
            await tokens.holder(joined(head, payload, signature))


@pytest.mark.parametrize("algorithm", ["RS384", "RS512", "PS256"])
async def test_one_algorithm_is_pinned_even_among_those_of_the_same_key(
    tokens: Tokens, now_s: float, algorithm: str
) -> None:
    token = jwt.encode(claims_at(now_s), rsa_key(), algorithm, headers={"kid": "first"})
    with pytest.raises(TokenRefused, match="algorithm"):
        await tokens.holder(token)


@pytest.mark.parametrize("name", ["jku", "x5u", "jwk", "x5c", "crit", "b64"])
async def test_a_token_does_not_say_with_what_it_is_to_be_verified(
    tokens: Tokens, now_s: float, name: str
) -> None:
    values = {"jwk": rsa_jwk("forger"), "x5c": ["MIIB"], "crit": ["exp"], "b64": True}
    head = {"alg": "RS256", "kid": "first", name: values.get(name, "https://forger.example/keys")}
    payload = json.dumps(claims_at(now_s)).encode()
    unsigned = joined(head, payload).rstrip(".").encode()
    for kid in ("first", "forger"):
        with pytest.raises(TokenRefused, match="says itself"):
            await tokens.holder(joined(head, payload, _rs256(kid, unsigned)))


async def test_a_token_for_something_else_is_refused(tokens: Tokens, now_s: float) -> None:
    with pytest.raises(TokenRefused, match="something else"):
        await tokens.holder(signed(claims_at(now_s), typ="dpop+jwt"))


async def test_a_shared_secret_is_never_read_from_a_set_of_public_keys(
    tmp_path: Path, clock: ManualClock, now_s: float
) -> None:
    settings = msgspec.structs.replace(SETTINGS, algorithm="HS256")
    verify = await verifier(tmp_path, clock, SECRET, settings)
    good = jwt.encode(claims_at(now_s), SECRET, "HS256")
    assert (await verify.holder(good)).plan == "pro"
    assert await verify.holder(jwt.encode(claims_at(now_s), SECRET, "HS256", {"kid": "any"}))
    for bad in (signed(claims_at(now_s)), jwt.encode(claims_at(now_s), SECRET + b"x", "HS256")):
        with pytest.raises(TokenRefused):
            await verify.holder(bad)


async def test_tokens_signed_by_eddsa_are_verified(
    tmp_path: Path, clock: ManualClock, now_s: float
) -> None:
    settings = msgspec.structs.replace(SETTINGS, algorithm="EdDSA")
    verify = await verifier(tmp_path, clock, jwks(ed25519_jwk(), rsa_jwk()), settings)
    token = jwt.encode(claims_at(now_s), ed25519_key(), "EdDSA", headers={"kid": "ed"})
    assert await verify.holder(token)
    with pytest.raises(TokenRefused):
        await verify.holder(signed(claims_at(now_s)))


async def test_of_several_keys_the_token_names_one(
    tmp_path: Path, clock: ManualClock, now_s: float
) -> None:
    verify = await verifier(tmp_path, clock, jwks(rsa_jwk(), rsa_jwk("second")))
    assert await verify.holder(signed(claims_at(now_s), "second"))
    with pytest.raises(TokenRefused, match="key is not known"):
        await verify.holder(signed(claims_at(now_s), None))


async def test_of_one_key_it_need_not_be_named(tokens: Tokens, now_s: float) -> None:
    assert await tokens.holder(signed(claims_at(now_s), None))


async def test_a_new_key_is_found_without_a_restart_but_not_asked_for_at_every_token(
    tmp_path: Path, clock: ManualClock, tokens: Tokens
) -> None:
    def token() -> str:
        return signed(claims_at(clock.now_ns() / 1e9), "second")

    (tmp_path / "keys").write_bytes(jwks(rsa_jwk("second")))
    with pytest.raises(TokenRefused):
        await tokens.holder(token())
    clock.advance(REFRESH_S)
    assert await asyncio.gather(*(tokens.holder(token()) for _ in range(5)))
    with pytest.raises(TokenRefused):
        await tokens.holder(signed(claims_at(clock.now_ns() / 1e9), "first"))


async def test_keys_that_can_not_be_read_again_stay_as_they_were(
    tmp_path: Path, clock: ManualClock, tokens: Tokens, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "keys").write_bytes(b"{")
    clock.advance(REFRESH_S)
    with pytest.raises(TokenRefused):
        await tokens.holder(signed(claims_at(clock.now_ns() / 1e9), "second"))
    assert await tokens.holder(signed(claims_at(clock.now_ns() / 1e9)))
    assert "stay as they were" in caplog.text


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (b"", "no JSON Web Key Set"),
        (b"{}", "no JSON Web Key Set"),
        (b"[" * 100_000, "no JSON Web Key Set"),
        (b'{"keys":[]}', "has no key for RS256"),
        (jwks(ed25519_jwk()), "has no key for RS256"),
        (jwks(rsa_jwk(use="enc")), "has no key for RS256"),
        (jwks(rsa_jwk(alg="RS512")), "has no key for RS256"),
        (jwks(rsa_jwk(n="AQAB")), r"can't be used|less than 2048 bits"),
        (jwks(*[rsa_jwk()] * 33), "no JSON Web Key Set"),
    ],
)
def test_a_set_that_can_not_be_used_is_told_in_one_line(text: bytes, said: str) -> None:
    with pytest.raises(TokenKeysError, match=said) as failure:
        keys_in(text, "RS256")
    assert "\n" not in str(failure.value)


def test_a_private_key_in_the_set_is_refused() -> None:
    private = json.loads(RSAAlgorithm.to_jwk(rsa_key()))
    with pytest.raises(TokenKeysError, match="private"):
        keys_in(jwks(private), "RS256")


def test_a_weak_key_or_secret_is_refused() -> None:
    weak = json.loads(RSAAlgorithm.to_jwk(rsa_key("weak", 1_024).public_key()))
    with pytest.raises(TokenKeysError, match="less than 2048 bits"):
        keys_in(jwks(weak), "RS256")
    with pytest.raises(TokenKeysError, match="less than 32 bytes"):
        keys_in(b"short", "HS256")


Serve = Callable[[bytes], Awaitable[str]]


@pytest.fixture
async def serve() -> AsyncIterator[Serve]:
    """Answers each request with these bytes; gives the URL."""
    servers: list[asyncio.Server] = []

    async def start(answer: bytes) -> str:
        async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.readuntil(b"\r\n\r\n")
            writer.write(answer)
            writer.close()
            await writer.wait_closed()

        server = await asyncio.start_server(handle, "127.0.0.1", 0)
        servers.append(server)
        return f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/jwks.json"

    yield start
    for server in servers:
        server.close()
        await server.wait_closed()


def http(body: bytes, status: str = "200 OK", *headers: str) -> bytes:
    head = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", "Connection: close", *headers]
    return "\r\n".join([*head, "", ""]).encode() + body


async def test_keys_are_fetched_from_a_url(serve: Serve, clock: ManualClock, now_s: float) -> None:
    keys = TokenKeys(await serve(http(jwks(rsa_jwk()))), "RS256", clock, refresh_s=REFRESH_S)
    await keys.load()
    assert await Tokens(SETTINGS, keys, clock).holder(signed(claims_at(now_s)))


@pytest.mark.parametrize(
    "answer",
    [
        http(b"x" * 70_000),
        http(b"gone", "404 Not Found"),
        http(b"", "302 Found", "Location: http://127.0.0.1:1/"),
        http(b"", "301 Moved Permanently", "Location: file:///etc/passwd"),
        b"what?\r\n\r\n",
        b"",
    ],
    ids=["too big", "absent", "redirected", "to a file", "no HTTP", "nothing"],
)
async def test_a_fetch_that_goes_wrong_is_one_line(
    serve: Serve, clock: ManualClock, answer: bytes
) -> None:
    keys = TokenKeys(await serve(answer), "RS256", clock, refresh_s=REFRESH_S)
    with pytest.raises(TokenKeysError) as failure:
        await keys.load()
    assert "\n" not in str(failure.value)


@pytest.mark.parametrize("source", ["http://example.com/jwks", "ftp://127.0.0.1/k", "/absent/keys"])
async def test_keys_come_over_https_or_from_this_machine(source: str, clock: ManualClock) -> None:
    with pytest.raises(TokenKeysError):
        await TokenKeys(source, "RS256", clock, refresh_s=REFRESH_S).load()


async def test_a_token_that_is_too_long_is_not_even_looked_at(tokens: Tokens, now_s: float) -> None:
    token = signed(claims_at(now_s, more="x" * TOKEN_MAX))
    with pytest.raises(TokenRefused, match="shape"):
        await tokens.holder(token)


def test_no_api_key_has_a_tokens_shape() -> None:
    assert not is_token("tg_aaaaaaaa_" + "A" * 43)
    assert is_token("a.b.c")


@pytest.mark.parametrize("seed", range(4))
async def test_bent_tokens_are_refused_and_nothing_else_happens(
    tokens: Tokens, now_s: float, seed: int
) -> None:
    random, valid = Random(seed), signed(claims_at(now_s))
    for _ in range(1_500):
        token = bent_token(random, valid)
        with pytest.raises(TokenRefused):
            await tokens.holder(token)


@given(text=st.text())
def test_any_text_is_a_set_of_keys_or_refused(text: str) -> None:
    with pytest.raises(TokenKeysError):
        keys_in(text.encode(errors="replace"), "RS256")


def _hmac_sha256(secret: bytes, text: bytes) -> bytes:
    return hmac.new(secret, text, hashlib.sha256).digest()


def _rs256(kid: str, text: bytes) -> bytes:
    return rsa_key(kid).sign(text, padding.PKCS1v15(), SHA256())
