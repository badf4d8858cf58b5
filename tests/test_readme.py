"""The README says what the code does: its tables are the code's tables."""

from pathlib import Path

from feeds.metrics import METRICS as FEEDS_METRICS
from gateway.admin.listener import PROCESS_METRICS
from gateway.errors import CLOSES, ERRORS
from gateway.metrics import METRICS as GATEWAY_METRICS
from gateway.web.problems import PROBLEMS

README = (Path(__file__).resolve().parents[1] / "README.md").read_text()


def _rows(section: str) -> list[list[str]]:
    text = README.split(f"<!-- {section} -->")[1].split(f"<!-- /{section} -->")[0]
    lines = text.strip().splitlines()[2:]
    return [[cell.strip().strip("`") for cell in line.strip("|").split("|")] for line in lines]


def test_every_error_code_is_documented_as_it_is() -> None:
    told = [[row.code, row.text, "yes" if row.retry else "no"] for row in ERRORS.values()]
    assert _rows("errors") == told


def test_every_close_code_is_documented_as_it_is() -> None:
    assert _rows("closes") == [[str(row.code), row.name, row.text] for row in CLOSES.values()]


def test_every_refusal_is_documented_as_it_is() -> None:
    told = [[row.code, str(row.status), row.title] for row in PROBLEMS.values()]
    assert _rows("problems") == told


def test_every_metric_is_documented_as_it_is() -> None:
    tables = {"all": PROCESS_METRICS, "gateway": GATEWAY_METRICS, "feeds": FEEDS_METRICS}
    told = [
        [row.name, row.kind, ", ".join(row.labels), process, row.meaning]
        for process, table in tables.items()
        for row in table
    ]
    assert _rows("metrics") == told
