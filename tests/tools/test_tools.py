"""The tools as a beginner meets them: exit status, one clear line, no traceback."""

import json
import runpy
import shutil
import sys
from pathlib import Path

import pytest
import torch

from tests.conftest import SMALL, slow
from tests.tools.conftest import TOOLS


@pytest.mark.parametrize("name", ["test", "predict", "features", "probe", "report"])
def test_help_teaches(tool, name: str) -> None:  # type: ignore[no-untyped-def]
    status, out, _ = tool(name, "--help")
    assert status == 0
    assert "usage:" in out
    assert len(out.splitlines()) > 6


def test_training_help_shows_commands_groups_and_options(tool) -> None:  # type: ignore[no-untyped-def]
    _, out, _ = tool("train", "--help")
    assert "video-gc train data=folder data.root=DIR" in out
    assert "placement: all, five, none, one, ten" in out
    assert "label_smoothing" in out


@pytest.mark.parametrize(
    ("arguments", "status", "message"),
    [
        (["optim.lrr=3"], 2, "error: unknown option 'optim.lrr'; did you mean 'optim.lr'?"),
        (["--epochs", "3"], 2, "--epochs: options have no dashes; write epochs=3"),
        slow(["placement=fiv"], 2, "placement=fiv: no such placement; did you mean 'five'?"),
        (["data=folder", "data.root=nowhere"], 2, "nowhere: no such folder"),
        slow(["data=folder", "data.root={empty}"], 1, "no videos in this folder"),
        (["data=list", "data.train={list}"], 1, "bad.txt, line 2: expected `path label`"),
        slow(["data=list", "data.train=nowhere.txt"], 2, "nowhere.txt: no such list"),
        slow(["model.context.kind=gx"], 2, "unknown block 'gx'"),
        slow(["model.context.after=[res9.1]"], 2, "no residual block is called 'res9.1'"),
        slow(["model.context.place=after"], 2, "unknown place 'after'"),
        slow(
            ["clip.frames=1", "model=i3d_small", "model.width=0.0625"],
            2,
            "clip.frames (1) and clip.crop",
        ),
        slow(["model.weights=nowhere.pt"], 2, "neither a file nor one of imagenet"),
        slow(["model.weights={list}"], 2, "bad.txt: holds no weights"),
        (["model.weights={checkpoint}", "model=slow_small"], 2, "belong to another architecture"),
    ],
)
def test_training_errors(
    tool, tmp_path: Path, clips_folder: Path, checkpoint: Path, arguments, status, message
) -> None:  # type: ignore[no-untyped-def]
    (tmp_path / "empty").mkdir()
    (tmp_path / "bad.txt").write_text("a.mp4 run\nb.mp4\n")
    places = {"empty": tmp_path / "empty", "list": tmp_path / "bad.txt", "checkpoint": checkpoint}
    if not any(argument.startswith("data") for argument in arguments):
        arguments = ["data=folder", f"data.root={clips_folder}", *arguments]
    found, _, err = tool("train", f"runs={tmp_path}", *(a.format(**places) for a in arguments))
    assert message in err
    assert found == status
    assert err.count("error:") == 1


def test_train_test_predict_report(
    tool, clips_folder: Path, damaged, tmp_path: Path, video: Path
) -> None:  # type: ignore[no-untyped-def]
    status, _, err = tool(
        "train", *SMALL, f"data.root={clips_folder}", f"runs={tmp_path}", "name=go"
    )
    assert status == 0
    assert f"video-gc test {tmp_path}/go/checkpoints/best.ckpt" in err
    assert "2 videos to test, 2 videos for validation, 8 videos for training" in err
    best = tmp_path / "go" / "checkpoints" / "best.ckpt"
    shutil.copy(tmp_path / "go/splits/val.arrow", tmp_path / "go/splits/test.arrow")
    status, _, err = tool("test", tmp_path / "go", "--workers", 0)  # a run is its best checkpoint
    assert status == 0
    assert "video level" in err
    assert "on the validation videos (the run has no other test videos): 2 videos" in err
    chosen = "validation videos, on which the checkpoint was chosen: an optimistic score; with one"
    assert f"note: {chosen}" in err
    assert "Chance: 50.00%, for always 'bright', the most frequent class" in err
    assert (tmp_path / "go/test/predictions.csv").is_file()
    status, out, err = tool("predict", best, video, damaged["text"])
    assert status == 1
    assert "whole video" in out
    assert "text.mp4: cannot be read as a video" in err
    out = tmp_path / "go/predict"
    assert f"Timelines are in {out}, the table is {out / 'predictions.csv'}; files that f" in err
    _, _, err = tool("predict", tmp_path / "go", damaged["text"])
    assert "No timeline was drawn; the table is " in err
    status, out, _ = tool("predict", best, video, "--json", "--top", 1, "--precision", "bf16")
    assert status == 0
    [found] = json.loads(out)
    assert (found["video"], found["precision"], found["backend"]) == (str(video), "bf16", "eager")
    status, _, err = tool("report", tmp_path / "go")
    assert status == 0
    assert "report.html" in err
    page = " ".join((tmp_path / "go/report.html").read_text().split())
    assert f"top-1, video level of the {chosen}" in page
    assert "chance (always the most frequent class) is 50.0 %" in page
    assert "test videos" not in page.partition("<footer>")[0]


