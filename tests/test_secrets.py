"""No secret is ever told: a whole Tickgate is shown keys in every wrong and right way, and all that
it printed, answered, counted and logged is searched for them. Plans and tokens are from its file.
"""

import re
import time
from pathlib import Path
from urllib.parse import urlsplit

import jwt
import msgspec
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus

from gateway.admin.token import FILE
from tests.running_tickgate import LIMIT_S, RunningTickgate, tickgate_run
from tests.scrape import get
from tests.served import asked
from tests.stream_client import client_of
from tests.token_issuer import ISSUER, SECRET, claims_at
from tests.until import until

WRONG = "tg_aaaaaaaa_" + "Canary" * 7 + "A"
SETTINGS = """
[plan.desk]
connections_max = 3
[token]
issuer = "{issuer}"
algorithm = "HS256"
keys = "{secret}"
"""


class Told:
    """All that was ever answered."""

    def __init__(self, tickgate: RunningTickgate) -> None:
        self.tickgate = tickgate
        self.port = urlsplit(tickgate.url).port or 0
        self.stream = f"ws://127.0.0.1:{self.port}/v1/stream"
        self.texts: list[str] = []

    async def rest(self, method: str, path: str, port: int = 0, **headers: str) -> object:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        answer = await asked(port or self.port, method, path, named)
        self.texts += [str(answer.headers), str(answer.body)]
        return answer.body

    async def upgrade(self, query: str = "", **headers: str) -> int:
        """The status of an upgrade that is refused."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        try:
            async with connect(
                self.stream + query, additional_headers=named, proxy=None, open_timeout=LIMIT_S
            ):
                return 101
        except InvalidStatus as refused:
            self.texts.append(repr(refused.response))
            return refused.response.status_code

    async def auth(self, key: str) -> None:
        async with client_of(self.stream, welcome=False) as client:
            await client.say({"op": "auth", "key": key})
            await client.close_code()
            self.texts.append(f"{client.heard} {client.connection.close_reason}")


async def test_no_secret_is_ever_told(tmp_path: Path) -> None:
    config, secret = tmp_path / "tickgate.toml", tmp_path / "secret"
    secret.write_bytes(SECRET)
    config.write_text(SETTINGS.format(issuer=ISSUER, secret=secret))
    variables = {
        "TICKGATE_CONFIG": str(config),
        "TICKGATE_ADMIN_ENABLED": "true",
        "TICKGATE_ADMIN_PORT": "0",
    }
    async with tickgate_run(tmp_path, **variables) as tickgate:
        told = Told(tickgate)
        admin = await until(
            lambda: re.search(r"gateway metrics: http://[^:]+:(\d+)", tickgate.output), LIMIT_S
        )
        assert admin is not None
        admin_port = int(admin[1])
        admin_token = (tmp_path / FILE).read_text().strip()
        bearer = f"Bearer {admin_token}"

        key = await _key_of(admin_port, bearer)
        wide = claims_at(time.time(), plan="desk")
        token = jwt.encode(wide, SECRET, "HS256")
        sold = await asked(told.port, "POST", "/v1/tickets", {"X-API-Key": key})
        ticket = sold.body["ticket"]

        assert await told.upgrade(X_API_Key=key) == 101
        assert await told.upgrade(Authorization=f"Bearer {token}") == 101
        assert await told.upgrade(f"?ticket={ticket}") == 101
        assert await told.upgrade(f"?ticket={ticket}") == 401
        for name in ("key", "api_key", "token"):
            assert await told.upgrade(f"?{name}={key}") == 400
            await told.rest("GET", f"/v1/usage?{name}={key}")
        await told.rest("GET", f"/{key}")
        await told.rest("GET", "/v1/usage", X_API_Key=key)
        await told.rest("GET", "/v1/usage", X_API_Key=WRONG)
        await told.rest("GET", "/v1/usage", Authorization=f"Basic {key}")
        await told.rest("GET", "/v1/usage", Authorization=f"Bearer {token}x")
        await told.auth(WRONG)
        await told.rest("GET", "/keys/", admin_port, Authorization=f"Bearer {key}")
        await told.rest("GET", f"/keys/{key}", admin_port, Authorization=bearer)
        await told.rest("GET", "/keys/", admin_port, Authorization=bearer)
        for _ in range(12):
            await told.upgrade(X_API_Key=WRONG)
        _, metrics = await get(f"http://127.0.0.1:{admin_port}/metrics")
        told.texts.append(metrics)
    logs = [(tmp_path / "redis.log").read_text(errors="replace")]
    everything = "\n".join([tickgate.output, *told.texts, *logs])
    secrets = {
        "key": key.split("_", 2)[2],
        "wrong key": "CanaryCanary",
        "token": token.split(".")[2],
        "ticket": ticket.split("_", 1)[1],
        "admin token": admin_token,
        "shared secret": SECRET.decode(),
    }
    assert "tickgate_refused_upgrades_total" in everything
    assert [name for name, text in secrets.items() if text in everything] == []


async def _key_of(port: int, bearer: str) -> str:
    """A new key, by the admin API of the running gateway."""
    headers = {"Authorization": bearer, "Content-Type": "application/json"}
    body = msgspec.json.encode({"plan": "desk", "label": "canary"})
    made = await asked(port, "POST", "/keys/", headers, body)
    assert made.status == 201, made
    key: str = made.body["key"]
    return key
