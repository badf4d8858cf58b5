"""The log: an object a line where that is set, one line per incident, ids to find each other by."""

import asyncio
import logging
import re
from collections.abc import Iterator
from contextvars import copy_context
from pathlib import Path
from typing import Any

import msgspec
import pytest
import uvloop
from starlette.applications import Starlette

from gateway.telemetry.log_context import id_from, request_id
from gateway.telemetry.logs import JsonLines, Repeats, Sentences
from tests.conftest import RedisServer
from tests.gateway_server import GatewayServer
from tests.running_tickgate import COMMAND, RunningTickgate, environment, tickgate_run
from tests.served import asked
from tests.stream_client import client_of, refusal_of
from tests.until import until

LOOPS = {"uvloop": uvloop.new_event_loop}

KEY = "tg_aaaaaaaa_" + "Canary" * 7 + "A"


class _Kept(logging.Handler):
    """The lines as they would be written."""

    def __init__(self) -> None:
        super().__init__()
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(self.format(record))

    @property
    def objects(self) -> list[Any]:
        return [msgspec.json.decode(line) for line in self.lines]


@pytest.fixture
def kept() -> Iterator[_Kept]:
    """What the logger `tests.logs` tells."""
    handler = _Kept()
    handler.setFormatter(JsonLines("gateway"))
    log = logging.getLogger("tests.logs")
    log.propagate = False
    log.addHandler(handler)
    log.setLevel(logging.INFO)
    yield handler
    log.removeHandler(handler)


log = logging.getLogger("tests.logs")


def test_the_keys_of_a_line_are_members_of_its_object(kept: _Kept) -> None:
    log.warning("redis went back: a new epoch begins channel=%s heard=%d", "trade:sim:BTC-USD", 7)
    (told,) = kept.objects
    assert list(told)[:6] == ["time", "level", "process", "pid", "logger", "message"]
    assert told["message"] == "redis went back: a new epoch begins"
    assert (told["channel"], told["heard"]) == ("trade:sim:BTC-USD", 7)
    assert (told["level"], told["process"]) == ("warning", "gateway")
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}\+00:00", told["time"])


@pytest.mark.parametrize(
    ("template", "arguments", "message", "fields"),
    [
        ("redis is away (%s); again", ("refused",), "redis is away (refused); again", {}),
        ("100%% of %s took s=%.3g", ("it", 2.5), "100% of it took", {"s": 2.5}),
        ("nothing to fill in: 100 %", (), "nothing to fill in: 100 %", {}),
        ("where=%s it stands", ("first",), "it stands", {"where": "first"}),
        ("by name: %(name)s", ({"name": "x"},), "by name: x", {}),
        ("is no member level=%s", ("loud",), "is no member", {"level": "warning"}),
        ("%*d wide", (3, 7), "  7 wide", {}),
    ],
)
def test_what_has_no_key_stays_in_the_sentence(
    kept: _Kept, template: str, arguments: tuple[Any, ...], message: str, fields: dict[str, Any]
) -> None:
    log.warning(template, *arguments)
    (told,) = kept.objects
    assert told["message"] == message
    assert fields.items() <= told.items()


def test_no_secret_is_in_a_line_wherever_it_stood(kept: _Kept) -> None:
    try:
        raise ValueError(KEY)  # noqa: TRY301 - to have a traceback
    except ValueError:
        log.exception("%s failed key=%s", KEY, KEY)
    log.warning("redis://user:Canary99@host:6379/0 is away url=%s", "rediss://:Canary99@host")
    assert "ValueError" in kept.objects[0]["exception"]
    assert "Canary" not in "".join(kept.lines)
    assert "redis://user:…@host:6379/0" in kept.objects[1]["message"]


def test_a_person_gets_the_same_as_a_sentence(kept: _Kept) -> None:
    kept.setFormatter(Sentences())

    def within_a_request() -> None:
        request_id.set("abcdefgh")
        log.warning("a key showed up key=%s", KEY)

    copy_context().run(within_a_request)
    (line,) = kept.lines
    assert line.endswith(" tests.logs: a key showed up key=tg_aaaaaaaa_… request=abcdefgh")


def test_a_line_that_repeats_itself_is_told_a_bounded_number_of_times(kept: _Kept) -> None:
    kept.addFilter(Repeats(3))
    records = [
        logging.LogRecord("tests.logs", logging.WARNING, "here.py", 1, "again n=%d", (n,), None)
        for n in range(100)
    ]
    late = logging.LogRecord("tests.logs", logging.WARNING, "here.py", 1, "again n=%d", (9,), None)
    late.created += 60
    for record in (*records, late):
        kept.handle(record)
    assert [told["n"] for told in kept.objects] == [0, 1, 2, 9]
    assert kept.objects[-1]["left_out"] == 97


