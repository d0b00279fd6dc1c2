"""The same numbers and files from any number of processes, in one go or after a SIGKILL."""

import csv
import json
import multiprocessing
import os
import signal
import socket
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from tests.conftest import slow
from tests.tools.conftest import TOOLS
from video_gc.data import reading
from video_gc.decode.open import open_video
from video_gc.deploy.device import pick_device
from video_gc.evaluate import checkpoint_networks as networks
from video_gc.evaluate import evaluate as evaluation
from video_gc.evaluate.evaluate import TestOptions, evaluate
from video_gc.evaluate.journal import FOLDER, Journal
from video_gc.train.distributed.world import World

FILES = ("predictions.csv", "scores.npy", "accuracy.json", "classes.csv", "pairs.csv",
         "confusion.csv", "skipped.csv")  # fmt: skip


@pytest.fixture(scope="module")
def listed(
    tmp_path_factory: pytest.TempPathFactory, clips_folder: Path, damaged: dict[str, Path]
) -> Path:
    """A list of seven videos, two of which are damaged."""
    paths = sorted(clips_folder.rglob("*.mp4"))[3:8]
    lines = [f"{path} {path.parent.name}\n" for path in paths]
    for place, name in ((1, "text"), (4, "truncated")):
        lines.insert(place, f"{damaged[name]} dark\n")
    file = tmp_path_factory.mktemp("listed") / "list.txt"
    file.write_text("".join(lines))
    return file


@pytest.fixture(scope="module")
def alone(
    tmp_path_factory: pytest.TempPathFactory, checkpoint: Path, listed: Path
) -> dict[str, bytes]:
    """The files of a test on one process, without a break."""
    out = tmp_path_factory.mktemp("alone")
    done = evaluate(checkpoint, TestOptions(data=listed, out=out, workers=0))
    assert (done.coverage["scored"], done.coverage["damaged_when_read"]) == (5, 2)
    return contents(out)


def contents(out: Path) -> dict[str, bytes]:
    assert not (out / FOLDER).exists()
    return {name: (out / name).read_bytes() for name in FILES}


