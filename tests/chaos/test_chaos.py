"""A short run of `make chaos`: twenty faults on real processes, each heedless of the others."""

from pathlib import Path

import pytest

from tests.chaos.run import Options, run


@pytest.mark.slow
@pytest.mark.timeout(180)  # Processes are started again and again: a busy machine takes its time.
async def test_twenty_faults_break_no_promise(tmp_path_factory: pytest.TempPathFactory) -> None:
    directory: Path = tmp_path_factory.mktemp("c")
    options = Options(faults=20, seed=5, ticks_per_s=90, haste=0.05, eager=True, in_turn=False)
    said: list[str] = []
    outcome = await run(options, directory, said.append)
    assert not outcome.findings, "\n".join([*said, *map(str, outcome.findings)])
    assert outcome.messages > 0
