"""Compare two tested runs over the same videos: which is better, or is the difference noise?"""

from pathlib import Path
from typing import TYPE_CHECKING

from video_gc.analysis.terminal import fitting
from video_gc.cli import Parser, run_tool
from video_gc.progress import console, say

if TYPE_CHECKING:
    from video_gc.analysis.compare.comparison import Comparison


def main() -> None:
    """Parse, compare, print."""
    parser = Parser(
        description=__doc__,
        epilog="examples: video-gc compare runs/plain runs/gc; several trainings each: "
        "video-gc compare --a runs/plain_* --b runs/gc_*",
    )
    parser.add_argument(
        "runs",
        nargs="*",
        type=Path,
        metavar="RUN",
        help="A and B: each a run directory, a folder of test results, or a predictions.csv",
    )
    for side in "ab":
        parser.add_argument(
            f"--{side}",
            nargs="+",
            type=Path,
            metavar="RUN",
            help=f"trainings of {side.upper()}, one per seed",
        )
    parser.add_argument(
        "--out", type=Path, help="folder for the results; default: compare_with_A in B's directory"
    )
    options = parser.parse_args()
    if options.runs and (options.a or options.b):
        parser.error("give either RUN_A RUN_B, or --a RUN… --b RUN…")
    if len(options.runs) != 2 and not (options.a and options.b):
        parser.error("give two runs: RUN_A RUN_B, or --a RUN… --b RUN…")
    a, b = (options.a, options.b) if options.a else ([run] for run in options.runs)
    from video_gc.analysis.compare.comparison import compare_runs
    from video_gc.analysis.compare.results import write_comparison  # late: they load scipy

    found = compare_runs(a, b)
    files = write_comparison(found, options.out)
    print_comparison(found)
    for file in files:
        say(f"  {file}")


def print_comparison(found: "Comparison") -> None:
    """Print the metrics, the videos that changed, the warnings, and the verdict last."""
    say(
        f"A: {found.titles[0]}, B: {found.titles[1]}: {found.counted}",
        style="bold",
    )
    rows = []
    for name, each in found.figures.items():
        sides = (" ".join(f"{figure:.2f}" for figure in side) for side in (each.a, each.b))
        interval = f"{each.low:+.2f} to {each.high:+.2f}"
        rows.append([name, *sides, f"{each.difference:+.2f}", interval, f"{each.error:.2f}"])
    headings = ("", "A", "B", "B − A", "95 % interval", "standard error")
    for table in fitting(headings, rows, console.width):
        console.print(table)
    if found.changes is not None:
        test, several = found.changes.test, found.trainings != (1, 1)
        say(
            f"B is right {'more often than A' if several else 'where A is wrong'}: "
            f"{found.changes.wins} videos; the reverse: {found.changes.losses}; "
            f"{found.name_of_test}: p = {test.mid_p:.3g} (mid-p), "
            f"{test.exact:.3g} (exact)"
        )
    for line in found.warnings:
        say(f"note: {line}", style="yellow")
    say(found.verdict, style="bold")


if __name__ == "__main__":
    run_tool(main)
