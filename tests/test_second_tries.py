"""A failure that does not repeat is told and passes; one that repeats, or the fourth, does not."""

from pathlib import Path

import pytest

PROJECT = Path(__file__).parents[1]
FAILS_FIRST = """
    import pathlib, pytest

    @pytest.mark.parametrize("number", range({number}))
    async def test_halts_the_first_time(number):
        tried = pathlib.Path(__file__).with_name(f"tried{{number}}")
        if not tried.exists():
            tried.touch()
            raise TimeoutError("the machine stood still")
"""


@pytest.fixture
def run(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> pytest.Pytester:
    monkeypatch.setenv("PYTHONPATH", str(PROJECT))
    pytester.makeini("[pytest]\nasyncio_mode = auto\nasyncio_default_fixture_loop_scope = function")
    pytester.makeconftest("pytest_plugins = ['tests.second_tries']")
    return pytester


@pytest.mark.parametrize(("number", "status"), [(1, 0), (3, 0), (4, 1)])
def test_three_tests_may_need_a_second_try_and_are_named(
    run: pytest.Pytester, number: int, status: int
) -> None:
    run.makepyfile(FAILS_FIRST.format(number=number))
    found = run.runpytest_subprocess("--reruns", "1")
    assert found.ret == status
    told = [line for line in found.outlines if "stood still" in line and line.startswith("E ")]
    assert len(told) == number


def test_what_fails_twice_fails(run: pytest.Pytester) -> None:
    run.makepyfile("def test_wrong(): assert 1 == 2")
    assert run.runpytest_subprocess("--reruns", "1").ret == 1


@pytest.mark.parametrize("place", ["chaos", "simulation"])
def test_what_looks_for_faults_by_chance_has_no_second_try(
    run: pytest.Pytester, place: str
) -> None:
    directory = run.mkdir("tests") / place
    directory.mkdir()
    (directory / "test_found.py").write_text("def test_found(): assert 1 == 2\n")
    found = run.runpytest_subprocess("--reruns", "1")
    found.assert_outcomes(failed=1)
    assert found.ret == 1
