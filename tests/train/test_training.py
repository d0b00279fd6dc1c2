"""Training on a dozen small videos: reproducible, resumable, never mixed, never stopped by a file."""

import csv
import shutil
from importlib.metadata import version
from pathlib import Path

import pytest
import torch
import yaml

from tests.conftest import SMALL
from video_gc.config import compose_train
from video_gc.data.index import DataError
from video_gc.evaluate.evaluate import TestOptions, evaluate
from video_gc.outputs import read_csv
from video_gc.train import loop
from video_gc.train.loop import train, train_epoch
from video_gc.train.resume.run_directory import read_metrics
from video_gc.train.training import Training


def options(clips_folder: Path, runs: Path, *more: str) -> list[str]:
    return [*SMALL, f"data.root={clips_folder}", f"runs={runs}", *more]


def test_a_run_directory_holds_what_it_promises(run: Path) -> None:
    assert yaml.safe_load((run / "config.yaml").read_text())["clip"]["frames"] == 4
    assert yaml.safe_load((run / "versions.yaml").read_text())["torch"] == version("torch")
    assert (run / "checkpoints" / "last.ckpt").is_file()
    assert list((run / "logs" / "tensorboard").glob("events.*"))
    rows = list(csv.DictReader((run / "logs/csv/version_0/metrics.csv").read_text().splitlines()))
    assert {row["epoch"] for row in rows if row["val/top1"]} == {"0", "1"}
    assert all(float(row["train/loss"]) > 0 for row in rows if row["train/loss"])
    assert not (run / "skipped.csv").exists()


@pytest.mark.slow  # a killed run that ends with the bits of another (test_killed) is quick
def test_training_is_reproducible(run: Path, clips_folder: Path, tmp_path: Path) -> None:
    again = train(compose_train(options(clips_folder, tmp_path, "name=small")))
    one, two = (
        torch.load(d / "checkpoints/last.ckpt", weights_only=True)["state_dict"]
        for d in (run, again)
    )
    assert all(torch.equal(one[name], two[name]) for name in one)
    earlier = run / "checkpoints/step-00000002.ckpt"
    first = torch.load(earlier, weights_only=True)["state_dict"]
    assert any(not torch.equal(one[name], first[name]) for name in one)


@pytest.mark.slow
def test_training_learns(clips_folder: Path, tmp_path: Path) -> None:
    longer = train(compose_train(options(clips_folder, tmp_path, "name=long", "epochs=12")))
    losses = [value for _, value in read_metrics(longer / "logs")["train/loss"]]
    assert losses[-1] < 0.3 * losses[0]
    result = evaluate(
        longer / "checkpoints/last.ckpt", TestOptions(data=clips_folder, workers=0)
    ).result
    assert result.video_level.top1 == 1  # bright and dark


@pytest.mark.slow
def test_mixed_precision_smoothing_and_clipping_reach_the_trainer(
    run: Path, clips_folder: Path, tmp_path: Path
) -> None:
    seen = {}
    for name, option in (
        ("bf16", "precision=bf16"), ("smooth", "label_smoothing=0.4"), ("clip", "optim.clip_grad=0.001"),
    ):  # fmt: skip
        given = options(clips_folder, tmp_path, f"name={name}", option)
        directory = train(compose_train(given))
        seen[name] = read_metrics(directory / "logs")["train/loss"]
    plain = read_metrics(run / "logs")["train/loss"]
    for name, losses in seen.items():
        assert losses != plain, name
        assert all(abs(a[1] - b[1]) < 0.3 for a, b in zip(losses, plain, strict=True)), name


