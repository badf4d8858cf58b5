"""Where there is a Chromium to drive: the machine's, or Playwright's own."""

import shutil
from pathlib import Path
from typing import Final

_NAMES: Final = ("chromium", "chromium-browser", "google-chrome", "chrome")
ARGUMENTS: Final = ("--no-sandbox", "--disable-dev-shm-usage")
"""A container's root can have no sandbox, and its /dev/shm is small."""


def find_chromium(own: str) -> str | None:
    """Its path, or None; `own`: where Playwright would have put one."""
    found = next(filter(None, map(shutil.which, _NAMES)), None)
    return found or (own if Path(own).exists() else None)
