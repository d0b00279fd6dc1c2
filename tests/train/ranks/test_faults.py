"""A process that fails ends the others, with its own words; torchrun starts them again."""

from pathlib import Path

import pytest

from tests.conftest import SMALL
from tests.train.ranks.launch import HERE, finish, torchrun

AGENT = ["--standalone", "--nproc-per-node=2", "--monitor-interval=0.1"]
MINUTE = 60


def options(clips_folder: Path, runs: Path, *more: str) -> list[str]:
    given = [*SMALL, f"data.root={clips_folder}", f"runs={runs}", "name=many", *more]
    return [str(HERE / "faulty.py"), *given]


@pytest.mark.slow
def test_an_error_is_told_and_the_run_resumed(clips_folder: Path, tmp_path: Path) -> None:
    """10 training videos, 2 steps an epoch: the fault comes in the second epoch."""
    command = options(clips_folder, tmp_path, "resume=true")
    agent = torchrun([*AGENT, "--max-restarts=1"], command, FAULT="1:3:error")
    printed = finish(agent, 2 * MINUTE)
    assert agent.returncode == 0, printed
    assert "process 1 of 2 (" in printed
    assert "error: clip_000123.mp4: the disk is gone" in printed
    assert "Connection" not in printed  # what follows from it is not told
    steps = [int(line.split()[-1]) for line in printed.splitlines() if line.startswith("step ")]
    assert steps == [0, 1, 2, 3, 2, 3]  # those of the first process: from the last checkpoint
    assert (tmp_path / "many/checkpoints/last.ckpt").is_file()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("kind", "said"),
    [
        ("killed", "Signal 9 (SIGKILL)"),
        ("silent", "process 1 of 2 (HOST): not heard from for 30 s"),
    ],
)
def test_who_does_not_answer_ends_the_others(
    clips_folder: Path, tmp_path: Path, kind: str, said: str
) -> None:
    import socket

    agent = torchrun(AGENT, options(clips_folder, tmp_path), FAULT=f"1:1:{kind}")
    printed = finish(agent, 2 * MINUTE)  # half of it to begin
    assert agent.returncode == 1
    assert said.replace("HOST", socket.gethostname()) in printed
