"""Score a list of millions of videos, in shards: one row a video, in Parquet files.

LIST is a table (Parquet, CSV) with a column path, video or url, or a text file with a path or an
address (s3://…, http://…) in each line. Run one process for each shard, here or elsewhere, with the
same list and folder:
  video-gc score runs/mine LIST --out DIR --shard 0/4      … 1/4, 2/4, 3/4
  video-gc score --merge DIR
With --engine ray, one command on a cluster makes all rows. A video that is damaged, hangs or is
too long costs its own row, which says so. Rerun a command to resume it.
"""

import math
from argparse import RawDescriptionHelpFormatter
from pathlib import Path

from video_gc.cli import Parser, in_range, run_tool
from video_gc.decode.ffmpeg.paths import check_exist
from video_gc.deploy.choices import BACKEND_HELP, BACKENDS, PRECISION_HELP, PRECISIONS
from video_gc.progress import say
from video_gc.train.checkpoint_paths import checkpoint_in


def main() -> int:
    """Parse, score or merge; returns 1 if videos are missing after a merge."""
    parser = Parser(description=__doc__, formatter_class=RawDescriptionHelpFormatter)
    add = parser.add_argument
    add(
        "checkpoint", type=Path, nargs="?",
        help="of video-gc train, a run, an exported model, or published weights (slow_r50)",
    )  # fmt: skip
    add("list", type=Path, nargs="?", metavar="LIST", help="the videos")
    add("--out", type=Path, metavar="DIR", help="folder of the parts; default: RUN/WHAT")
    add("--shard", metavar="I/N", help="shard I of N, from 0/N to N-1/N (0/1)")
    add("--retry", action="store_true", help="make files again that have videos with errors")
    add("--merge", type=Path, metavar="DIR", help="check the parts in DIR, write DIR/summary.json")
    add("--what", choices=("scores", "features", "segments"), default="scores", help="(scores)")
    add("--top", type=in_range(int, 1), default=5, help="of scores: best classes in `top` (5)")
    add("--layer", default="res5", help="of features: a stage, or a block such as res4.5 (res5)")
    add("--pool", action="store_true", help="of features: one row a video, the mean over windows")
    add(
        "--overlap", type=float,
        help="share of a window that the next one sees too; default: 0.5 for segments, else 0",
    )  # fmt: skip
    add("--column", metavar="NAME", help="of the paths in a table; default: path, video or url")
    add("--root", type=Path, help="folder where relative paths start; default: that of LIST")
    add(
        "--part-size", type=in_range(int, 1), metavar="N",
        help="videos in a file, which are lost with a killed process (1000; with Ray 100)",
    )  # fmt: skip
    add(
        "--decoders",
        type=in_range(int, 1),
        help="processes that decode; default: a core each, at most 8; with Ray 1",
    )
    add(
        "--timeout", type=in_range(float, 0.001), default=60.0,
        help="seconds in which a video must open, or give a frame (60)",
    )  # fmt: skip
    add(
        "--max-mb", type=in_range(float, 0.001), default=2048.0,
        help="largest file of an address, MiB (2048)",
    )  # fmt: skip
    add(
        "--max-seconds", type=in_range(float, 0.001), default=math.inf,
        help="longest video (no limit)",
    )  # fmt: skip
    add("--engine", choices=("processes", "ray"), default="processes", help="(processes)")
    add("--address", help="with Ray: of a running cluster, or auto; default: this machine alone")
    add("--actors", type=in_range(int, 1), help="with Ray: processes; default: a GPU or core each")
    add("--device", help="cpu or cuda; default: cuda if available")
    add("--precision", choices=PRECISIONS, default="auto", help=PRECISION_HELP)
    add("--backend", choices=BACKENDS, default="auto", help=BACKEND_HELP)
    options = parser.parse_args()
    if options.merge is not None:
        return merged(options.merge)
    if options.checkpoint is None or options.list is None:
        parser.error("give a checkpoint and a list of videos, or --merge DIR; --help has examples")
    if options.engine == "ray":
        for name in ("shard", "retry"):
            if getattr(options, name):
                parser.error(f"--{name} is of the engine processes; Ray makes all rows")
    elif options.address or options.actors:
        parser.error("--address and --actors need --engine ray")
    number, _, count = (options.shard or "0/1").partition("/")
    if not (number.isdecimal() and count.isdecimal() and int(number) < int(count)):
        parser.error(f"--shard ({options.shard}) must be 0/N … N-1/N, such as 0/4")
    checkpoint = checkpoint_in(options.checkpoint)
    check_exist([options.list])
    from video_gc.scale.scoring import ScoreOptions, Work
    from video_gc.scale.shards import Shard, score_shard
    from video_gc.scale.video_list import read_list  # late: they import torch
    from video_gc.train.checkpoint import default_output

    wanted = ScoreOptions(
        what=options.what,
        top=options.top,
        layer=options.layer,
        pool=options.pool,
        overlap=options.overlap,
        max_mb=options.max_mb,
        max_seconds=options.max_seconds,
    )
    paths = read_list(options.list, options.column, options.root)
    work = Work(
        checkpoint=checkpoint,
        options=wanted,
        device=options.device,
        precision=options.precision,
        backend=options.backend,
        decoders=options.decoders,
        timeout=options.timeout,
    )
    out = options.out or default_output(work.checkpoint, options.what)
    if options.engine == "ray":
        from video_gc.scale.ray_data import score_with_ray

        size = options.part_size or 100
        score_with_ray(
            work, paths, out, address=options.address, actors=options.actors, batch_size=size
        )
        say(f"The rows are in {out}; next:")
    else:
        share, size = Shard(int(number), int(count)), options.part_size or 1000
        done = score_shard(work, paths, out, shard=share, part_size=size, retry=options.retry)
        counts = ", ".join(f"{count:,} {status}" for status, count in done.most_common())
        say(
            f"{counts or 'nothing was missing'}; the rows are in {out}",
            "yellow" if done["error"] else None,
        )
        say("next, when all shards have ended:")
    say(f"  video-gc score --merge {out}")
    return 0


def merged(folder: Path) -> int:
    """Say what the parts hold; returns 1 if videos are missing."""
    from video_gc.scale.merge import NOT_SCORED, SUMMARY, merge

    found = merge(folder)
    counts = ", ".join(f"{count:,} {status}" for status, count in found.status.most_common())
    there = (found.times > 0).sum()
    say(f"{there:,} of {len(found.times):,} videos: {counts or 'none'}")
    say(f"The summary is {folder / SUMMARY}, videos without scores are in {folder / NOT_SCORED}")
    with_ray = found.engine == "ray"  # it takes rows for finished, whatever becomes of their file
    if count := found.status["error"]:
        way = f"score {NOT_SCORED} into another --out" if with_ray else "--retry makes them again"
        say(f"{count:,} videos have errors; {way}", style="yellow")
    for name, why in found.damaged.items():
        way = "score the list into another --out" if with_ray else "remove it"
        say(f"{folder / name}: {why}; {way}", style="yellow")
    if count := (found.times > 1).sum():
        say(f"{count:,} videos are there more than once", style="yellow")
    if count := (found.times == 0).sum():
        say(f"{count:,} videos are missing: run the commands again", style="yellow")
    return int(not found.complete)


if __name__ == "__main__":
    run_tool(main)
