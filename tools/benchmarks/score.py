"""`benchmark.py score`: a list of videos by a plain loop, by tools/score.py, and on Ray."""

import argparse
import subprocess
import sys
import tempfile
import time
from collections.abc import Generator
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import pyarrow as pa
import pyarrow.dataset
import pyarrow.parquet
import torch

from benchmarks.parts.measurement import about_machine, add_folder, as_dicts, table, write_results
from video_gc.cli import in_range
from video_gc.predict.recognizer import Recognizer
from video_gc.progress import say
from video_gc.scale import shards
from video_gc.scale.ray_data import score_with_ray
from video_gc.scale.scoring import Row, ScoreOptions, Scorer, Work
from video_gc.scale.shards import Shard, score_shard
from video_gc.train.checkpoint_paths import checkpoint_in

ABOUT = """\
Score the same videos with a loop over Recognizer.predict, with video-gc score and one or more
decoders, and on Ray with one or more actors (if it is installed), each in a process of its own.
Videos per second are those between the first and the last row; the whole command is given too.
Then a list of --rows rows with a scorer that does nothing: what parts, or Ray, cost alone."""
TOOL = Path(__file__).parents[1] / "score.py"
HEADS = ["", "videos/s", "× plain loop", "whole command, s"]


@dataclass
class Way:
    """One way to score the list."""

    name: str
    rate: float
    """videos per second, after the first"""
    seconds: float
    """of the whole command"""


