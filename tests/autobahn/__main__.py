"""Runs the Autobahn Testsuite's fuzzing client against our echo server: `make autobahn`.

Categories 1-7, 9 and 10 (12 and 13 are of permessage-deflate, which is off). The report is in
build/autobahn/report. Exit status: 0 all well, 1 a case failed, 2 the suite is not to be had.
"""

import argparse
import json
import shutil
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Final, NamedTuple

from tests.autobahn.server import REPOSITORY, echo_server
from tests.autobahn.suite import NEITHER, fuzzing_client

_DIRECTORY: Final = REPOSITORY / "build" / "autobahn"
_CATEGORIES: Final = ("1", "2", "3", "4", "5", "6", "7", "9", "10")
_AGENT: Final = "tickgate"
_LIMIT_S: Final = 900
_GOOD: Final = {"OK", "NON-STRICT", "INFORMATIONAL"}
"""NON-STRICT: right, but later than it could have been known."""


class Case(NamedTuple):
    """How one went."""

    name: str
    behavior: str
    close: str

    @property
    def is_good(self) -> bool:
        return self.behavior in _GOOD and self.close in _GOOD


def run(words: list[str], port: int, categories: list[str]) -> list[Case]:
    """Raises RuntimeError where the suite itself failed."""
    report = _DIRECTORY / "report"
    shutil.rmtree(report, ignore_errors=True)
    spec = {
        "outdir": "report",
        "servers": [{"agent": _AGENT, "url": f"ws://127.0.0.1:{port}"}],
        "cases": [f"{category}.*" for category in categories],
        "exclude-cases": [],
        "exclude-agent-cases": {},
    }
    (_DIRECTORY / "fuzzingclient.json").write_text(json.dumps(spec))
    log = _DIRECTORY / "wstest.log"
    with log.open("wb") as told:
        done = subprocess.run(
            words, cwd=_DIRECTORY, stdout=told, stderr=told, check=False, timeout=_LIMIT_S
        )
    index = report / "index.json"
    if done.returncode or not index.exists():
        raise RuntimeError(f"wstest failed: see {log}")
    return cases_in(index)


def cases_in(index: Path) -> list[Case]:
    told = json.loads(index.read_text())[_AGENT]
    return [Case(name, one["behavior"], one["behaviorClose"]) for name, one in told.items()]


def main() -> int:
    parser = argparse.ArgumentParser(prog="tests.autobahn", description=__doc__.splitlines()[0])
    parser.add_argument("categories", nargs="*", default=_CATEGORIES, help=" ".join(_CATEGORIES))
    categories = list(parser.parse_args().categories)
    _DIRECTORY.mkdir(parents=True, exist_ok=True)
    words = fuzzing_client(_DIRECTORY)
    if words is None:
        print(NEITHER, file=sys.stderr)
        return 2
    with echo_server() as server:
        cases = run(words, server.port, categories)
    for behavior, count in sorted(Counter(case.behavior for case in cases).items()):
        print(f"{count:4} {behavior}")
    bad = [case for case in cases if not case.is_good]
    for case in bad:
        print(f"FAILED {case.name}: {case.behavior}, close {case.close}")
    print(f"{len(cases) - len(bad)} passed, {len(bad)} failed")
    return 1 if bad or not cases else 0


if __name__ == "__main__":
    sys.exit(main())
