"""What the feeds process and the gateway's workers have alike: an operator's listener, traces."""

import contextlib
from pathlib import Path
from typing import TYPE_CHECKING

from feeds.market import SystemClock
from gateway.admin.listener import AdminListener, ProcessName
from gateway.admin.token import FILE
from gateway.commands.settings import Settings
from gateway.telemetry.logs import teller

if TYPE_CHECKING:
    from gateway.telemetry.tracing import Tracing


def tracing_of(settings: Settings, process: ProcessName) -> "Tracing | None":
    """None where nothing is traced, and then nothing of it is loaded."""
    if not settings.traces.endpoint:
        return None
    from gateway.telemetry.tracing import begin_tracing  # noqa: PLC0415 - an extra

    return begin_tracing(settings.traces, process)


def admin_listener(
    settings: Settings, process: ProcessName, *, replaces: bool = False
) -> AdminListener:
    tell = teller(settings.logs, process)

    def say(line: str) -> None:
        with contextlib.suppress(OSError):  # The terminal may be gone.
            tell(line)

    workers = settings.gateway.workers if process == "gateway" else 1
    token_file = Path(settings.admin.token_file or Path(settings.data_dir) / FILE)
    return AdminListener(
        settings.admin,
        process,
        clock=SystemClock(),
        say=say,
        workers=workers,
        token_file=token_file if process == "gateway" and settings.admin.enabled else None,
        replaces=replaces,
    )
