"""Measure time and memory of video_gc and its peers, in one run on this machine.

Writes a table (Markdown), JSON with machine and versions, and in some cases a plot.
"""

import argparse
import sys
from importlib import import_module

from video_gc.cli import Parser, run_tool

COMMANDS = {
    "blocks": "each context block at the papers' sizes and against P, in both layouts; 45 minutes",
    "networks": "what blocks of each kind add to the time of Slow-only R50, in turns; 15 minutes",
    "decode": "clips from files, compared with the peers",
    "loader": "clips per second of the training loader",
    "feeding": "processor time of training clips, and the cores that feed a GPU",
    "train": "training steps in fp32 and bf16 on a CPU, of small networks and larger ones",
    "test": "30 views of a video, compared with a loop that opens the file for each",
    "score": "a list of videos in processes and on Ray, compared with a plain loop",
    "shards": "training clips from files, from shards, and from shards elsewhere",
    "growth": "time and memory against videos, their length, classes and processes",
    "predict": "a trained network on clips and videos, with every precision and backend",
    "gpu": "everything that is to be known of a GPU, in 8 minutes; --device cpu rehearses it",
    "startup": "from typing each command to its first line, and to its end",
}


def main() -> int:
    """Parse, and run the benchmark."""
    parser = Parser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog="examples: video-gc benchmark blocks --sizes res4-8 --blocks gc nl\n"
        "          video-gc benchmark predict --quick",
    )
    what = parser.add_subparsers(dest="what", metavar=" | ".join(COMMANDS), required=True)
    for name, text in COMMANDS.items():
        own = what.add_parser(name, help=text)
        if name not in sys.argv[1:]:  # each imports torch, some the peers
            continue
        import_module(f"benchmarks.{name}").add_arguments(own)
    options = parser.parse_args()
    status: int = import_module(f"benchmarks.{options.what}").run(options)
    return status


if __name__ == "__main__":
    run_tool(main)
