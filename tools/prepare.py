"""Prepare data: `motions` generates the embedded set, `check` lists what cannot be read."""

import argparse
from pathlib import Path

from video_gc.cli import run_tool
from video_gc.data.check import check_videos
from video_gc.data.motions import generate_motions
from video_gc.progress import say


def main() -> int:
    """Parse, prepare, say where; 1 where damaged videos were found."""
    parser = argparse.ArgumentParser(description=__doc__)
    jobs = parser.add_subparsers(dest="job", required=True)
    motions = jobs.add_parser("motions", help="generate the embedded data set")
    motions.add_argument("--root", type=Path, default=Path("data/motions"), help="(data/motions)")
    motions.add_argument("--seed", type=int, default=0, help="other seeds draw other videos (0)")
    check = jobs.add_parser("check", help="decode every frame below a folder; list what fails")
    check.add_argument("folder", type=Path)
    check.add_argument("--out", type=Path, default=Path("damaged.csv"), help="(damaged.csv)")
    options = parser.parse_args()
    if options.job == "motions":
        say(f"Videos lie in {generate_motions(options.root, seed=options.seed)}")
        return 0
    damaged = check_videos(options.folder, options.out)
    say(f"Damaged videos: {damaged}" + (f", listed in {options.out}" if damaged else ""))
    return int(damaged > 0)


if __name__ == "__main__":
    run_tool(main)
