"""torchrun's variables from those of srun; see `man srun`, OUTPUT ENVIRONMENT VARIABLES."""

import re
from collections.abc import Mapping


def slurm_variables(environment: Mapping[str, str]) -> dict[str, str]:
    """RANK, WORLD_SIZE, …, MASTER_PORT of one of several tasks of srun; otherwise empty.

    Only the variables of a job step count: a batch script and an interactive shell also have
    SLURM_NTASKS, but run one process.
    """
    tasks = int(environment.get("SLURM_STEP_NUM_TASKS", "1"))
    if tasks == 1 or "SLURM_PROCID" not in environment:
        return {}
    each = _tasks_of_nodes(environment["SLURM_STEP_TASKS_PER_NODE"])
    return {
        "RANK": environment["SLURM_PROCID"],
        "WORLD_SIZE": str(tasks),
        "LOCAL_RANK": environment["SLURM_LOCALID"],
        "LOCAL_WORLD_SIZE": str(each[int(environment["SLURM_NODEID"])]),
        "MASTER_ADDR": _first_node(environment["SLURM_STEP_NODELIST"]),
        "MASTER_PORT": str(_port(environment)),
    }


def _tasks_of_nodes(text: str) -> list[int]:
    """4(x2),3 → [4, 4, 3]."""
    found = re.findall(r"(\d+)(?:\(x(\d+)\))?", text)
    return [int(tasks) for tasks, times in found for _ in range(int(times or 1))]


def _first_node(nodes: str) -> str:
    """gpu[03-05,9],login1 → gpu03."""
    return re.sub(r"\[([^\],-]+)[^\]]*\]", r"\1", nodes).split(",")[0]


def _port(environment: Mapping[str, str]) -> int:
    """A port that all tasks of a step compute alike, and other jobs on the node differently."""
    job, step = (int(environment.get(f"SLURM_{name}", "0")) for name in ("JOB_ID", "STEP_ID"))
    return 15000 + (job * 7 + step) % 15000