def start(size: int, checkpoint: Path, listed: Path, out: Path, *, workers: int = 0,
          die_after: int | None = None) -> list[int | None]:  # fmt: skip
    """Exit status of each of so many processes; they kill themselves in the middle of writing the
    video after `die_after`."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]

    def work(rank: int) -> None:
        os.environ |= {
            "RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": str(size),
            "LOCAL_WORLD_SIZE": str(size), "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port),
        }  # fmt: skip
        if die_after is not None:
            kill_oneself(die_after, out / FOLDER / f"{rank}.jsonl")
        evaluate(checkpoint, TestOptions(data=listed, out=out, workers=workers))

    fork = multiprocessing.get_context("fork")
    started = [fork.Process(target=work, args=(rank,)) for rank in range(size)]
    for process in started:
        process.start()
    for process in started:
        process.join()
    return [process.exitcode for process in started]


def kill_oneself(after: int, file: Path) -> None:
    add, count = Journal.add, iter(range(1000))

    def dying(journal: Journal, video: object) -> None:
        if next(count) == after:
            with file.open("a") as stream:
                stream.write('[123, "{\\"row\\": 3, \\"vie')
            os.kill(os.getpid(), signal.SIGKILL)
        add(journal, video)  # type: ignore[arg-type]

    Journal.add = dying  # type: ignore[method-assign]


@pytest.mark.parametrize(
    ("size", "workers"),
    [
        slow(1, 2),
        (2, 1),
        slow(3, 0),
    ],
)
def test_any_number_of_processes_writes_the_same_bytes(
    checkpoint: Path, listed: Path, alone: dict[str, bytes], tmp_path: Path, size: int, workers: int
) -> None:
    assert start(size, checkpoint, listed, tmp_path, workers=workers) == [0] * size
    assert contents(tmp_path) == alone


@pytest.mark.slow  # test_journal and the test of Ctrl-C below are quick
@pytest.mark.parametrize("size", [1, 2])
def test_a_killed_test_goes_on_without_repeating_a_video(
    checkpoint: Path, listed: Path, alone: dict[str, bytes], tmp_path: Path, size: int,
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    assert start(size, checkpoint, listed, tmp_path, die_after=2) == [-signal.SIGKILL] * size
    assert not (tmp_path / "predictions.csv").exists()
    opened: Counter = Counter()

    def counting(path: Path, *options: object, **limits: object) -> object:
        opened[path] += 1
        return open_video(path, *options, **limits)  # type: ignore[arg-type]

    monkeypatch.setattr(reading, "open_video", counting)
    monkeypatch.setattr(evaluation, "check_videos", lambda _: None)  # it opens the first one
    done = evaluate(checkpoint, TestOptions(data=listed, out=tmp_path, workers=0))
    assert len(opened) == sum(opened.values()) == 7 - 2 * size
    assert f"{2 * size} of 7 videos were scored before" in capfd.readouterr().err
    assert contents(tmp_path) == alone
    assert done.result.not_scored == 2


@pytest.mark.slow  # test_journal has what does not count
def test_another_test_starts_over(
    checkpoint: Path, listed: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    start(1, checkpoint, listed, tmp_path, die_after=4)
    done = evaluate(
        checkpoint, TestOptions(data=listed, out=tmp_path, workers=0, clips=1, precision="fp32")
    )
    assert done.result.views.unique().tolist() == [0, 3]
    said = capfd.readouterr().err
    assert "a different test began here (other views, micro-batches" in said
    assert "were scored before" not in said


def test_the_same_command_goes_on_after_ctrl_c(
    checkpoint: Path, listed: Path, alone: dict[str, bytes], tmp_path: Path, tool,  # type: ignore[no-untyped-def]
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    arguments = ("test", checkpoint, "--data", listed, "--out", tmp_path, "--workers", 0)
    with monkeypatch.context() as patched:
        add = Journal.add

        def interrupted(journal: Journal, video: object) -> None:
            add(journal, video)  # type: ignore[arg-type]
            if video.row == 2:  # type: ignore[attr-defined]
                raise KeyboardInterrupt

        patched.setattr(Journal, "add", interrupted)
        status, _, err = tool(*arguments)
    assert status == 130
    assert err.endswith("Interrupted; 2 of 7 videos are scored; rerun the command to resume")
    status, _, err = tool(*arguments)
    assert status == 0
    assert "3 of 7 videos were scored before" in err
    skipped = tmp_path / "skipped.csv"
    assert f"Scored: 5 of 7 listed videos damaged when read: 2, listed in {skipped}" in err
    assert contents(tmp_path) == alone


def test_what_the_first_process_raises_is_raised_on_all(
    checkpoint: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert start(2, checkpoint, tmp_path / "none.txt", tmp_path) == [1, 1]
    printed = capfd.readouterr().err
    assert "none.txt: no such list or folder (--data)" in printed
    assert "process 1 ends: " in printed


def test_each_process_takes_its_own_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(networks, "pick_device", lambda name: pick_device("cpu").__class__(name))
    monkeypatch.setattr("torch.cuda.device_count", lambda: 2)
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    world = World(rank=3, size=4, local_rank=1, local_size=2)
    assert str(networks.own_device(Path("a.ckpt"), "cuda", world)) == "cuda:1"
    assert str(networks.own_device(Path("a.ckpt"), "cuda:0", world)) == "cuda:0"
    assert str(networks.own_device(Path("a.ckpt"), "cpu", world)) == "cpu"
    with pytest.raises(ValueError, match="4 processes on this machine, but 2 GPUs"):
        networks.own_device(Path("a.ckpt"), "cuda", World(3, 4, 3, 4))


@pytest.mark.slow
def test_torchrun(checkpoint: Path, listed: Path, alone: dict[str, bytes], tmp_path: Path) -> None:
    command = [
        sys.executable, "-m", "torch.distributed.run", "--nproc-per-node=2", "--standalone",
        str(TOOLS / "test.py"), str(checkpoint), "--data", str(listed), "--out", str(tmp_path),
    ]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert "Expected calibration error" in done.stderr
    assert contents(tmp_path) == alone
    summary = json.loads((tmp_path / "accuracy.json").read_text())
    assert summary["coverage"]["scored"] == 5
    assert len(list(csv.DictReader((tmp_path / "predictions.csv").read_text().splitlines()))) == 5
