"""`benchmark.py shards`: training clips from files, from shards, and from shards elsewhere."""

import argparse
import http.server
import os
import re
import shutil
import statistics
import tempfile
import threading
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import pyarrow as pa
import pyarrow.parquet
import torch

from benchmarks.parts.measurement import (
    CPU,
    about_machine,
    add_cache,
    add_folder,
    as_dicts,
    in_new_process,
    table,
    write_results,
)
from benchmarks.parts.videos import AREA, DENSE, SPARSE, made_videos
from video_gc.analysis.measure import MIB, peak_bytes, status_bytes
from video_gc.cli import in_range
from video_gc.data.annotations.class_folders import read_class_folders
from video_gc.data.batches.loader import training_loader
from video_gc.data.dataset import TrainingClips
from video_gc.data.manifest import Listed, Listing
from video_gc.data.sampling import ClipConfig
from video_gc.data.shards.open import open_shards
from video_gc.data.shards.write import INDEX, SCHEMA, write_shards
from video_gc.progress import say

ABOUT = """\
Time the training loader (8×8, random-resized crop to 224) over the same videos as files, in shards
in a folder, and in shards behind an HTTP server that waits --delay milliseconds before each answer:
with nothing kept, and with all of it kept from the epoch before. Each in a process of its own.
Then open an index of --rows videos, twice, and read from it in a worker."""
EXAMPLE = "example: video-gc benchmark shards --clips 200 --rows 1000000"
CLIP = ClipConfig(frames=8, stride=8, crop_area=[*AREA])
CHUNK = 500_000
HEADS = ["", "workers", "clips/s", "× files"]
INDEX_HEADS = ["index", "rows", "s", "MiB more"]


@dataclass
class Way:
    """One place of the videos."""

    name: str
    workers: int
    rate: float
    """clips per second, the median of the epochs"""


@dataclass
class Index:
    """What an index takes."""

    name: str
    rows: int
    seconds: float
    mib: float
    """of a process beyond its start: the peak, or for a worker what is its own"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `shards`."""
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.description, parser.epilog = ABOUT, EXAMPLE
    many = in_range(int, 1)
    parser.add_argument("--workers", nargs="+", type=many, default=[1, 2], help="(1 2)")
    parser.add_argument("--clips", type=many, default=400, help="videos, and clips an epoch (400)")
    parser.add_argument("--epochs", type=many, default=3, help="after the first one (3)")
    parser.add_argument("--delay", type=in_range(float, 0), default=10.0, help="ms (10)")
    parser.add_argument("--rows", type=many, default=10_000_000, help="of the index (10000000)")
    add_cache(parser)
    add_folder(parser)


def run(options: argparse.Namespace) -> int:
    """Measure, print, write JSON and Markdown."""
    about = about_machine()
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        with patch.dict(os.environ, {"XDG_CACHE_HOME": str(folder / "cache")}):
            ways = list(measured(folder, options))
            indices = list(opened(folder, options.rows))
    files = {way.workers: way.rate for way in ways if way.name == ways[0].name}
    lines = [
        [way.name, str(way.workers), f"{way.rate:.1f}", f"{way.rate / files[way.workers]:.2f}"]
        for way in ways
    ]
    more = [[one.name, f"{one.rows:,}", f"{one.seconds:.2f}", f"{one.mib:.0f}"] for one in indices]
    return write_results(
        options.out / "shards", about,
        f"{options.clips} videos of 10 s, 340×256; medians of {options.epochs} epochs.",
        [*table(HEADS, lines), "", *table(INDEX_HEADS, more)],
        {"format": "shards-1", "ways": as_dicts(ways), "indices": as_dicts(indices)},
    )  # fmt: skip


def measured(folder: Path, options: argparse.Namespace) -> Iterator[Way]:
    """Each place with each number of workers."""
    made = made_videos(options.cache, (SPARSE, DENSE))
    root, out = folder / "videos", folder / "shards"
    (root / "any").mkdir(parents=True)
    listed = []
    for number in range(options.clips):
        copy = root / "any" / f"{number:06d}.mp4"
        shutil.copy(made[number % len(made)], copy)
        listed.append(Listed(copy, "any"))
    write_shards(Listing(listed, root), out, 64 << 20)
    with served(out, options.delay / 1000) as address:
        for name, where, kept_gb in (
            ("files", str(root), "0"),
            ("shards in a folder", str(out), "0"),
            (f"shards {options.delay:g} ms away", address, "0"),
            (f"shards {options.delay:g} ms away, kept", address, "20"),
        ):
            for workers in options.workers:
                with patch.dict(os.environ, {"VIDEO_GC_CACHE_GB": kept_gb}):
                    given = where, workers, options.epochs
                    way = Way(name, workers, **in_new_process(clip_rate, *given))
                say(f"{name}, {workers} workers: {way.rate:.1f} clips/s")
                yield way


