"""Hydra's sweep over the jobs of an ablation, and the launchers for it."""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import hydra
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig

from video_gc.ablate.cell import read_jobs
from video_gc.config.compose import compose_config, hydra_folder, quoted
from video_gc.config_folders import CONFIGS
from video_gc.extras import need

LAUNCHERS = {
    "joblib": ("hydra_joblib_launcher", "joblib"),
    "submitit_local": ("hydra_submitit_launcher", "submitit"),
    "submitit_slurm": ("hydra_submitit_launcher", "submitit"),
    "ray": ("hydra_ray_launcher", "ray"),
    "basic": (None, ""),
}
"""hydra/launcher → its module in hydra_plugins, and our extra that installs it."""


def check_launcher(arguments: Sequence[str], configs: Sequence[Path] = CONFIGS) -> None:
    """Raise ImportError if the launcher is not installed, ValueError for a wrong option of it.

    arguments: of Hydra, such as hydra/launcher=joblib hydra.launcher.n_jobs=2.
    """
    for argument in arguments:
        key, _, name = argument.partition("=")
        if key != "hydra/launcher":
            continue
        if name not in LAUNCHERS:
            raise ValueError(f"{argument}: no such launcher; valid: {', '.join(LAUNCHERS)}")
        module, extra = LAUNCHERS[name]
        if module:
            need(extra, f"hydra_plugins.{module}", by=argument)
    compose_config("sweep", arguments, configs, hydra=True)


def launch(
    jobs: Path, count: int, arguments: Sequence[str], configs: Sequence[Path] = CONFIGS
) -> None:
    """Run the `count` jobs of a file as a sweep. arguments: of Hydra.

    Raises KeyboardInterrupt or SystemExit after a signal, RuntimeError if a launcher lost its jobs.
    """
    given = [
        f"plan={quoted(str(jobs))}",
        f"cell={','.join(map(str, range(count)))}",
        f"hydra.sweep.dir={quoted(str(jobs.parent))}",
    ]
    before, sys.argv = sys.argv, [sys.argv[0], *given, *arguments]
    GlobalHydra.instance().clear()
    try:
        hydra.main(hydra_folder(configs), "sweep", version_base="1.3")(run_cell)()
    finally:
        sys.argv = before


def run_cell(config: DictConfig) -> str:
    """One job of the sweep; Hydra calls this, perhaps on another machine."""
    # here, because they import torch, and launchers are checked without it
    from video_gc.ablate.cell_process import job_environment
    from video_gc.ablate.run import run_job

    file = Path(config.plan)
    jobs = read_jobs(file)
    job = jobs[config.cell]
    name = HydraConfig.get().runtime.choices["hydra/launcher"]
    launcher: Any = HydraConfig.get().launcher
    # submitit_local starts all of them at once
    at_once = int(launcher.get("n_jobs") or len(jobs))
    with job_environment(file.parent, name, len(jobs), at_once, job.processes) as env:
        return run_job(job, env)
