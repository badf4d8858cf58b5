"""The admin API of keys, as the operator's programs use it; a real server on a real socket."""

import json
import os
import stat
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from redis.asyncio import Redis
from starlette.applications import Starlette
from starlette.routing import Mount

from feeds.market import SystemClock
from gateway.access.key_store import KEYS_KEY, KeyStore
from gateway.access.limit_store import LimitStore
from gateway.access.plans import PLANS
from gateway.admin.keys import AdminKeys
from gateway.admin.token import FILE, AdminTokenError, admin_token
from tests.conftest import RedisServer, in_one_task
from tests.served import Answer, Served, asked

TOKEN = "an admin token of the tests, long enough"


class Admin:
    """A client of the API."""

    def __init__(self, port: int) -> None:
        self.port = port

    async def ask(
        self, method: str, path: str, body: object = None, *, headers: dict[str, str] | None = None
    ) -> Answer:
        """With the token, unless `headers` say otherwise."""
        sent = body if isinstance(body, bytes | None) else json.dumps(body).encode()
        if headers is None:
            headers = {"Authorization": f"Bearer {TOKEN}", "Content-Type": "application/json"}

        return await asked(self.port, method, f"/keys{path}", headers, sent)


@pytest.fixture
async def admin(redis: Redis) -> AsyncIterator[Admin]:
    clock = SystemClock()
    api = AdminKeys(KeyStore(redis, clock), LimitStore(redis, clock), PLANS, TOKEN)
    app = Starlette(routes=[Mount("/keys", api.application())])
    async with in_one_task(Served(app)) as port:
        yield Admin(port)


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Authorization": "Bearer"},
        {"Authorization": "Bearer " + TOKEN[:-1]},
        {"Authorization": "Basic " + TOKEN},
        {"X-API-Key": TOKEN},
        {"Authorization": "Bearer \u00e9\u00e9"},
    ],
)
async def test_without_the_token_nothing_is_told_or_done(
    admin: Admin, redis: Redis, headers: dict[str, str]
) -> None:
    latin = {name: value.encode("latin-1").decode("latin-1") for name, value in headers.items()}
    for method, path in (("GET", "/"), ("POST", "/"), ("GET", "/aaaaaaaa"), ("GET", "/x/usage")):
        answer = await admin.ask(method, path, headers=latin)
        assert answer.status == 401
        assert answer.headers["content-type"] == "application/problem+json"
        assert answer.headers["www-authenticate"] == "Bearer"
    assert await redis.hlen(KEYS_KEY) == 0


async def test_a_data_key_does_not_open_it(admin: Admin, redis: Redis) -> None:
    _, key = await KeyStore(redis, SystemClock()).create("bot", "unlimited")
    answer = await admin.ask("GET", "/", headers={"Authorization": f"Bearer {key}"})
    assert answer.status == 401


async def test_a_key_is_made_shown_rotated_and_revoked(admin: Admin, redis: Redis) -> None:
    said = {"label": "bot", "plan": "pro", "expires_in_s": 3_600, "channels": ["trade:*:*"]}
    made = await admin.ask("POST", "/", said)
    assert made.status == 201
    assert made.headers["cache-control"] == "no-store"
    key_id, key = made.body["id"], made.body["key"]
    store = KeyStore(redis, SystemClock())
    record = await store.get(key_id)
    assert record is not None
    assert record.admits(key, store.now_us)

    shown = (await admin.ask("GET", f"/{key_id}")).body
    assert shown == {name: told for name, told in made.body.items() if name != "key"}
    assert (shown["state"], shown["channels"]) == ("valid", ["trade:*:*"])
    assert shown["expires_us"] == shown["created_us"] + 3_600_000_000
    assert (await admin.ask("GET", "/")).body == {"keys": [shown]}

    rotated = (await admin.ask("POST", f"/{key_id}/rotate", {"overlap_s": 60})).body
    assert rotated["key"] != key
    assert rotated["previous_until_us"] > shown["created_us"]

    revoked = (await admin.ask("POST", f"/{key_id}/revoke")).body
    assert revoked["state"] == "revoked"
    again = await admin.ask("POST", f"/{key_id}/rotate", {})
    assert (again.status, again.body["title"]) == (409, "The key is over")


