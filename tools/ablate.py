"""Train and test every cell of an ablation; the same command goes on and retries what failed."""

import sys

from rich.table import Table

from video_gc.ablate.plan import Cell, Plan, write_plan, write_record
from video_gc.cli import run_tool
from video_gc.config.ablation import list_ablations, plan_ablation
from video_gc.manual import ABLATE
from video_gc.progress import console, say

HELP = """\
Train and test every cell of an ablation, and write RUNS/ablations/NAME/ablation.json.

  python tools/ablate.py                                   the ablations and their sizes
  python tools/ablate.py ablation=kinds                    kinds of block on generated videos
  python tools/ablate.py ablation=kinds dry=true           its cells, and how far they are
  python tools/ablate.py ablation=gcnet_kinetics data.root=DIR
  python tools/ablate.py ablation=gcnet_place experiment=motions
  python tools/ablate.py ablation=gcnet_place experiment=folder data.root=DIR
  python tools/ablate.py ablation=kinds seeds=[0] epochs=2 name=quick

A cell is a row of the ablation trained with one seed. Its run directory is RUNS/cells/CELL, named
after a hash of its options without paths: whoever asks for the same network again, in another
ablation too, finds it trained. The command goes on after Ctrl-C or a crash when it is given again,
and tries again what failed; two of them at once share the work.

  ablation=NAME           a file of configs/ablation (write your own: docs/ablations.md)
  experiment=NAME         another base: motions, folder, or a file of configs/experiment
  seeds=[0,1,2]           each row is trained with each of them
  only=[A,B]              these rows and no others
  name=NAME, runs=DIR     the folder is RUNS/ablations/NAME
  processes=N             of each training, by torchrun
  dry=true                print the cells, write ablation.json, and train nothing
  OPTION=VALUE            any option of tools/train.py, for every cell (tools/train.py --help)

How the cells are started is Hydra's launcher: one after another, or

  hydra/launcher=joblib hydra.launcher.n_jobs=2            so many at once, GPUs in turn
  hydra/launcher=submitit_slurm hydra.launcher.gpus_per_node=1 hydra.launcher.timeout_min=1440
  hydra/launcher=ray, submitit_local
"""
DRY = ("--dry-run", "--list")


def main() -> int:
    """Check everything, train what is missing, and say how it went."""
    arguments = ["dry=true" if argument in DRY else argument for argument in sys.argv[1:]]
    if {"--help", "-h"} & set(arguments):
        print(HELP, end="")
        return 0
    if not arguments:
        print_ablations()
        return 0
    request = plan_ablation(arguments)
    if request.dry:
        print_cells(request.plan)
        say(f"  {write_record(request.plan)}")
        say(f"  what they cost: python tools/report.py {request.plan.directory} --no-measure")
        return 0
    from video_gc.ablate.begin import begin
    from video_gc.ablate.progress_lines import watching
    from video_gc.config.sweep import launch

    plan, todo = begin(request.plan)
    jobs = plan.jobs
    say(f"{plan.ablation.title}: {len(jobs)} cells, {len(jobs) - len(todo)} finished before")
    if todo:
        file = write_plan(plan)
        finished = [cell for number, cell in enumerate(jobs) if number not in todo]
        with watching([jobs[number] for number in todo], finished):
            launch(file, todo, request.hydra)
    return print_outcome(plan)


def print_ablations() -> None:
    """The shipped ablations, and how many cells each has."""
    table = Table()
    table.add_column("ablation", no_wrap=True)  # for it is copied
    table.add_column("cells", justify="right")
    table.add_column("what is compared", overflow="fold")
    for name, ablation in list_ablations().items():
        count = len(ablation.all_rows) * len(ablation.seeds)
        table.add_row(name, str(count), f"{ablation.title}\nexperiment={ablation.experiment}")
    console.print(table)
    say(f"Start one, or see its cells with dry=true: {ABLATE} ablation=kinds; more: --help")


def print_cells(plan: Plan) -> None:
    """Every cell, and how far it is."""
    from video_gc.ablate.status import state_of

    rows = [(cell, *state_of(cell)) for cell in plan.jobs]
    print_states(rows)
    say(f"{len(rows)} cells; they lie in {plan.runs}/cells")


def print_outcome(plan: Plan) -> int:
    """Every cell, how to repeat the failed ones, and what comes next; 1 where one failed."""
    from video_gc.ablate.job import as_typed, to_train
    from video_gc.ablate.status import LOG, state_of

    rows = [(cell, *state_of(cell)) for cell in plan.jobs]
    print_states(rows)
    failed = [(cell, reason) for cell, state, reason in rows if state == "failed"]
    for cell, reason in failed:
        say(f"{cell.title} failed: {reason}", style="red")
        alone = to_train(cell, plan.tools, plan.processes)
        say(f"  its output: {cell.directory}/{LOG}; alone: {as_typed(alone)}")
    elsewhere = sum(state == "running" for _, state, _ in rows)
    if elsewhere:
        say(f"trained by another process: {elsewhere}; the same command looks again")
    say(f"The ablation lies in {plan.directory}/ablation.json; next:")
    say(f"  python tools/report.py {plan.directory}")
    return int(bool(failed))


def print_states(rows: list[tuple[Cell, str, str | None]]) -> None:
    """A line for each cell."""
    table = Table()
    for heading in ("row", "seed", "cell", "state"):
        table.add_column(
            heading,
            justify="right" if heading == "seed" else "left",
            no_wrap=heading == "cell",  # for it is copied
        )
    styles = {"failed": "red", "finished": "green", "running": "cyan"}
    for cell, state, _ in rows:
        table.add_row(cell.row, str(cell.seed), cell.name, state, style=styles.get(state))
    console.print(table)


if __name__ == "__main__":
    run_tool(main)
