"""The layers of the house, held by a walk over every module's imports.

`market <- feeds`, `market <- gateway`: feeds and gateway know nothing of each other.
"""

import ast
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).resolve().parents[1]
OURS = ("feeds", "gateway", "bench")

JOINING = ("gateway.cli", "gateway.commands")
"""Alone allowed to know both feeds and gateway."""
ENVIRONMENT_READERS = ("gateway.cli", "gateway.configuration")

PURE = (
    "feeds.backoff",
    "feeds.backtest.bars",
    "feeds.backtest.drive",
    "feeds.backtest.equity",
    "feeds.backtest.readers.columns",
    "feeds.backtest.source",
    "feeds.derived",
    "feeds.deriving.clock_troubles",
    "feeds.deriving.heard",
    "feeds.deriving.whereabouts",
    "feeds.others.in_order",
    "feeds.ledger.audit",
    "feeds.ledger.entry",
    "feeds.ledger.median",
    "feeds.ledger.proportion",
    "feeds.ledger.state",
    "feeds.ledger.track_record",
    "feeds.ledger.unpublished",
    "feeds.ledger.verdict",
    "feeds.listing",
    "feeds.market",
    "feeds.overlap",
    "feeds.others.presence",
    "feeds.settings",
    "feeds.venue",
    "feeds.venues",
    "feeds.watching",
    "feeds.wire",
    "gateway.access.grants",
    "gateway.access.keys",
    "gateway.access.limits",
    "gateway.access.plans",
    "gateway.access.rate_headers",
    "gateway.access.usage",
    "gateway.bus.directory",
    "gateway.consumer.errors",
    "gateway.consumer.positions",
    "gateway.docs.fields",
    "gateway.docs.markup",
    "gateway.docs.page",
    "gateway.durations",
    "gateway.errors",
    "gateway.fanout",
    "gateway.measure.clock_offset",
    "gateway.measure.heard",
    "gateway.measure.histogram",
    "gateway.measure.report",
    "gateway.protocol",
    "gateway.rest.answers",
    "gateway.rest.candle_listing",
    "gateway.rest.cursor",
    "gateway.rest.parameters",
    "gateway.server.half_open",
    "gateway.settings",
    "gateway.telemetry.spans",
    "gateway.web.addresses",
    "gateway.web.origins",
    "gateway.web.problems",
    "gateway.web.proxies",
)
WORLDLY = {
    "asyncio",
    "concurrent",
    "datetime.datetime",
    "hiredis",
    "http",
    "multiprocessing",
    "os",
    "redis",
    "select",
    "selectors",
    "signal",
    "socket",
    "ssl",
    "starlette",
    "subprocess",
    "threading",
    "time",
    "uvicorn",
    "uvloop",
    "websockets",
}
CLOCK = "feeds.market.clock"
"""The one pure module that may read the time: it is where time comes in."""
CHANCE = "random.Random"
"""A generator that is handed in; the module's own functions are not."""


class Module(NamedTuple):
    name: str
    tree: ast.Module

    @property
    def imported(self) -> set[str]:
        """Dotted names: of modules, and of what is taken from modules."""
        names: set[str] = set()
        for node in ast.walk(self.tree):
            match node:
                case ast.Import():
                    names |= {alias.name for alias in node.names}
                case ast.ImportFrom(module=str(module), level=0):
                    names |= {f"{module}.{alias.name}" for alias in node.names}
                case ast.ImportFrom():
                    names.add("a relative import")
        return names

    def is_in(self, *packages: str) -> bool:
        return any(is_within(self.name, package) for package in packages)


def is_within(name: str, package: str) -> bool:
    return name == package or name.startswith(package + ".")


def _modules() -> Iterator[Module]:
    for package in OURS:
        for path in sorted((ROOT / package).rglob("*.py")):
            parts = path.relative_to(ROOT).with_suffix("").parts
            name = ".".join(part for part in parts if part != "__init__")
            yield Module(name, ast.parse(path.read_text(), str(path)))


MODULES = tuple(_modules())


def one_each(*packages: str) -> pytest.MarkDecorator:
    found = [module for module in MODULES if module.is_in(*packages)]
    return pytest.mark.parametrize("module", found, ids=[module.name for module in found])


def test_the_walk_finds_the_house() -> None:
    names = {module.name for module in MODULES}
    assert {"feeds", "feeds.market.channel", "gateway.app", "gateway.server.websocket"} <= names


@one_each(*OURS)
def test_a_module_opens_by_saying_what_it_is_for(module: Module) -> None:
    assert (ast.get_docstring(module.tree) or "").strip()


@one_each(*OURS)
def test_imports_are_absolute(module: Module) -> None:
    assert "a relative import" not in module.imported


@one_each("feeds")
def test_feeds_know_nothing_of_the_gateway(module: Module) -> None:
    assert not {name for name in module.imported if is_within(name, "gateway")}


@one_each("gateway")
def test_the_gateway_knows_nothing_of_feeds_but_the_words(module: Module) -> None:
    known = {name for name in module.imported if is_within(name, "feeds")}
    foreign = {name for name in known if not is_within(name, "feeds.market")}
    assert not foreign or module.is_in(*JOINING)


@one_each("feeds.market")
def test_the_words_need_msgspec_and_the_standard_library_only(module: Module) -> None:
    roots = {name.partition(".")[0] for name in module.imported}
    assert roots <= {"feeds", "msgspec", *sys.stdlib_module_names}
    of_feeds = {name for name in module.imported if is_within(name, "feeds")}
    assert all(is_within(name, "feeds.market") for name in of_feeds)


@one_each(*PURE)
def test_a_pure_module_knows_no_clock_no_socket_and_no_event_loop(module: Module) -> None:
    worldly = {
        name
        for name in module.imported
        if any(is_within(name, world) for world in WORLDLY)
        and not (module.name == CLOCK and name == "time")
    }
    assert not worldly
    assert not {name for name in module.imported if is_within(name, "random")} - {CHANCE}


@one_each(*PURE)
def test_a_pure_module_imports_no_module_of_ours_that_is_not(module: Module) -> None:
    ours = {name for name in module.imported if name.partition(".")[0] in OURS}
    assert {name for name in ours if not any(is_within(name, pure) for pure in PURE)} == set()


@one_each(*PURE)
def test_a_pure_module_awaits_nothing(module: Module) -> None:
    waiting = (ast.AsyncFunctionDef, ast.Await, ast.AsyncFor, ast.AsyncWith)
    assert not [node for node in ast.walk(module.tree) if isinstance(node, waiting)]


@one_each("feeds", "gateway")
def test_only_the_settings_read_the_environment(module: Module) -> None:
    read = [
        node.attr
        for node in ast.walk(module.tree)
        if isinstance(node, ast.Attribute) and node.attr in {"environ", "environb", "getenv"}
    ]
    taken = module.imported & {"os.environ", "os.environb", "os.getenv"}
    assert not (read or taken) or module.is_in(*ENVIRONMENT_READERS)