def clip_rate(where: str, workers: int, epochs: int) -> dict[str, float]:
    """Of the training loader, after an epoch that starts the workers and fills what is kept."""
    torch.set_num_threads(1)
    packed = "://" in where or Path(where, INDEX).is_file()
    index = open_shards(where).train if packed else read_class_folders(Path(where))
    dataset = TrainingClips(index, CLIP, seed=0, flip=0.5)
    loader = training_loader(dataset, batch_size=8, workers=workers)
    rates = []
    for epoch in range(epochs + 1):
        sampler: Any = loader.sampler
        sampler.set_epoch(epoch)
        began = time.perf_counter()
        deque(loader, maxlen=0)
        rates.append(len(index) // 8 * 8 / (time.perf_counter() - began))
    return {"rate": statistics.median(rates[1:])}


class Delayed(http.server.BaseHTTPRequestHandler):
    """Parts of files, after a pause."""

    protocol_version = "HTTP/1.1"
    root = Path()
    delay = 0.0

    def answer(self) -> None:
        """A GET or HEAD, whole or of a range."""
        file = self.root / Path(self.path).name
        time.sleep(self.delay)
        if not file.is_file():
            self.send_error(404)
            return
        size = file.stat().st_size
        asked = re.fullmatch(r"bytes=(\d+)-(\d+)", self.headers.get("Range", ""))
        start, end = (int(asked[1]), min(int(asked[2]) + 1, size)) if asked else (0, size)
        self.send_response(206 if asked else 200)
        self.send_header("Content-Length", str(end - start))
        if asked:
            self.send_header("Content-Range", f"bytes {start}-{end - 1}/{size}")
        self.send_header("Accept-Ranges", "bytes")
        self.end_headers()
        if self.command == "GET":
            with file.open("rb") as stream:
                stream.seek(start)
                self.wfile.write(stream.read(end - start))

    do_GET = do_HEAD = answer  # noqa: N815

    def log_message(self, *_: object) -> None:
        """Print nothing."""


@contextmanager
def served(root: Path, delay: float) -> Iterator[str]:
    """The address of a folder's files."""
    handler = type("Handler", (Delayed,), {"root": root, "delay": delay})
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}"
        finally:
            server.shutdown()


def opened(folder: Path, rows: int) -> Iterator[Index]:
    """An index of so many videos: the first time, again, and in a worker."""
    root = folder / "large"
    root.mkdir()
    write_index(root / INDEX, rows)
    for name in ("opened the first time", "opened again"):
        yield Index(name, rows, **in_new_process(open_index, str(root)))
    yield Index("100,000 videos looked up in a worker", rows, **in_new_process(look_up, str(root)))


def write_index(file: Path, rows: int) -> None:
    """An index of shards that are not there."""
    with pa.parquet.ParquetWriter(file, SCHEMA, compression="zstd") as writer:
        for start in range(0, rows, CHUNK):
            numbers = range(start, min(start + CHUNK, rows))
            videos = {
                "shard": [f"{number // 1000:06d}.tar" for number in numbers],
                "offset": [number % 1000 * 300_000 for number in numbers],
                "size": [250_000] * len(numbers),
                "path": [f"train/class_{n % 700:03d}/{n:09d}.mp4" for n in numbers],
                "label": [f"class_{number % 700:03d}" for number in numbers],
                "split": ["train"] * len(numbers),
                **{name: [None] * len(numbers) for name in ("group", "start", "end")},
            }
            writer.write_table(pa.table(videos, SCHEMA))


def open_index(root: str) -> dict[str, float]:
    """Seconds, and the peak of memory beyond the start."""
    before, began = status_bytes("VmRSS"), time.perf_counter()
    open_shards(root)
    return {"seconds": time.perf_counter() - began, "mib": (peak_bytes(CPU) - before) / MIB}


def look_up(root: str) -> dict[str, float]:
    """What a forked worker needs for itself; pages of the index's file are shared."""
    index = open_shards(root).train
    rows = np.random.default_rng(0).integers(len(index), size=100_000)
    read, write = os.pipe()
    if (child := os.fork()) == 0:
        before, began = status_bytes("RssAnon"), time.perf_counter()
        for row in rows.tolist():
            index.path(row)
            index.target(row)
        taken = time.perf_counter() - began, (status_bytes("RssAnon") - before) / MIB
        os.write(write, f"{taken[0]} {taken[1]}".encode())
        os._exit(0)
    os.waitpid(child, 0)
    seconds, mib = map(float, os.read(read, 100).split())
    return {"seconds": seconds, "mib": mib}
