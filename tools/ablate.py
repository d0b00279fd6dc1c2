"""Train and test every cell of an ablation; rerun it to resume and to retry what failed."""

import sys
from collections.abc import Sequence
from pathlib import Path

from rich.table import Table

from video_gc.ablate.plan import Plan
from video_gc.cli import run_tool
from video_gc.config.ablation import list_ablations, plan_ablation
from video_gc.config_folders import config_folders, own_files
from video_gc.manual import ABLATE
from video_gc.progress import console, say

HELP = """\
Train and test every cell of an ablation, and write RUNS/ablations/NAME/ablation.json.

  video-gc ablate                                   the ablations and their sizes
  video-gc ablate ablation=demo                     one network, without and with GC
  video-gc ablate ablation=kinds                    kinds of block on generated videos
  video-gc ablate ablation=probes quick=true        what each kind can do and cannot
  video-gc ablate ablation=kinds dry=true           its cells and their states
  video-gc ablate ablation=gcnet_kinetics data.root=DIR
  video-gc ablate ablation=gcnet_place experiment=motions
  video-gc ablate ablation=gcnet_place experiment=folder data.root=DIR
  video-gc ablate ablation=kinds seeds=[0] epochs=2 name=quick
  video-gc ablate ablation=kinds only=[none,GC] experiment=folder data.root=DIR folds=5

A cell is a row of the ablation trained with one seed (on one fold). Its run directory is
RUNS/cells/CELL, named after a hash of its options without paths, so other ablations reuse it. Rerun
the command to resume after Ctrl-C or a crash, and to retry what failed. Two commands at once share
the work.

  ablation=NAME           one that is shipped, or your own (docs/ablations.md)
  experiment=NAME         another base: motions, folder, or a file of configs/experiment
  seeds=[0,1,2]           train each row with each seed
  folds=5                 divide your videos into 5 folds, and train each row on each
  only=[A,B]              only these rows
  quick=true              a few rows with one seed, where the ablation names them
  name=NAME, runs=DIR     write to RUNS/ablations/NAME
  processes=N             processes of each training, by torchrun
  dry=true                print the cells and write ablation.json, without training
  OPTION=VALUE            any option of video-gc train, for every cell (video-gc train --help)
  --config-dir DIR        files of your own, as for video-gc train

Hydra's launcher starts the cells: one after another, or

  hydra/launcher=joblib hydra.launcher.n_jobs=2            n_jobs at once, sharing the GPUs
  hydra/launcher=submitit_slurm hydra.launcher.gpus_per_node=1 hydra.launcher.timeout_min=1440
  hydra/launcher=ray, submitit_local
"""


def main() -> int:
    """Check everything, train what is missing, print the states; returns 1 if a cell failed."""
    arguments, configs = config_folders(sys.argv[1:])
    if {"--help", "-h"} & set(arguments):
        print(HELP, end="")
        return 0
    if not arguments:
        print_ablations(configs)
        return 0
    plan = plan_ablation(arguments, configs)
    # here, because they import torch, which takes seconds
    from video_gc.ablate.cell import write_jobs
    from video_gc.ablate.cell_progress import show_progress
    from video_gc.ablate.plan import write_record
    from video_gc.ablate.run import begin
    from video_gc.ablate.status import has_results
    from video_gc.config.launch import launch

    if used := own_files(configs):
        say(used)
    if plan.dry:
        print_states(plan)
        say(f"{len(plan.cells)} cells in {plan.runs}/cells")
        say(f"  {write_record(plan)}")
        say(f"  their cost: video-gc report {plan.directory} --no-measure")
        return 0
    rounds = begin(plan)
    todo = {job.cell.name for jobs in rounds for job in jobs}
    waiting = [cell for cell in plan.every_cell if cell.name in todo]
    finished = [cell for cell in plan.every_cell if cell.name not in todo]
    say(f"{plan.ablation.title}: {len(plan.every_cell)} cells, {len(finished)} finished before")
    if waiting:
        with show_progress(waiting, finished):
            for cells, jobs in zip(plan.rounds, rounds, strict=True):
                if jobs:
                    launch(write_jobs(plan.directory, jobs), len(jobs), plan.launcher, configs)
                if not all(map(has_results, cells)):
                    break  # the next round needs them
    states = print_states(plan)
    if elsewhere := states.count("running"):
        say(f"trained by another process: {elsewhere}; rerun the command for their results")
    say(f"The ablation is in {plan.directory}/ablation.json; next:")
    say(f"  video-gc report {plan.directory}")
    return int("failed" in states)


def print_ablations(configs: Sequence[Path]) -> None:
    """Print the ablations and their numbers of cells."""
    table = Table()
    table.add_column("ablation", no_wrap=True)  # to be copied
    table.add_column("cells", justify="right")
    table.add_column("comparison", overflow="fold")
    for name, ablation in list_ablations(configs).items():
        count = len(ablation.all_rows) * len(ablation.trainings)
        table.add_row(name, str(count), f"{ablation.title}\nexperiment={ablation.experiment}")
    console.print(table)
    say(f"Start one, or list its cells with dry=true: {ABLATE} ablation=kinds; more: --help")


def print_states(plan: Plan) -> list[str]:
    """Print a line per cell, and how to repeat failed ones; returns their states."""
    from video_gc.ablate.status import LOG, read_status, state_of

    folds = any(cell.fold for cell in plan.cells)
    table = Table("row", "seed", *["fold"] * folds, "cell", "state")
    table.columns[1].justify = "right"
    table.columns[-2].no_wrap = True  # to be copied
    styles = {"failed": "red", "finished": "green", "running": "cyan"}
    found = [(cell, *state_of(cell)) for cell in plan.every_cell]
    for cell, state, _ in found:
        fold = [cell.fold or ""] * folds
        style = styles.get(state)
        table.add_row(cell.row, str(cell.seed), *fold, cell.name, state, style=style)
    console.print(table)
    for cell, state, reason in found:
        status = read_status(Path(cell.directory))
        if state == "failed" and status:
            say(f"{cell.title} failed: {reason}", style="red")
            say(f"  its output: {cell.directory}/{LOG}; to run it alone: {status.typed}")
    return [state for _, state, _ in found]


if __name__ == "__main__":
    run_tool(main)
