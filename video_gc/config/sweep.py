"""Hydra's sweep over the cells of a plan: one after another, or as its launcher says."""

import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import hydra
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig

from video_gc.ablate.job import run_job
from video_gc.ablate.plan import read_job
from video_gc.ablate.slots import job_environment
from video_gc.config.composing import quoted
from video_gc.manual import CONFIGS


def launch(
    plan: Path, cells: Sequence[int], arguments: Sequence[str], configs: Path = CONFIGS
) -> None:
    """Run the cells with these numbers of a plan file, each as a job of Hydra's sweep.

    Raises KeyboardInterrupt or SystemExit where a signal stopped it, RuntimeError where a launcher
    lost its jobs.
    """
    before, sys.argv = (
        sys.argv,
        [
            sys.argv[0],
            f"plan={quoted(str(plan))}",
            f"cell={','.join(map(str, cells))}",
            f"jobs={len(cells)}",
            f"hydra.sweep.dir={quoted(str(plan.parent))}",
            *arguments,
        ],
    )
    GlobalHydra.instance().clear()
    try:
        hydra.main(str(configs.resolve()), "sweep", version_base="1.3")(run_cell)()
    finally:
        sys.argv = before


def run_cell(config: DictConfig) -> str:
    """Hydra: a job of the sweep. Its process may be one of another machine."""
    job = read_job(Path(config.plan), config.cell)
    os.chdir(job.folder)
    launcher: Any = HydraConfig.get().launcher
    name = HydraConfig.get().runtime.choices["hydra/launcher"]
    # submitit_local starts all of them at once
    at_once = int(launcher.get("n_jobs") or config.jobs)
    folder = Path(config.plan).parent
    with job_environment(folder, name, config.jobs, at_once, job.processes) as env:
        return run_job(job, env=env)
