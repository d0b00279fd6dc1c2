"""Where do the context blocks look, and does that depend on the query?

For every block: how far positions of a clip differ in input, output and attention (NL), or how
concentrated the one map is (GC, SNL); what the network loses when its NL blocks are replaced; and
the maps themselves over some videos. Writes attention.html, attention.json, MP4s and WebPs.
"""

import argparse
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from rich.table import Table

from video_gc.analysis.attention.queries import FORMS, SCALES, parse_queries
from video_gc.analysis.terminal import fitting
from video_gc.cli import Parser, in_range, run_tool
from video_gc.progress import console, say

if TYPE_CHECKING:
    from video_gc.analysis.attention.examine import Examination
    from video_gc.analysis.attention.losses import Losses


def main() -> None:
    """Parse, look, print."""
    options = vars(_parse())
    options["count"] = None if options.pop("all") else options.pop("count")
    options["queries"] = parse_queries(options["queries"])
    from video_gc.analysis.attention.examine import examine  # torch, so not for a wrong argument

    print_examination(examine(options.pop("checkpoint"), options.pop("videos"), **options))


def show(tables: Iterable[Table]) -> None:
    """One below the other."""
    for table in tables:
        console.print(table)


def print_examination(done: "Examination") -> None:
    """Tables, the answer in sentences, and where the files lie."""
    from video_gc.analysis.attention.words import CONVENTION

    say(f"{done.checkpoint}: {done.videos} of {done.listed} videos of {done.data}", style="bold")
    asked = [block for block in done.blocks if block.input or block.attention]
    if asked:
        show(_distances(done))
    if any(block.entropy_share is not None for block in done.blocks):
        show(_entropies(done))
    if done.losses:
        show(_losses(done.losses))
    for line in done.answer:
        say(line)
    if any(block.attention for block in done.blocks):
        say(CONVENTION)
    for reason in done.damaged.values():
        say(f"Could not be read: {reason}", style="yellow")
    if done.damaged:
        say(f"Videos that could not be read: {len(done.damaged)}")
    if done.short:
        say(f"Videos shorter than a clip: {done.short}")
    for file in done.files + [f for p in done.pictures for f in (p.video, p.animation)]:
        say(f"  {file}")


def _distances(done: "Examination") -> Iterator[Table]:
    from video_gc.analysis.attention.words import numbers

    rows, sections = [], []
    for block in done.blocks:
        compared = {
            "input": block.input,
            "output": block.output,
            "attention": block.attention,
            "JSD (nats)": block.divergence,
        }
        name = f"{block.name} {block.kind}"
        for what, pairs in compared.items():
            parts = (pairs.overall, pairs.between, pairs.within) if pairs else (None, None, None)
            if block.input or block.attention:  # dashes where the weights are no distribution
                rows.append([f"{name}, {what}", *map(numbers, parts)])
        sections.append(len(rows))
    return fitting(
        ("", "overall", "between frames", "within a frame"),
        rows,
        console.width,
        title=f"Distances between positions of a clip{_over(done.videos)}",
        sections=sections,
    )


def _entropies(done: "Examination") -> Iterator[Table]:
    from video_gc.analysis.attention.words import numbers

    rows = []
    for block in done.blocks:
        if block.entropy is not None:
            shown = (block.entropy, block.entropy_share, block.time_entropy_share)
            cells = map(numbers, (*shown, block.time_centre, block.time_spread))
            rows.append([f"{block.name} {block.kind}", *cells])
    return fitting(
        ("block", "entropy (nats)", "share of uniform", "over frames", "mean time", "its spread"),
        rows,
        console.width,
        title=f"How concentrated the maps are{_over(done.videos)}",
    )


def _losses(losses: "Losses") -> Iterator[Table]:
    from video_gc.analysis.attention.words import percent, points

    rows = []
    for one in losses.rows:
        cells = percent(one.relative), percent(one.agreement), points(one.change)
        rows.append([f"{one.block} → {one.to.upper()}", *cells])
    return fitting(
        ("block", "logits move", "same first class", "accuracy changes by"),
        rows,
        console.width,
        title=f"NL blocks replaced, not trained again{_over(losses.rows[0].clips)}",
    )


def _over(videos: int) -> str:
    return f": 95 % intervals over {videos} videos" if videos > 1 else ": one video"


def _parse() -> argparse.Namespace:
    parser = Parser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog="examples:\n"
        "  python tools/attention.py runs/demo/checkpoints/best.ckpt\n"
        "  python tools/attention.py runs/demo/checkpoints/best.ckpt clips/ --all --pictures 4\n"
        "  python tools/attention.py best.ckpt serve.mp4 --queries 3x3 --blocks 'res4.*'",
    )
    add = parser.add_argument
    add("checkpoint", type=Path, help="a checkpoint of tools/train.py, or a run such as runs/demo")
    add(
        "videos",
        type=Path,
        nargs="*",
        default=[],  # else argparse calls it required
        metavar="VIDEO",
        help="files, folders, or `path label` lists; default: the run's test videos",
    )
    add("--root", type=Path, help="folder that relative paths of a list start from")
    many = parser.add_mutually_exclusive_group()
    many.add_argument(
        "--videos",
        type=in_range(int, 1),
        default=64,
        dest="count",
        metavar="N",
        help="look at so many of them, spread over the classes (%(default)s)",
    )
    many.add_argument("--all", action="store_true", help="look at all of them")
    add("--queries", nargs="+", default=["2x3"], help=f"{FORMS}; fractions of the clip (2x3)")
    add(
        "--blocks",
        nargs="+",
        default=[],
        metavar="BLOCK",
        help="blocks to draw, such as res4.3 or 'res4.*'; default: five of them. Statistics are of "
        "all",
    )
    add("--pictures", type=in_range(int, 0), default=2, help="videos to draw (%(default)s)")
    add(
        "--scale",
        choices=SCALES,
        default="video",
        help="colours end at the largest weight of each video, or of all drawn (%(default)s)",
    )
    add(
        "--convert",
        action=argparse.BooleanOptionalAction,
        default=True,
        help="replace NL blocks by SNL and GC and say what is lost",
    )
    add("--reduction", type=in_range(int, 1), default=4, help="C / rank of those GC (%(default)s)")
    add(
        "--cam",
        action=argparse.BooleanOptionalAction,
        help="class activation beside the maps; default: where captum is installed",
    )
    add(
        "--positions",
        type=in_range(int, 16),
        default=256,
        help="of each clip that are compared, where it has more; 64 is quick (%(default)s)",
    )
    add("--seed", type=in_range(int, 0), default=0, help="of what is drawn by chance (%(default)s)")
    add("--out", type=Path, help="folder for the results; default: RUN/attention")
    add("--device", help="cpu or cuda; default: cuda where there is one")
    return parser.parse_args()


if __name__ == "__main__":
    run_tool(main)