@pytest.mark.slow
def test_resuming_after_an_epoch_equals_going_through(
    run: Path, clips_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = options(clips_folder, tmp_path, "name=small")

    def stop(training: Training) -> None:
        if training.state.epoch == 1:
            raise RuntimeError("the machine went away")
        train_epoch(training)

    with monkeypatch.context() as patch, pytest.raises(RuntimeError, match="went away"):
        patch.setattr(loop, "train_epoch", stop)
        train(compose_train(given))
    late = clips_folder / "dark" / "late.mp4"  # a new file must not change what trains
    shutil.copy(clips_folder / "dark" / "0.mp4", late)
    try:
        directory = train(compose_train(given))
    finally:
        late.unlink()
    one, two = (
        torch.load(d / "checkpoints/last.ckpt", weights_only=True) for d in (run, directory)
    )
    assert one["epoch"] == two["epoch"] == 1
    assert all(torch.equal(one["state_dict"][k], two["state_dict"][k]) for k in one["state_dict"])
    assert train(compose_train(given)) == directory  # finished: nothing more to do


@pytest.mark.slow
def test_training_goes_on_without_damaged_files(
    clips_folder: Path, damaged: dict[str, Path], tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    lines = [f"{path} {path.parent.name}" for path in sorted(clips_folder.rglob("*.mp4"))]
    lines[3] = f"{damaged['zero-byte']} bright"
    (tmp_path / "train.txt").write_text("\n".join(lines))
    (tmp_path / "val.txt").write_text("\n".join([*lines[:2], f"{damaged['text']} dark"]))
    lists = ["data=list", f"data.train={tmp_path}/train.txt", f"data.val={tmp_path}/val.txt"]
    run = train(
        compose_train([*SMALL[1:], *lists, f"runs={tmp_path}", "name=hurt", "clip.stride=8"])
    )
    rows = {
        Path(r["path"]).name: r
        for r in csv.DictReader((run / "skipped.csv").read_text().splitlines())
    }
    assert rows["zero-byte.mp4"]["kind"] == "damaged"
    assert rows["zero-byte.mp4"]["times"] == "2"  # once an epoch
    assert "is empty" in rows["zero-byte.mp4"]["reason"]
    assert "Invalid data" in rows["text.mp4"]["reason"]
    _, notes = read_csv(run / "notes.csv")
    assert {row["kind"] for row in notes} == {"short"}
    assert "0.mp4" in {Path(row["path"]).name for row in notes}
    assert {row["kind"] for row in rows.values()} == {"damaged"}  # short files were not skipped
    printed = capfd.readouterr().err
    assert "zero-byte.mp4: the file is empty" in " ".join(printed.split())
    assert printed.count("the last frame is repeated") == 1
    assert "Damaged files: 2" in printed


def test_nothing_that_can_be_read_is_an_error(
    clips_folder: Path, damaged: dict[str, Path], checkpoint: Path, tmp_path: Path
) -> None:
    labelled = zip(damaged.values(), ["dark", "bright"] * 2, strict=True)
    (tmp_path / "bad.txt").write_text("".join(f"{path} {label}\n" for path, label in labelled))
    with pytest.raises(DataError, match="none of 4 videos could be read"):
        evaluate(checkpoint, TestOptions(data=tmp_path / "bad.txt", out=tmp_path))
    sound = "".join(f"{p} {p.parent.name}\n" for p in sorted(clips_folder.rglob("*.mp4")))
    (tmp_path / "good.txt").write_text(sound)
    (tmp_path / "names.txt").write_text("bright\ndark\n")
    for number, (train_on, choose_on, message) in enumerate(
        [("bad", "good", "videos could be read; the last"), ("good", "bad", "no validation video")]
    ):
        lists = [f"data.train={tmp_path}/{train_on}.txt", f"data.val={tmp_path}/{choose_on}.txt"]
        given = ["data=list", *SMALL[1:], *lists, f"data.names={tmp_path}/names.txt"]
        with pytest.raises(DataError, match=message):
            train(compose_train([*given, f"runs={tmp_path}", f"name=r{number}", "data.workers=2"]))


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_training_and_testing_on_a_gpu(clips_folder: Path, tmp_path: Path) -> None:
    given = options(clips_folder, tmp_path, "name=gpu", "accelerator=gpu", "precision=bf16")
    directory = train(compose_train(given))
    result = evaluate(directory / "checkpoints/best.ckpt", TestOptions(data=clips_folder)).result
    assert result.video_level.count == 12
