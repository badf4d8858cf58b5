"""What all of them stand on: a venue to connect to, and who gets its ticks."""

import logging
from collections.abc import AsyncIterator

import pytest

from tests.venue_server import TickList, VenueServer


@pytest.fixture
async def server() -> AsyncIterator[VenueServer]:
    async with VenueServer() as started:
        yield started


@pytest.fixture(autouse=True)
def _log_all(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "feeds")


@pytest.fixture
def sink() -> TickList:
    return TickList()