async def test_no_answer_but_the_first_holds_a_key_or_a_hash(admin: Admin, redis: Redis) -> None:
    made = (await admin.ask("POST", "/", {"label": "bot"})).body
    secret = made["key"].split("_", 2)[2]
    kept = json.loads(await redis.hget(KEYS_KEY, made["id"]) or b"")
    paths = ("/", f"/{made['id']}", f"/{made['id']}/usage")
    told = json.dumps([(await admin.ask("GET", path)).body for path in paths])
    assert secret not in told
    assert kept["sha256"] not in told + json.dumps(made)


async def test_usage_is_told_as_everywhere(admin: Admin) -> None:
    key_id = (await admin.ask("POST", "/", {"plan": "free"})).body["id"]
    usage = (await admin.ask("GET", f"/{key_id}/usage")).body
    assert usage.pop("month")
    assert usage == {
        "plan": "free",
        "connections": {"open": 0, "limit": 2},
        "rest": {"used": 0, "limit": 10_000},
        "messages": 0,
        "bytes": 0,
        "commands": 0,
        "connections_opened": 0,
    }


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"plan": "gold"}, 422),
        ({"lable": "bot"}, 422),
        ({"label": "x" * 65}, 422),
        ({"expires_in_s": 0}, 422),
        ({"channels": ["no pattern"]}, 422),
        ([], 422),
        (b"{", 422),
        (b"[" * 10_000, 422),
        (b"\xff", 422),
        (b" " * 20_000, 413),
    ],
    ids=str,
)
async def test_what_can_not_be_is_a_problem_and_makes_no_key(
    admin: Admin, redis: Redis, body: object, status: int
) -> None:
    answer = await admin.ask("POST", "/", body)
    assert answer.status == answer.body["status"] == status
    assert answer.body.keys() == {"type", "title", "status", "detail"}
    assert await redis.hlen(KEYS_KEY) == 0


async def test_a_form_of_a_web_page_is_no_request(admin: Admin) -> None:
    headers = {"Authorization": f"Bearer {TOKEN}", "Content-Type": "text/plain"}
    assert (await admin.ask("POST", "/", b"{}", headers=headers)).status == 415


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/aaaaaaaa", 404),
        ("POST", "/aaaaaaaa/rotate", 404),
        ("POST", "/aaaaaaaa/revoke", 404),
        ("GET", "/aaaaaaaa/usage", 404),
        ("GET", "/" + "a" * 5_000, 404),
        ("GET", "/a/b/c/d", 404),
        ("DELETE", "/aaaaaaaa", 405),
    ],
)
async def test_what_is_not_there_is_a_problem_too(
    admin: Admin, method: str, path: str, status: int
) -> None:
    answer = await admin.ask(method, path)
    assert (answer.status, answer.headers["content-type"]) == (status, "application/problem+json")


async def test_without_redis_it_says_so(redis_server: RedisServer, admin: Admin) -> None:
    redis_server.kill()
    for path in ("/", "/aaaaaaaa"):
        assert (await admin.ask("GET", path)).status == 503


def test_the_token_is_made_once_whoever_asks_first_and_only_the_owner_may_read_it(
    tmp_path: Path,
) -> None:
    path = tmp_path / "data" / FILE
    with ThreadPoolExecutor(8) as threads:
        made = set(threads.map(lambda _: admin_token(path), range(32)))
    assert len(made) == 1
    assert len(made.pop()) == 43
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert os.listdir(path.parent) == [FILE]


def test_a_token_file_that_others_may_read_is_refused_and_not_repeated(tmp_path: Path) -> None:
    path = tmp_path / FILE
    path.write_text("s" * 43)
    path.chmod(0o644)
    with pytest.raises(AdminTokenError, match="chmod 600") as failure:
        admin_token(path)
    assert "s" * 43 not in str(failure.value)
    path.chmod(0o600)
    assert admin_token(path) == "s" * 43


def test_a_token_that_is_too_short_or_can_not_be_read_is_refused(tmp_path: Path) -> None:
    path = tmp_path / FILE
    path.touch(0o600)
    with pytest.raises(AdminTokenError, match="must hold"):
        admin_token(path)
    with pytest.raises(AdminTokenError, match="can't be used"):
        admin_token(tmp_path / FILE / "below a file")