@pytest.mark.parametrize(
    ("name", "arguments", "status", "message"),
    [
        ("test", ["nowhere.ckpt"], 2, "nowhere.ckpt: no such checkpoint"),
        slow("test", ["{checkpoint}", "--data", "nowhere"], 2, "nowhere: no such list or folder"),
        slow("test", ["{checkpoint}", "--crops", "2"], 2, "invalid choice"),
        slow(
            "test", ["{checkpoint}", "--workers", "-1"], 2, "--workers: must be at least 0, not -1"
        ),
        slow(
            "test",
            [],
            2,
            "error: the following arguments are required: checkpoint; see video-gc test",
        ),
        slow(
            "predict",
            ["{checkpoint}"],
            2,
            "arguments are required: VIDEO; see video-gc predict --help",
        ),
        (
            "predict",
            ["{checkpoint}", "{video}", "--top", "x"],
            2,
            "--top: must be at least 1, not x",
        ),
        slow("report", [], 2, "arguments are required: DIR; see video-gc report --help"),
        slow("predict", ["nowhere.ckpt", "{video}"], 2, "nowhere.ckpt: no such checkpoint"),
        slow("predict", ["{checkpoint}", "nowhere.mp4"], 2, "nowhere.mp4: no such file or folder"),
        ("predict", ["{video}", "{video}"], 2, "a run has its own in RUN/checkpoints/best.ckpt"),
        ("predict", ["{checkpoint}", "{damaged}"], 1, "there is no video in the file"),
        slow("predict", ["{checkpoint}", "{video}", "--device", "foo"], 2, "unknown device 'foo'"),
        slow("predict", ["{checkpoint}", "{video}", "--top", "0"], 2, "must be at least 1"),
        ("predict", ["{misfit}", "{video}"], 2, "have another architecture or class count"),
        slow("test", ["{checkpoint}", "--clips", "0"], 2, "test.clips (0) must be at least 1"),
        slow("test", ["{checkpoint}", "--data", "{list}"], 1, "none of 1 videos could be read"),
        ("test", ["{checkpoint}", "--data", "{video}"], 1, "not a text file"),
        ("report", ["nowhere"], 2, "nowhere: no such run directory"),
    ],
)
def test_other_errors(
    tool, checkpoint, video, damaged, tmp_path, monkeypatch, name, arguments, status, message
) -> None:  # type: ignore[no-untyped-def]
    monkeypatch.chdir(tmp_path)
    places = {"checkpoint": checkpoint, "video": video, "damaged": damaged["audio-only"]}
    content = torch.load(checkpoint, weights_only=True)
    content["video_gc"]["model"]["num_classes"] = 3
    content["video_gc"]["names"] = ["dark", "light", "grey"]
    torch.save(content, tmp_path / "misfit.ckpt")
    (tmp_path / "list.txt").write_text(f"{damaged['text']} dark\n")
    places |= {"misfit": tmp_path / "misfit.ckpt", "list": tmp_path / "list.txt"}
    found, _, err = tool(name, *(a.format(**places) for a in arguments))
    assert message in err
    assert err.count("error:") == 1
    assert "usage:" not in err
    assert found == status


@pytest.mark.parametrize("name", [slow("train"), "test"])
def test_a_decoder_that_is_not_installed_is_one_line(
    tool, name: str, run: Path, clips_folder: Path, tmp_path: Path, monkeypatch
) -> None:  # type: ignore[no-untyped-def]
    from video_gc.decode import torchcodec

    def missing() -> None:
        raise ImportError("torchcodec is not installed; pip install it")

    monkeypatch.setattr(torchcodec, "check_installed", missing)
    monkeypatch.chdir(tmp_path)
    checkpoint = torch.load(run / "checkpoints" / "best.ckpt", weights_only=True)
    checkpoint["video_gc"]["config"]["data"] |= {"decoder": "torchcodec", "workers": 2}
    torch.save(checkpoint, tmp_path / "best.ckpt")
    arguments = {
        "train": [*SMALL, f"data.root={clips_folder}", "runs=.", "data.decoder=torchcodec"],
        "test": [tmp_path / "best.ckpt", "--data", clips_folder],
    }
    status, _, err = tool(name, *arguments[name])
    assert status == 2
    assert err.rstrip().endswith("error: torchcodec is not installed; pip install it")


@pytest.mark.slow
def test_a_sweep_runs_every_job(tool, clips_folder: Path, tmp_path: Path, monkeypatch) -> None:  # type: ignore[no-untyped-def]
    monkeypatch.chdir(tmp_path)
    given = [f"data.root={clips_folder}", f"runs={tmp_path}", "epochs=1", "name=a,b"]
    status, _, _ = tool("train", "--multirun", *[o for o in SMALL if "epochs=2" not in o], *given)
    assert status == 0
    assert {path.name for path in tmp_path.iterdir() if path.is_dir()} >= {"a", "b"}
    assert (tmp_path / "b" / "checkpoints" / "last.ckpt").is_file()


def test_a_traceback_when_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VIDEO_GC_TRACEBACK", "1")
    monkeypatch.setattr(sys, "argv", ["report.py", "nowhere"])
    with pytest.raises(FileNotFoundError):
        runpy.run_path(str(TOOLS / "report.py"), run_name="__main__")
