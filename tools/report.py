"""Write a page on one run, or a table of many runs: of an ablation, or all in a folder.

For one run directory it writes the page RUN/report.html. Otherwise it writes a table with a row per
configuration, over its seeds: accuracy with its error and the paired test against the baseline,
parameters, FLOPs (multiply-adds), latency and memory on this machine, training time; as table.md,
table.csv, table.tex, table.json and report.html. The pages load nothing from the internet.
"""

from pathlib import Path
from typing import TYPE_CHECKING

from video_gc.cli import Parser, run_tool
from video_gc.progress import console, say

if TYPE_CHECKING:
    from video_gc.analysis.table.table import Table

MAKE = "make runs with video-gc train or video-gc ablate"


def main() -> None:
    """Parse, write, print the table and the paths of the files."""
    parser = Parser(
        description=__doc__,
        epilog="examples: video-gc report runs/demo; video-gc report "
        "runs/ablations/kinds; video-gc report runs/plain_* runs/gc_* --baseline none",
    )
    parser.add_argument(
        "runs",
        nargs="+",
        type=Path,
        metavar="DIR",
        help="run directories, ablations (runs/ablations/NAME), or folders of runs",
    )
    parser.add_argument(
        "--out",
        type=Path,
        help="folder for a table; default: the ablation's, RUNS/table for a folder of runs, "
        "RUNS/table_A_B for chosen runs",
    )
    parser.add_argument(
        "--baseline",
        metavar="ROW",
        help="name of the row to compare with; for one ablation also a value of an axis: each row "
        "is compared with the one that differs in it alone",
    )
    parser.add_argument(
        "--no-measure",
        action="store_true",
        help="do not measure latency and memory, which takes time",
    )
    options = parser.parse_args()
    for place in options.runs:  # before torch is imported
        if not place.is_dir():
            kind = "a file, not a run directory" if place.exists() else "no such run directory"
            raise FileNotFoundError(f"{place}: {kind}, ablation or folder of runs; {MAKE}")
    say(f"Reading {', '.join(map(str, options.runs))} …")
    from video_gc.analysis.table.files import check_free, write_files
    from video_gc.analysis.table.gather import collect, single_run
    from video_gc.analysis.table.make_table import make_table
    from video_gc.analysis.table.page import PAGE, write_page

    run = single_run(options.runs)
    if run is not None:
        for given, name in ((options.out, "--out"), (options.baseline, "--baseline")):
            if given is not None:
                parser.error(f"{name} is for a table, but {run} is one run")
        from video_gc.analysis.report import write_report

        say(f"Open {write_report(options.runs[0])} in a browser")
        return
    collection = collect(options.runs, options.baseline)
    out = options.out or collection.home
    check_free(out, PAGE)  # before slow work
    table = make_table(collection, out, measure=not options.no_measure)
    files = [*write_files(table, out), write_page(table, collection.groups, out)]
    print_table(table)
    for file in files:
        say(f"  {file}")


def print_table(table: "Table") -> None:
    """Print the table, split on a narrow terminal, then verdicts and warnings."""
    from video_gc.analysis.table.files import cells
    from video_gc.analysis.terminal import fitting

    say(f"{table.title}: {table.count}", style="bold")
    for part in fitting(*cells(table), console.width):
        console.print(part)
    for row in table.rows:
        if row.against is not None:
            say(row.against.sentence)
    for line in table.warnings:
        say(f"note: {line}", style="yellow")


if __name__ == "__main__":
    run_tool(main)