@dataclass
class Own:
    """What an engine costs by itself."""

    name: str
    rows: int
    seconds: float


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `score`."""
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.description = ABOUT
    parser.epilog = "example: video-gc benchmark score runs/demo data/motions/alike/test"
    many = in_range(int, 1)
    parser.add_argument("checkpoint", type=Path, help="as of video-gc score")
    parser.add_argument("videos", type=Path, help="a folder of videos")
    parser.add_argument("--count", type=many, default=600, help="videos, repeated if needed (600)")
    parser.add_argument("--decoders", nargs="+", type=many, default=[1, 2], help="(1 2)")
    parser.add_argument("--actors", nargs="+", type=many, default=[1, 2], help="(1 2)")
    parser.add_argument("--rows", type=many, default=1_000_000, help="of the empty lists (1000000)")
    add_folder(parser)


def run(options: argparse.Namespace) -> int:
    """Measure, print, write JSON and Markdown."""
    about, checkpoint = about_machine(), checkpoint_in(options.checkpoint)
    files = sorted(str(file.resolve()) for file in options.videos.rglob("*.mp4"))
    if not files:
        raise ValueError(f"{options.videos}: no .mp4 files in this folder")
    listed = [files[number % len(files)] for number in range(options.count)]
    ways = [plain_loop(checkpoint, listed)]
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "list.txt")
        file.write_text("\n".join(listed), "utf-8")
        for number in options.decoders:
            ways.append(scored(checkpoint, file, f"{number} decoders", "--decoders", str(number)))
        if find_spec("ray"):
            for number in options.actors:
                engine = "--engine", "ray", "--actors", str(number)
                ways.append(scored(checkpoint, file, f"Ray, {number} actors", *engine))
    own = [parts_alone(checkpoint, options.rows)]
    if find_spec("ray"):
        own.append(ray_alone(checkpoint, options.rows))
    lines = [
        [way.name, f"{way.rate:.1f}", f"{way.rate / ways[0].rate:.2f}", f"{way.seconds:.1f}"]
        for way in ways
    ]
    empty = [
        [one.name, f"{one.rows:,}", f"{one.seconds:.0f}", f"{1e6 * one.seconds / one.rows:.0f}"]
        for one in own
    ]
    return write_results(
        options.out / "score", about,
        f"{options.count} videos of {options.videos}, {checkpoint}, fp32, one thread a network.",
        [*table(HEADS, lines), "", *table(["by itself", "rows", "s", "µs a row"], empty)],
        {"format": "score-1", "ways": as_dicts(ways), "own": as_dicts(own)},
    )  # fmt: skip


def plain_loop(checkpoint: Path, listed: list[str]) -> Way:
    """What everybody writes first."""
    torch.set_num_threads(1)
    began = time.perf_counter()
    recognizer = Recognizer(checkpoint, device="cpu", precision="fp32")
    recognizer.predict(listed[0])
    started = time.perf_counter()
    for file in listed[1:]:
        recognizer.predict(file)
    ended = time.perf_counter()
    return Way("plain loop", (len(listed) - 1) / (ended - started), ended - began)


def scored(checkpoint: Path, listed: Path, name: str, *options: str) -> Way:
    """tools/score.py in a process of its own."""
    say(f"Scoring with {name}")
    with tempfile.TemporaryDirectory() as out:
        command = [sys.executable, TOOL, checkpoint, listed, "--out", out, "--part-size", "50"]
        command += ["--device", "cpu", "--precision", "fp32", *options]
        environment = {"OMP_NUM_THREADS": "1", "RAY_AUTH_MODE": "disabled"}
        began = time.perf_counter()
        subprocess.run(
            ["env", *(f"{key}={value}" for key, value in environment.items()), *map(str, command)],
            check=True, capture_output=True,
        )  # fmt: skip
        seconds = time.perf_counter() - began
        files = list(Path(out).glob("[!.]*.parquet"))
        times = pyarrow.dataset.dataset(files).to_table(columns=["finished"])["finished"]
        finished = times.to_numpy().astype("datetime64[ms]").astype(np.int64) / 1000
    return Way(name, (len(finished) - 1) / float(np.ptp(finished)), seconds)


class Nothing(Scorer):
    """A scorer that does nothing."""

    def __init__(self, *_: Any) -> None:
        pass

    def rows(self, videos: Any) -> Generator[Row, None, None]:
        """Rows without scores."""
        for row, path in videos:
            yield {"row": row, "path": path, "status": "ok"}

    def close(self) -> None:
        """There is nothing to end."""


def parts_alone(checkpoint: Path, rows: int) -> Own:
    """tools/score.py without decoding and without a network."""
    paths = pa.chunked_array([pa.array([f"/videos/{n:09d}.mp4" for n in range(rows)])])
    work = Work(checkpoint=checkpoint, options=ScoreOptions(), device="cpu")
    with tempfile.TemporaryDirectory() as out, patch.object(shards, "Scorer", Nothing):
        began = time.perf_counter()
        score_shard(work, paths, Path(out), shard=Shard())
        return Own("parts", rows, time.perf_counter() - began)


def ray_alone(checkpoint: Path, rows: int) -> Own:
    """Ray's part of the work: the scorer of its actors does nothing."""
    from ray import cloudpickle

    cloudpickle.register_pickle_by_value(sys.modules[__name__])  # actors cannot import it
    paths = pa.chunked_array([pa.array([f"/videos/{n:09d}.mp4" for n in range(rows)])])
    work = Work(checkpoint=checkpoint, options=ScoreOptions(), device="cpu")
    with (
        tempfile.TemporaryDirectory() as out,
        patch("video_gc.scale.ray_data.ScoringActor", NothingActor),
    ):
        began = time.perf_counter()
        score_with_ray(work, paths, Path(out), actors=1, batch_size=1000)
        return Own("Ray", rows, time.perf_counter() - began)


class NothingActor:
    """An actor that does nothing."""

    def __init__(self, work: Work, out: Path) -> None:
        self.schema = work.options.schema

    def __call__(self, batch: pa.Table) -> pa.Table:
        """Rows without scores."""
        rows = Nothing().rows(zip(batch["row"].to_pylist(), batch["path"].to_pylist(), strict=True))
        return pa.Table.from_pylist(list(rows), self.schema)
