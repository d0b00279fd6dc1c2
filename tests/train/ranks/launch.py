"""Start several processes as srun or torchrun would, and wait for them."""

import os
import random
import signal
import subprocess
import sys
from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path

HERE = Path(__file__).parent
ROOT = HERE.parents[2]
NOT_HERE = ("SLURM_", "RANK", "WORLD_SIZE", "LOCAL_", "MASTER_", "TORCHELASTIC_")


def environment(**more: str) -> dict[str, str]:
    """This one, without what makes a process one of several."""
    own = {name: value for name, value in os.environ.items() if not name.startswith(NOT_HERE)}
    path = os.pathsep.join([str(ROOT), own.get("PYTHONPATH", "")]).rstrip(os.pathsep)
    return own | {"PYTHONPATH": path, "OMP_NUM_THREADS": "1"} | more


def step_of_srun(rank: int, tasks: int, job: int) -> dict[str, str]:
    """What srun sets for task `rank` of a step on one node."""
    return {
        "SLURM_JOB_ID": str(job), "SLURM_STEP_ID": "0", "SLURM_PROCID": str(rank),
        "SLURM_LOCALID": str(rank), "SLURM_NODEID": "0", "SLURM_NTASKS": str(tasks),
        "SLURM_STEP_NUM_TASKS": str(tasks), "SLURM_STEP_TASKS_PER_NODE": str(tasks),
        "SLURM_STEP_NODELIST": "localhost",
    }  # fmt: skip


def srun(tasks: int, script: str, arguments: Sequence[str], seconds: float) -> None:
    """Run `script` in so many processes; fails with what they printed."""
    job = random.Random().randrange(10**6)
    started = [
        _start([sys.executable, str(HERE / script), *arguments], step_of_srun(rank, tasks, job))
        for rank in range(tasks)
    ]
    printed = [finish(process, seconds) for process in started]
    assert not any(process.returncode for process in started), "\n".join(printed)


def torchrun(
    options: Sequence[str],
    command: Sequence[str],
    *,
    machine: str | None = None,
    output: Path | None = None,
    **more: str,
) -> subprocess.Popen[str]:
    """An agent of torchrun, in a session of its own.

    machine: the network namespace that it runs in; output: the file that it prints to.
    """
    within = ["ip", "netns", "exec", machine] if machine else []
    agent = [sys.executable, "-m", "torch.distributed.run", *options, *command]
    return _start([*within, *agent], more, output)


def finish(process: subprocess.Popen[str], seconds: float) -> str:
    """What it printed until its end, which must come within so many seconds."""
    try:
        return process.communicate(timeout=seconds)[0]
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        raise AssertionError(f"still runs: {process.communicate()[0]}") from None


def _start(
    command: Sequence[str], variables: dict[str, str], output: Path | None = None
) -> subprocess.Popen[str]:
    with output.open("w") if output else nullcontext(subprocess.PIPE) as stdout:
        return subprocess.Popen(
            command, env=environment(**variables), cwd=ROOT, text=True, start_new_session=True,
            stdout=stdout, stderr=subprocess.STDOUT,
        )  # fmt: skip
