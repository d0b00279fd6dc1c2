"""A process that fails ends the others, with its own words; torchrun starts them again."""

import time
from pathlib import Path
from typing import Any

import pytest
import torch.distributed as dist

from tests.conftest import SMALL
from tests.train.ranks.launch import HERE, finish, torchrun
from tests.train.ranks.many import run_forked
from video_gc.train.distributed.world import joined, this_world

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
@pytest.mark.parametrize("failing", [0, 1])
def test_an_error_ends_all_though_its_process_hangs(
    failing: int, capfd: pytest.CaptureFixture[str]
) -> None:
    """As NCCL hangs when it is ended while others wait in a collective."""

    def hang(*_: Any) -> None:
        time.sleep(2 * MINUTE)

    def work(rank: int) -> None:
        if rank == failing:
            dist.destroy_process_group = hang
        try:
            with joined(this_world(), gpu=False):
                if rank == failing:
                    raise OSError("the disk is gone")
                dist.barrier()
        finally:
            hang()

    before = time.monotonic()
    assert run_forked(work) == [1, 1]
    assert time.monotonic() - before < MINUTE / 2
    said = capfd.readouterr().err
    other = 1 - failing
    assert f"process {failing} of 2 (" in said
    assert f"process {other} ends: process {failing} of 2 (" in said
    assert "OSError: the disk is gone" in said.split(f"process {other} ends")[1]


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
