"""What Prometheus and Grafana are given to read: every name there is one of ours, every rule fires.

With a real Prometheus where there is one (Debian: the package `prometheus`); else that is skipped.
"""

import asyncio
import re
import shutil
import subprocess
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import msgspec
import pytest
import uvloop

from feeds.metrics import METRICS as FEEDS_METRICS
from gateway.admin.listener import PROCESS_METRICS, Table
from gateway.metrics import METRICS as GATEWAY_METRICS
from gateway.metrics import observed
from tests.conftest import in_one_task
from tests.gateway_server import GatewayServer
from tests.kept_port import kept_port
from tests.scrape import listener, listening
from tests.served import asked
from tests.until_answer import until_answer

LOOPS = {"uvloop": uvloop.new_event_loop}

DEPLOY = Path(__file__).resolve().parents[1] / "deploy"
PROMETHEUS = DEPLOY / "prometheus"
DASHBOARD = DEPLOY / "grafana" / "tickgate.json"
READ_BY_OTHERS = (
    DASHBOARD,
    PROMETHEUS / "alerts.yml",
    PROMETHEUS / "alerts_test.yml",
    DEPLOY / "kubernetes" / "prometheus-adapter.yaml",
)

_AT_ONCE = 10
"""Expressions in one query: each answer takes a while beside others' tests."""

ALL = {row.name: row for row in (*PROCESS_METRICS, *GATEWAY_METRICS, *FEEDS_METRICS)}

needs_prometheus = pytest.mark.skipif(
    shutil.which("prometheus") is None or shutil.which("promtool") is None,
    reason="NO PROMETHEUS HERE: alerts and dashboard are not tried (apt-get install prometheus)",
)


def named_in(text: str) -> set[str]:
    """The metrics of ours that a text names."""
    found = set(re.findall(r"\btickgate_[a-z_]+", text))
    return {re.sub(r"_(bucket|sum|count)$", "", name) for name in found} - {"tickgate_gateway"}


def expressions() -> Iterator[str]:
    """Of the dashboard, as Grafana would send them."""
    for panel in msgspec.json.decode(DASHBOARD.read_bytes())["panels"]:
        for target in panel.get("targets", ()):
            said: str = target["expr"]
            yield said.replace("$__rate_interval", "1m").replace("$instance", ".*")


@pytest.mark.parametrize("path", READ_BY_OTHERS, ids=lambda path: path.name)
def test_every_metric_that_others_read_is_one_of_ours(path: Path) -> None:
    names = named_in(path.read_text())
    assert names
    assert names <= ALL.keys(), names - ALL.keys()


def test_the_dashboard_shows_all_that_counts() -> None:
    shown = named_in(DASHBOARD.read_text())
    aside = {
        "tickgate_tasks",
        "tickgate_collector_frozen_objects",
        "tickgate_channels",
        "tickgate_draining",
        "tickgate_limits_local",
    }
    asked_for = {name for name, row in ALL.items() if row.kind == "histogram"} | {
        "tickgate_connections",
        "tickgate_subscriptions",
        "tickgate_messages_out_total",
        "tickgate_bytes_out_total",
        "tickgate_conflated_messages_total",
        "tickgate_missing_messages_total",
        "tickgate_closes_total",
        "tickgate_outbox_messages",
        "tickgate_feed_newest_age_seconds",
        "tickgate_feed_reconnects_total",
        "tickgate_refusals_total",
    }
    assert asked_for - shown == set()
    assert aside.isdisjoint(asked_for)


def test_panels_have_ids_of_their_own_and_do_not_overlap() -> None:
    panels = msgspec.json.decode(DASHBOARD.read_bytes())["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    cells = [
        (x, y)
        for place in (panel["gridPos"] for panel in panels)
        for x in range(place["x"], place["x"] + place["w"])
        for y in range(place["y"], place["y"] + place["h"])
    ]
    assert len(set(cells)) == len(cells)
    assert max(x for x, _ in cells) < 24


@needs_prometheus
@pytest.mark.parametrize(
    "words",
    [("check", "config", "prometheus.yml"), ("test", "rules", "alerts_test.yml")],
    ids=["the configuration", "every alert, played"],
)
def test_promtool_finds_nothing_wrong(words: tuple[str, ...]) -> None:
    done = subprocess.run(
        ["promtool", *words], cwd=PROMETHEUS, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_alert_is_played_and_says_what_to_do() -> None:
    rules = (PROMETHEUS / "alerts.yml").read_text()
    alerts = re.findall(r"- alert: (\w+)", rules)
    played = re.findall(r"- name: (\w+)", (PROMETHEUS / "alerts_test.yml").read_text())
    assert sorted(alerts) == sorted(played)
    assert rules.count("          do: ") == rules.count("          summary: ") == len(alerts)


@pytest.fixture
async def admin_url(gateway: GatewayServer) -> AsyncIterator[str]:
    connections = gateway.server.server_state.connections
    table = Table(GATEWAY_METRICS, lambda: observed(gateway.worker, connections))
    async with in_one_task(listening(listener(), table)) as url:
        yield url


@pytest.fixture
async def prometheus(admin_url: str, tmp_path: Path) -> AsyncIterator[int]:
    """A real one that scrapes the gateway under test, with our alerts; its port."""
    target = admin_url.removeprefix("http://")
    (tmp_path / "prometheus.yml").write_text(
        "global: {scrape_interval: 200ms, evaluation_interval: 200ms}\n"
        f"rule_files: ['{PROMETHEUS / 'alerts.yml'}']\n"
        "scrape_configs:\n"
        f"  - {{job_name: tickgate-gateway, static_configs: [{{targets: ['{target}']}}]}}\n"
    )
    with kept_port() as port:
        process = await asyncio.create_subprocess_exec(
            "prometheus",
            f"--config.file={tmp_path / 'prometheus.yml'}",
            f"--storage.tsdb.path={tmp_path / 'data'}",
            f"--web.listen-address=127.0.0.1:{port}",
            "--log.level=error",
        )
        try:
            yield port
        finally:
            process.kill()
            await process.wait()


async def queried(port: int, expression: str) -> Any:
    """The result of an instant query; None while Prometheus isn't there, or not ready."""
    try:
        said = await asked(port, "GET", f"/api/v1/query?{urlencode({'query': expression})}", {})
    except OSError:
        return None
    if said.status == 503:
        return None
    assert said.body["status"] == "success", (expression, said.body)
    return said.body["data"]["result"]


@needs_prometheus
async def test_a_real_prometheus_reads_a_real_gateway_and_every_panel(
    gateway: GatewayServer, prometheus: int
) -> None:
    async with gateway.client():

        async def sees_the_client() -> Any:
            found = await queried(prometheus, "tickgate_connections == 1")
            return found and await queried(prometheus, "up == 1")

        await until_answer(sees_the_client, 40.0)
        said = [f"({expression})" for expression in expressions()]
        for start in range(0, len(said), _AT_ONCE):
            one = " or ".join(said[start : start + _AT_ONCE])

            async def is_answered(one: str = one) -> bool:
                return await queried(prometheus, one) is not None

            await until_answer(is_answered)
    rules = await asked(prometheus, "GET", "/api/v1/rules?type=alert", {})
    states = {
        rule["name"]: rule["health"]
        for group in rules.body["data"]["groups"]
        for rule in group["rules"]
    }
    assert len(states) >= 15
    assert set(states.values()) <= {"ok", "unknown"}, states