@pytest.mark.parametrize(
    ("told", "is_taken"),
    [
        ("0b1e6d9a-71c4-4e55-9a0e-0b5e4f7a3c11", True),
        ("short", False),
        ("x" * 65, False),
        ("with a blank or\nmore", False),
        ("quote\"d'and<b>", False),
        (None, False),
    ],
)
def test_an_id_from_outside_is_taken_over_only_where_it_is_well_formed(
    told: str | None, is_taken: bool
) -> None:
    assert (id_from(told) == told) == is_taken
    assert re.fullmatch(r"[A-Za-z0-9._-]{8,64}", id_from(told))


async def test_an_answer_names_its_request_and_so_does_the_line_about_it(
    gateway: GatewayServer, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "gateway.telemetry.requests")
    own = await asked(gateway.port, "GET", "/v1/usage", {})
    given = {"X-Request-Id": "from-the-proxy-1"}
    theirs = await asked(gateway.port, "GET", "/v1/usage", given)
    forged = await asked(gateway.port, "GET", "/nowhere", {"X-Request-Id": "<script>"})
    assert re.fullmatch(r"[0-9a-f]{16}", own.headers["x-request-id"])
    assert theirs.headers["x-request-id"] == "from-the-proxy-1"
    assert re.fullmatch(r"[0-9a-f]{16}", forged.headers["x-request-id"])
    assert "answered method=GET path=/v1/usage status=401" in caplog.text
    assert "path=/nowhere status=404" in caplog.text


async def test_an_answer_to_a_request_at_which_we_failed_names_it_too(
    gateway: GatewayServer, caplog: pytest.LogCaptureFixture
) -> None:
    application = gateway.server.config.app
    assert isinstance(application, Starlette)
    application.state.rest = None
    failed = await asked(gateway.port, "GET", "/v1/usage", {"X-Request-Id": "from-the-proxy-2"})
    assert (failed.status, failed.body["code"]) == (500, "internal")
    assert failed.headers["x-request-id"] == "from-the-proxy-2"
    assert "Exception in ASGI application" in caplog.text


async def test_a_connection_is_known_by_its_session_from_its_first_line_to_its_last(
    gateway: GatewayServer, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "gateway.transports")
    async with gateway.client() as client:
        session = client.heard[0]["session"]
    await until(lambda: "left session" in caplog.text)
    assert gateway.record is not None
    assert f"connected session={session} key={gateway.record.id} address=127.0.0.1" in caplog.text
    assert f"left session={session} code=1000" in caplog.text
    _, headers, _ = await refusal_of(gateway.url, headers={"X-API-Key": "none"})
    assert f"not let in session={headers['X-Request-Id']} code=auth_failed" in caplog.text


async def test_every_process_writes_objects_where_that_is_set(tmp_path: Path) -> None:
    variables = {"TICKGATE_LOGS_FORMAT": "json", "TICKGATE_LOGS_LEVEL": "info"}
    closed = {"TICKGATE_VENUE_KRAKEN_URL": "ws://127.0.0.1:1", "TICKGATE_VENUES": "kraken,sim"}
    async with tickgate_run(tmp_path, **variables, **closed) as tickgate:
        await tickgate.says("can't be reached")
        async with tickgate.subscribed("trade:sim:*") as subscriber:
            await subscriber.ticks(1)
        await tickgate.says('"code":1000')
        await tickgate.stop()
        # It says that it stops: what it said may come after its end.
        await until(lambda: '"process":"run"' in tickgate.output)
    lines = [msgspec.json.decode(line) for line in tickgate.lines if line.startswith("{")]
    assert {line["process"] for line in lines} == {"feeds", "gateway", "run"}
    assert all({"time", "level", "logger", "message"} <= line.keys() for line in lines)
    assert tickgate.key.split("_", 2)[2] not in "".join(
        line for line in tickgate.lines if line.startswith("{")
    )


async def test_a_gateway_starts_without_redis_and_says_so_in_one_line(
    tmp_path: Path, redis_server: RedisServer
) -> None:
    redis_server.kill()
    process = await asyncio.create_subprocess_exec(
        *COMMAND,
        "gateway",
        env=environment(tmp_path, REDIS_URL=redis_server.url),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        start_new_session=True,
    )
    tickgate = RunningTickgate(process, tmp_path)
    async with asyncio.TaskGroup() as group:
        group.create_task(tickgate.read())
        try:
            await tickgate.says("not ready yet: no Redis answers")
            await tickgate.says("redis is away")
            redis_server.start()
            said = await tickgate.says("listening: http://127.0.0.1:")
            async with client_of(f"{tickgate.url.replace('http', 'ws')}/v1/stream", welcome=False):
                pass
            assert await tickgate.stop() == 0
        finally:
            if process.returncode is None:
                process.kill()
    assert said.count("redis is away") == 1
