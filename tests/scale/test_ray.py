"""Ray Data on a real cluster of this machine, of which everything dies once."""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet
import pytest

from tests.conftest import counted_frames
from tests.tools.conftest import TOOLS
from video_gc.decode.write import write_video

pytest.importorskip("ray", reason="an extra: pip install 'video_gc[ray]'")
import psutil

COUNT, DAMAGED = 2000, 60
HERE = os.environ | {"PYTHONPATH": str(TOOLS.parent), "OMP_NUM_THREADS": "1"}
HERE |= {"RAY_AUTH_MODE": "disabled"}


class Node:
    """A node of a cluster: `ray start` and the processes that it leaves."""

    def __init__(self, folder: Path, *arguments: str) -> None:
        command = [sys.executable, "-m", "ray.scripts.scripts", "start", "--block", *arguments]
        command += ["--disable-usage-stats", "--object-store-memory=100000000"]
        for _ in range(3):  # on a busy machine it may give up
            with (folder / "ray.log").open("wb+") as log:
                self.process = subprocess.Popen(command, env=HERE, stdout=log, stderr=log)
                wait(lambda: self.process.poll() is not None or self.started(folder / "ray.log"))
            if self.process.poll() is None:
                return
        raise AssertionError((folder / "ray.log").read_text()[-2000:])

    def started(self, log: Path) -> bool:
        return "Ray runtime started" in log.read_text()

    def all(self) -> list[psutil.Process]:
        own = psutil.Process(self.process.pid)
        return [own, *own.children(recursive=True)]

    def kill(self) -> None:
        if self.process.poll() is None:
            for process in self.all():
                if process.is_running():
                    process.kill()
            self.process.wait()


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[tuple[str, list[Node]]]:
    """Its address, and the head and two more nodes."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    address = f"127.0.0.1:{port}"
    head = ("--head", f"--port={port}", "--num-cpus=3", "--include-dashboard=false")
    nodes = [Node(tmp_path, *head, "--temp-dir", f"/tmp/video_gc-{port}")]
    try:
        for _ in range(2):
            nodes.append(Node(tmp_path, f"--address={address}", "--num-cpus=1"))
        yield address, nodes
    finally:
        for node in reversed(nodes):
            node.kill()
        shutil.rmtree(f"/tmp/video_gc-{port}", ignore_errors=True)


def command_of(process: psutil.Process) -> str:
    try:
        return " ".join(process.cmdline())
    except psutil.Error:  # it has ended
        return ""


def wait(true: Callable[[], object], seconds: float = 300) -> None:
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end
        time.sleep(0.1)


@pytest.mark.slow
def test_every_video_once_whatever_dies(
    cluster: tuple[str, list[Node]], bag_run: Path, damaged: dict[str, Path], tmp_path: Path
) -> None:
    address, nodes = cluster
    sound = [write_video(tmp_path / f"{n}.mp4", counted_frames(8, seed=n)) for n in range(97)]
    bad, step = list(damaged.values()), COUNT // DAMAGED
    listed = [
        bad[n % len(bad)] if n % step == 7 and n // step < DAMAGED else sound[n % len(sound)]
        for n in range(COUNT)
    ]
    (tmp_path / "list.txt").write_text("\n".join(map(str, listed)))
    out = tmp_path / "rays"
    command = [sys.executable, TOOLS / "score.py", bag_run, tmp_path / "list.txt"]
    command += ["--device", "cpu", "--decoders", "1", "--part-size", "20"]
    ray = [*command, "--out", out, "--engine", "ray", "--address", address, "--actors", "2"]

    def start() -> "subprocess.Popen[bytes]":
        with (tmp_path / "driver.log").open("ab") as log:
            return subprocess.Popen(ray, env=HERE, stdout=log, stderr=log)

    def written(count: int) -> Callable[[], object]:
        return lambda: driver.poll() is not None or len(list(out.glob("*.parquet"))) >= count

    driver = start()
    wait(written(5))
    next(p for node in nodes for p in node.all() if "ScoringActor" in command_of(p)).kill()
    wait(written(15))
    assert driver.poll() is None
    driver.send_signal(signal.SIGKILL)
    driver.wait()
    driver = start()
    wait(written(30))
    assert driver.poll() is None
    nodes[2].kill()
    assert driver.wait(600) == 0, (tmp_path / "driver.log").read_text()[-3000:]

    subprocess.run([*command, "--out", tmp_path / "one"], env=HERE, check=True, capture_output=True)
    tables = []
    for folder in (out, tmp_path / "one"):
        merge = [sys.executable, TOOLS / "score.py", "--merge", folder]
        assert subprocess.run(merge, capture_output=True).returncode == 0
        summary = json.loads((folder / "summary.json").read_text())
        assert summary["status"] == {"ok": COUNT - DAMAGED, "error": DAMAGED}
        files = sorted(folder.glob("*.parquet"))
        table = pa.concat_tables([pa.parquet.read_table(file) for file in files]).sort_by("row")
        tables.append(table.drop(["machine", "process", "finished"]).combine_chunks())
    assert tables[0]["path"].to_pylist() == list(map(str, listed))
    assert tables[0].equals(tables[1])
