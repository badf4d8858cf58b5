"""A test that fails is tried once more by `make test`, and named aloud where it then passes.

Machines that test halt now and then for seconds. Three such tests at most: more is no accident, and
the run fails. What finds faults by chance has no second try: a fault seen once is there.
"""

import pytest

SECOND_TRIES_MAX = 3
BY_CHANCE = ("tests/chaos/", "tests/simulation/")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.nodeid.startswith(BY_CHANCE):
            item.add_marker(pytest.mark.flaky(reruns=0))


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    if len(_tried_again(session.config)) > SECOND_TRIES_MAX and session.exitstatus == 0:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> None:
    again = _tried_again(config)
    if not again:
        return
    terminalreporter.section("failed the first time", yellow=True)
    for report in again.values():
        terminalreporter.line(report.nodeid)
        terminalreporter.line(report.longreprtext)
    terminalreporter.line(f"{len(again)} of {SECOND_TRIES_MAX} allowed: look into each")


def _tried_again(config: pytest.Config) -> dict[str, pytest.TestReport]:
    terminal = config.pluginmanager.get_plugin("terminalreporter")
    return {report.nodeid: report for report in terminal.stats.get("rerun", ())} if terminal else {}
