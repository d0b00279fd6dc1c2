"""What Windows lacks is not needed by one process: as_on_windows.py takes it away."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from tests.conftest import SMALL

pytestmark = pytest.mark.slow
CODE = Path(__file__).with_name("as_on_windows.py")


def as_on_windows(*arguments: object, folder: Path, status: int = 0) -> str:
    """What the command prints. Fails unless it ends with the status."""
    done = subprocess.run(
        [sys.executable, "-X", "warn_default_encoding", CODE, *map(str, arguments)],
        cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        env=os.environ | {"COLUMNS": "200"}, timeout=900, check=False,
    )  # fmt: skip
    assert done.returncode == status, done.stdout
    return done.stdout


def test_every_module_is_imported(tmp_path: Path) -> None:
    assert " modules" in as_on_windows("all", folder=tmp_path)


def test_one_process_trains_resumes_tests_and_predicts(tmp_path: Path, clips_folder: Path) -> None:
    train = ["video_gc", "train", *SMALL, f"data.root={clips_folder}", "name=it"]
    run = tmp_path / "runs" / "it"
    as_on_windows(*train, folder=tmp_path)
    (run / "finished.yaml").unlink()
    _, newest = sorted((run / "checkpoints").glob("step-*.ckpt"))
    weights = newest.with_name("best.safetensors")
    whole = load_file(weights)
    newest.unlink()

    said = as_on_windows(*train, folder=tmp_path)
    assert "epoch 2/2" in said
    assert "epoch 1/2" not in said
    assert all(map(torch.equal, whole.values(), map(load_file(weights).get, whole)))
    assert not (run / "checkpoints" / "last.ckpt").is_symlink()
    assert (run / "checkpoints" / "last.ckpt").read_bytes() == newest.read_bytes()

    assert "2 videos" in as_on_windows("video_gc", "test", "runs/it", folder=tmp_path)
    given = ["predict", "runs/it", clips_folder / "dark", "--out", "predicted"]
    assert "Timelines are in predicted" in as_on_windows("video_gc", *given, folder=tmp_path)


def test_several_processes_are_refused_in_one_line(tmp_path: Path, clips_folder: Path) -> None:
    train = ["train", *SMALL, f"data.root={clips_folder}", "data.workers=1", "name=it"]
    said = as_on_windows("video_gc", *train, folder=tmp_path, status=1)
    assert "one process on Windows" in said
    assert "give data.workers=0" in said
    assert "Traceback" not in said
    said = as_on_windows("video_gc", "prepare", "check", clips_folder, folder=tmp_path, status=1)
    assert "one process on Windows" in said
    assert "Traceback" not in said
