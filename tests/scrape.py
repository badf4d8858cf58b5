"""A metrics page as Prometheus reads it: by HTTP, with prometheus_client's own parser."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from http.client import HTTPConnection
from urllib.parse import urlsplit

from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.registry import Collector

from feeds.market import SystemClock
from gateway.admin.listener import AdminListener, ProcessName
from gateway.settings import AdminSettings
from tests.until import until
from tests.until_answer import until_answer

ANYWHERE = AdminSettings(port=0)


class Page:
    """What one process told."""

    def __init__(self, text: str) -> None:
        self._values = {
            (sample.name, frozenset(sample.labels.items())): sample.value
            for family in text_string_to_metric_families(text)
            for sample in family.samples
        }

    def __getitem__(self, name: str) -> float:
        return self.of(name)

    def of(self, name: str, **labels: str) -> float:
        return self._values[name, frozenset(labels.items())]


async def get(url: str, headers: dict[str, str] | None = None) -> tuple[int, str]:
    """Status and body; never by way of a proxy."""
    parts = urlsplit(url)

    def ask() -> tuple[int, str]:
        connection = HTTPConnection(parts.netloc, timeout=20)
        try:
            connection.request("GET", parts.path, headers=headers or {})
            response = connection.getresponse()
            return response.status, response.read().decode()
        finally:
            connection.close()

    return await asyncio.to_thread(ask)


async def scrape(url: str) -> Page:
    """The metrics of the admin listener at `url`."""
    status, text = await get(f"{url}/metrics")
    assert status == 200
    return Page(text)


async def becomes(url: str, reached: Callable[[Page], bool]) -> Page:
    """The page, once it says what is waited for."""

    async def ask() -> Page | None:
        page = await scrape(url)
        return page if reached(page) else None

    return await until_answer(ask)


def listener(
    settings: AdminSettings = ANYWHERE,
    process: ProcessName = "gateway",
    *,
    workers: int = 1,
    say: Callable[[str], None] = lambda _: None,
) -> AdminListener:
    return AdminListener(settings, process, clock=SystemClock(), say=say, workers=workers)


@contextlib.asynccontextmanager
async def listening(admin: AdminListener, *tables: Collector) -> AsyncIterator[str]:
    """Its address."""
    async with asyncio.TaskGroup() as group:
        running = group.create_task(admin.run(tables))
        yield await until(lambda: admin.url)
        running.cancel()
