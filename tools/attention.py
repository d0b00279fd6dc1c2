"""Where do the context blocks look, and does that depend on the query?

Measures for every block how much positions of a clip differ in input, output and attention (NL),
how much of that attention its unary part explains, or how concentrated its single map is (GC, SNL),
and what the network loses when its NL blocks are replaced. Draws the maps over some videos. Writes
attention.html, attention.json, MP4s and WebPs.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from video_gc.analysis.attention.queries import FORMS, parse_queries
from video_gc.analysis.terminal import fitting
from video_gc.cli import Parser, in_range, run_tool
from video_gc.decode.ffmpeg.paths import check_exist
from video_gc.progress import console, say
from video_gc.train.checkpoint_paths import checkpoint_in

if TYPE_CHECKING:
    from video_gc.analysis.attention.findings import Findings


def main() -> None:
    """Parse, measure, print."""
    options = vars(_parse())
    options["count"] = None if options.pop("all") else options.pop("count")
    options["queries"] = parse_queries(options["queries"])
    checkpoint, videos, out, device = map(options.pop, ("checkpoint", "videos", "out", "device"))
    checkpoint = checkpoint_in(checkpoint)
    check_exist(videos)
    # late: it imports torch, which a wrong argument does not need
    from video_gc.analysis.attention.examine import ExamineOptions, examine

    print_findings(examine(checkpoint, videos, ExamineOptions(**options), out=out, device=device))


def print_findings(found: "Findings") -> None:
    """Print tables, the answer in sentences, and the paths of the files."""
    from video_gc.analysis.attention.findings import CONVENTION

    say(
        f"{found.checkpoint}: {found.videos} of {found.listed} videos of {found.data}", style="bold"
    )
    print_tables(found)
    for line in found.answer:
        say(line)
    if CONVENTION in found.reading:
        say(CONVENTION)
    for reason in found.damaged.values():
        say(f"Could not be read: {reason}", style="yellow")
    if found.damaged:
        say(f"Videos that could not be read: {len(found.damaged)}")
    if found.short:
        say(f"Videos shorter than a clip: {found.short}")
    for file in found.files + [f for p in found.pictures for f in (p.video, p.animation)]:
        say(f"  {file}")


def print_tables(found: "Findings") -> None:
    """Print distances, unary parts, entropies and replacements, if the network has them."""
    from video_gc.analysis.attention.findings import SHARED, numbers, percent, points
    from video_gc.analysis.attention.record import PAIRED, UNARY

    compared = [block for block in found.blocks if block.input or block.attention]
    distances = [
        [f"{block.name} {block.kind}, {title}"]
        + [numbers(getattr(pairs, part, None)) for part in ("overall", "between", "within")]
        for block in compared
        for name, title in PAIRED.items()
        for pairs in [getattr(block, name)]
    ]
    unary = [
        [f"{block.name} {block.kind}", *(numbers(getattr(block, name)) for name in UNARY)]
        for block in found.blocks
        if block.unary_divergence
    ]
    entropies = [
        [f"{block.name} {block.kind}", *(numbers(getattr(block, name)) for name in SHARED)]
        for block in found.blocks
        if block.entropy
    ]
    replaced = [
        [name, percent(one.relative), percent(one.agreement), points(one.change)]
        for one in (found.losses.rows if found.losses else [])
        for name in [f"{one.block} → {one.to.upper()}"]
    ]
    ends = [len(PAIRED) * number for number in range(1, len(compared) + 1)]
    measured = found.losses.rows[0].clips if found.losses else 0
    columns = ["", "overall", "between frames", "within a frame"]
    _show("Distances between positions of a clip", columns, distances, found.videos, ends)
    _show("Attention that the unary part explains", ["block", *UNARY.values()], unary, found.videos)
    columns = ["block", *SHARED.values()]
    _show("How concentrated the maps are", columns, entropies, found.videos)
    columns = ["block", "logits move", "same first class", "accuracy changes by"]
    _show("NL blocks replaced, without retraining", columns, replaced, measured)


def _show(
    title: str, columns: list[str], rows: list[list[str]], videos: int, ends: Sequence[int] = ()
) -> None:
    """Print a table unless it is empty; `ends`: rows followed by a line."""
    over = f"95 % intervals over {videos} videos" if videos > 1 else "one video"
    shown = fitting(columns, rows, console.width, title=f"{title}: {over}", sections=ends)
    for table in shown if rows else ():
        console.print(table)


def _parse() -> argparse.Namespace:
    parser = Parser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog="examples:\n"
        "  video-gc attention runs/demo/checkpoints/best.ckpt\n"
        "  video-gc attention runs/demo/checkpoints/best.ckpt clips/ --all --pictures 4\n"
        "  video-gc attention best.ckpt serve.mp4 --queries 3x3 --blocks 'res4.*'",
    )
    add = parser.add_argument
    add("checkpoint", type=Path, help="a checkpoint of video-gc train, or a run such as runs/demo")
    add(
        "videos",
        type=Path,
        nargs="*",
        default=[],  # else argparse calls it required
        metavar="VIDEO",
        help="files, folders, or `path label` lists; default: the run's test videos",
    )
    add("--root", type=Path, help="folder for relative paths of a list")
    many = parser.add_mutually_exclusive_group()
    many.add_argument(
        "--videos",
        type=in_range(int, 1),
        default=64,
        dest="count",
        metavar="N",
        help="number of videos to examine, spread over the classes (%(default)s)",
    )
    many.add_argument("--all", action="store_true", help="examine all of them")
    add("--queries", nargs="+", default=["2x3"], help=f"{FORMS}; fractions of the clip (2x3)")
    add(
        "--blocks",
        nargs="+",
        default=[],
        metavar="BLOCK",
        help="blocks to draw, such as res4.3 or 'res4.*'; default: five of them; statistics cover "
        "all",
    )
    add("--pictures", type=in_range(int, 0), default=2, help="videos to draw (%(default)s)")
    add(
        "--scale",
        choices=("video", "common"),
        default="video",
        help="colours end at the largest weight of each video, or of all drawn (%(default)s)",
    )
    add(
        "--convert",
        action=argparse.BooleanOptionalAction,
        default=True,
        help="replace NL blocks by SNL and GC and measure the loss",
    )
    add(
        "--reduction",
        type=in_range(int, 1),
        default=4,
        help="C / rank of these GC blocks (%(default)s)",
    )
    add(
        "--cam",
        action=argparse.BooleanOptionalAction,
        help="class activation beside the maps; default: if captum is installed",
    )
    add(
        "--positions",
        type=in_range(int, 16),
        default=256,
        help="positions compared in each clip, at most; 64 is fast (%(default)s)",
    )
    add("--seed", type=in_range(int, 0), default=0, help="seed of random choices (%(default)s)")
    add("--out", type=Path, help="folder for the results; default: RUN/attention")
    add("--device", help="cpu or cuda; default: cuda if available")
    return parser.parse_args()


if __name__ == "__main__":
    run_tool(main)
