"""Where the Autobahn Testsuite's `wstest` is, or how it is made: Python 2.7, or Docker.

In this order: `wstest` on PATH; an environment in build/autobahn, made where a Python 2.7 is found;
the Docker image, where a daemon runs.
"""

import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from tests.autobahn.server import REPOSITORY

IMAGE: Final = "crossbario/autobahn-testsuite:25.10.1"
_PLACE: Final = REPOSITORY / "build" / "autobahn"
_MADE: Final = _PLACE / "python2" / "bin" / "wstest"
_REQUIREMENTS: Final = Path(__file__).with_name("requirements-python2.txt")
_MAKE_LIMIT_S: Final = 600

NEITHER: Final = f"""\
AUTOBAHN WAS NOT RUN: there is neither Docker nor a Python 2.7 here. Either of them will do:
  - a running Docker daemon, which fetches {IMAGE};
  - python2.7 on PATH (or as PYTHON2=/path/to/python2.7, also one of pyenv's), from which
    build/autobahn is made with the versions of {_REQUIREMENTS.relative_to(REPOSITORY)}.
tests/conformance covers framing, fragments, UTF-8 and closes without it: make test."""


def fuzzing_client(directory: Path) -> list[str] | None:
    """The command that runs `fuzzingclient.json` of that directory; None where nothing can."""
    options = ["--mode", "fuzzingclient", "--spec", "fuzzingclient.json"]
    if (found := _wstest()) is not None:
        return [found, *options]
    if _answers(["docker", "info"]):
        mounted = f"{directory}:/reports"
        words = ["docker", "run", "--rm", "--network", "host", "--volume", mounted]
        return [*words, "--workdir", "/reports", IMAGE, "wstest", *options]
    return None


def _wstest() -> str | None:
    if (found := shutil.which("wstest")) is not None:
        return found
    if not _MADE.exists() and (python := _python2()) is not None:
        _make(python)
    return str(_MADE) if _MADE.exists() else None


def _python2() -> str | None:
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv"))
    candidates = [
        *filter(None, (os.environ.get("PYTHON2"),)),
        "python2.7",
        *map(str, sorted(pyenv.glob("versions/2.7.*/bin/python2.7"))),
    ]
    return next((one for one in candidates if _answers([one, "-c", "import ssl"])), None)


def _make(python: str) -> None:
    """virtualenv 20.21 is the last one that makes environments of Python 2.7."""
    print(f"making build/autobahn with {python} (once)", file=sys.stderr)
    tool = _PLACE / "tool"
    pip = ("-m", "pip", "install", "-qq", "--disable-pip-version-check")
    python2 = str(_MADE.with_name("python"))
    for words in (
        [sys.executable, "-m", "venv", str(tool)],
        [str(tool / "bin" / "python"), *pip, "virtualenv<20.22"],
        [str(tool / "bin" / "virtualenv"), "--quiet", "--python", python, str(_PLACE / "python2")],
        # Twisted's setup needs it before all the others.
        [python2, *pip, "incremental==16.10.1"],
        [python2, *pip, "--requirement", str(_REQUIREMENTS)],
    ):
        subprocess.run(words, check=True, timeout=_MAKE_LIMIT_S)


def _answers(words: Sequence[str]) -> bool:
    try:
        return subprocess.run(words, capture_output=True, check=False, timeout=20).returncode == 0
    except (OSError, subprocess.TimeoutExpired):
        return False
