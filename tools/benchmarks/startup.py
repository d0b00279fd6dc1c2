"""`benchmark.py startup`: from typing a command to its first line, and to its end."""

import argparse
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from benchmarks.parts.measurement import about_machine, add_folder, as_dicts, table, write_results
from video_gc.cli import in_range
from video_gc.data.generated.motions import MOTIONS, open_motions
from video_gc.progress import track
from video_gc.train.checkpoint_paths import checkpoint_in

ABOUT = """\
Time each command in a process of its own, from its start to the first bytes that it prints and to
its end; the median of some rounds, after one that is not measured, which loads files into the
machine's memory. RUN is a trained run, such as that of make demo."""
EXAMPLE = "example: video-gc benchmark startup runs/demo"
COMMANDS = (
    "--help",
    "train --help",
    "train epohcs=3",
    "train epochs=1 steps_per_epoch=1 name={new} runs={out}",
    "test {run} --subset 20 --out {out}",
    "predict {run} missing.mp4",
    "predict {run} {video} --out {out}",
    "predict {run} {video} --segments --out {out}",
    "report {run}",
    "ablate",
    "ablate ablation=demo dry=true runs={out}",
    "prepare check {videos}",
    "attention {run} {video} --no-convert --out {out}",
    "complexity {run} --no-measure",
    "export {run} --format exported_program --count 4 --out {out}",
    "features {run} {video} --out {out}",
    "score {run} {listed} --out {out}",
)
"""What is typed."""
HEADS = ["video-gc …", "first bytes, s", "end, s", "status"]
COUNT = 20
"""Videos of the folder VIDEOS."""


@dataclass(frozen=True)
class Row:
    """One command."""

    command: str
    first: float
    """s to the first bytes"""
    end: float
    """s to the end"""
    status: int

    def cells(self) -> list[str]:
        """A line of the table."""
        return [f"`{self.command}`", f"{self.first:.2f}", f"{self.end:.2f}", str(self.status)]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `startup`."""
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.description, parser.epilog = ABOUT, EXAMPLE
    parser.add_argument("run", type=Path, help="a run directory, tested with video-gc test")
    many = in_range(int, 1)
    parser.add_argument("--rounds", type=many, default=3, help="measured ones of each (3)")
    add_folder(parser)


def run(options: argparse.Namespace) -> int:
    """Measure, print, write JSON and Markdown."""
    about, checkpoint = about_machine(), checkpoint_in(options.run)
    clips = sorted((open_motions(MOTIONS, "alike") / "test").rglob("*.mp4"))
    rows: list[Row] = []
    with tempfile.TemporaryDirectory() as folder:
        videos = Path(folder, "videos", "clips")
        videos.mkdir(parents=True)
        for number, clip in enumerate(islice(clips, COUNT)):
            shutil.copy(clip, videos / f"{number}.mp4")
        listed = Path(folder, "list.txt")
        listed.write_text("\n".join(map(str, videos.iterdir())), "utf-8")
        for command in track(COMMANDS, "Timing commands", len(COMMANDS)):
            timed = []
            for turn in range(options.rounds + 1):
                typed = command.format(
                    run=options.run,
                    video=clips[0],
                    videos=videos.parent,
                    listed=listed,
                    out=Path(folder, f"{len(rows)}_{turn}"),
                    new=f"new{turn}",
                )
                timed.append(seconds_of(typed.split()))
            first, end, status = zip(*timed[1:], strict=True)
            seconds = statistics.median(first), statistics.median(end)
            rows.append(Row(command, seconds[0], seconds[1], max(status)))
    lines = table(HEADS, [row.cells() for row in rows])
    about |= {"run": str(checkpoint), "rounds": str(options.rounds)}
    return write_results(options.out / "startup", about, ABOUT, lines, {"commands": as_dicts(rows)})


def seconds_of(words: list[str]) -> tuple[float, float, int]:
    """Seconds to the first bytes of video-gc and to its end, and its exit status."""
    command, began = [sys.executable, "-m", "video_gc", *words], time.perf_counter()
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT) as process:
        assert process.stdout is not None
        process.stdout.read(1)
        first = time.perf_counter() - began
        process.stdout.read()
    return first, time.perf_counter() - began, process.returncode
