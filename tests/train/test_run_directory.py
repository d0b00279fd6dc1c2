"""A run directory is new, resumed or started again; runs are never mixed, and nothing is lost."""

import shutil
from pathlib import Path

import pytest
import torch
import yaml

from tests.conftest import SMALL
from tests.train.test_training import options
from video_gc.config import compose_train
from video_gc.train import loop
from video_gc.train.loop import train
from video_gc.train.options import TrainConfig
from video_gc.train.resume.run_directory import begin_run
from video_gc.train.resume.state import LoopState, set_generators


def test_a_run_directory_is_never_mixed(run: Path, clips_folder: Path) -> None:
    given = options(clips_folder, run.parent, "name=small")
    with pytest.raises(FileExistsError, match="this run exists; leave out resume=false .* name="):
        train(compose_train([*given, "resume=false"]))
    with pytest.raises(ValueError, match=r"other options \(optim.lr: 0.002 → 0.5; seed: 0 → 5\)"):
        train(compose_train([*given, "seed=5", "optim.lr=0.5"]))
    longer = yaml.safe_load((run / "config.yaml").read_text())["epochs"] + 5
    way = f"name=OTHER model.weights={run}/checkpoints/last.ckpt epochs=5"
    with pytest.raises(ValueError, match=f"cannot go on exactly.*{way}"):
        train(compose_train([*given, f"epochs={longer}"]))
    (run.parent / "taken").mkdir()
    (run.parent / "taken" / "thesis.txt").write_text("x")
    with pytest.raises(FileExistsError, match="holds something other than a run"):
        train(compose_train([*given, "name=taken"]))


def test_options_that_are_newer_than_a_run_do_not_stop_it(run: Path, tmp_path: Path) -> None:
    copy = tmp_path / "small"
    shutil.copytree(run, copy)
    config = yaml.safe_load((copy / "config.yaml").read_text())
    del config["label_smoothing"], config["data"]["flip"]
    config["runs"] = str(tmp_path)
    (copy / "config.yaml").write_text(yaml.safe_dump(config))
    given = [*SMALL, f"data.root={config['data']['root']}", f"runs={tmp_path}", "name=small"]
    assert train(compose_train(given)) == copy


def interrupt(*_: object) -> None:
    raise KeyboardInterrupt


def test_ctrl_c_ends_cleanly_and_a_corrected_command_starts_over(
    clips_folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    given = options(clips_folder, tmp_path, "name=stopped", "epochs=1", "steps_per_epoch=1")
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(loop, "optimiser_step", interrupt)
        train(compose_train(given))
    directory = tmp_path / "stopped"
    old = list((directory / "logs").rglob("events.*"))
    assert old
    (directory / "skipped.csv").write_text("kind,path,times,reason\ndamaged,x.mp4,1,x\n")
    (directory / "splits" / "missing.txt").write_text("x.mp4\n")
    assert "starting from the beginning" not in capfd.readouterr().err
    assert train(compose_train([*given, "seed=4"])) == directory
    said = capfd.readouterr().err
    assert "an earlier attempt left no checkpoint; starting from the beginning" in " ".join(
        said.split()
    )
    assert yaml.safe_load((directory / "config.yaml").read_text())["seed"] == 4
    assert (directory / "checkpoints" / "last.ckpt").is_file()
    assert not any(file.exists() for file in old)
    assert [path.name for path in (directory / "logs" / "csv").iterdir()] == ["version_0"]
    assert not (directory / "skipped.csv").exists()
    assert not (directory / "splits" / "missing.txt").exists()


@pytest.mark.slow
def test_a_resumed_run_without_checkpoint_starts_over_with_other_options(
    clips_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = options(clips_folder, tmp_path, "name=stopped", "epochs=1")
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(loop, "optimiser_step", interrupt)
        train(compose_train(given))
    directory = train(compose_train([*given, "optim.lr=0.01"]))
    assert (directory / "checkpoints" / "last.ckpt").is_file()


def test_a_training_on_the_cpu_does_not_touch_a_gpu(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("get_rng_state", "set_rng_state", "get_device_name"):
        monkeypatch.setattr(torch.cuda, name, lambda *_: pytest.fail("CUDA is initialised"))
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    states = LoopState().saved()["generators"]
    set_generators(states | {"cuda": torch.get_rng_state()})
    begin_run(tmp_path, {"accelerator": "cpu"}, "fp32", gpu=False)
    assert "gpu" not in yaml.safe_load((tmp_path / "versions.yaml").read_text())


def test_what_is_more_than_an_aborted_attempt_is_kept(
    run: Path, clips_folder: Path, tmp_path: Path
) -> None:
    copy = tmp_path / "small"
    shutil.copytree(run, copy, ignore=shutil.ignore_patterns("test*", "predict", "attention"))
    given = options(clips_folder, tmp_path, "name=small")
    (copy / "checkpoints" / "last.ckpt").rename(copy / "checkpoints" / "mine.ckpt")
    for file in [*copy.glob("checkpoints/step-*"), copy / "checkpoints" / "best.ckpt"]:
        file.unlink()
    config = yaml.safe_load((copy / "config.yaml").read_text()) | {"runs": str(tmp_path)}
    (copy / "config.yaml").write_text(yaml.safe_dump(config))
    with pytest.raises(FileExistsError, match="has no checkpoint to resume from; give name=OTHER"):
        train(compose_train(given))
    (copy / "checkpoints" / "mine.ckpt").unlink()
    (copy / "finished.yaml").unlink()
    with pytest.raises(FileExistsError, match="was trained, but its checkpoints are gone"):
        train(compose_train(given))
    shutil.rmtree(copy / "logs")
    (copy / "thesis.txt").write_text("x")
    with pytest.raises(FileExistsError, match="has no checkpoint, but holds thesis.txt; give name"):
        train(compose_train(given))
    assert (copy / "splits" / "train.arrow").is_file()


def test_the_best_checkpoint_stands_in_for_a_last_one_that_was_not_written(
    run: Path, clips_folder: Path, tmp_path: Path
) -> None:
    copy = tmp_path / "small"
    shutil.copytree(run, copy)
    for file in [*copy.glob("checkpoints/step-*"), copy / "checkpoints" / "last.ckpt"]:
        file.unlink()
    (copy / "finished.yaml").unlink()
    config = yaml.safe_load((copy / "config.yaml").read_text()) | {"runs": str(tmp_path)}
    (copy / "config.yaml").write_text("# as it was\n" + yaml.safe_dump(config))
    train(compose_train(options(clips_folder, tmp_path, "name=small")))
    assert (copy / "config.yaml").read_text().startswith("# as it was")  # not begun anew


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (["clip.repeats=3"], r"batch_size \(4\) must be a multiple of clip.repeats \(3\)"),
        (
            ["data.transfer=yuv", "clip.crop=31"],
            r"clip.crop \(31\) must be even with data.transfer",
        ),
        (["data.transfer=yuv", "clip.test_crop=31"], r"clip.test_crop \(31\) must be even"),
    ],
)
def test_options_are_checked_without_data(given: list[str], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        compose_train([*SMALL, "data.root=nowhere", *given])
    assert TrainConfig().batch_size % TrainConfig().clip.repeats == 0


def test_a_decoder_that_is_not_there_leaves_no_run_behind(
    clips_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from video_gc.decode import torchcodec

    def missing() -> None:
        raise ImportError("torchcodec is not installed")

    monkeypatch.setattr(torchcodec, "check_installed", missing)
    for workers in (0, 2):
        given = ["data.decoder=torchcodec", f"data.workers={workers}"]
        with pytest.raises(ImportError, match="^torchcodec is not installed$"):
            train(compose_train(options(clips_folder, tmp_path, "name=go", *given)))
    assert not (tmp_path / "go").exists()


def test_runs_of_other_versions_are_not_gone_on_with(run: Path, tmp_path: Path) -> None:
    copy = tmp_path / "small"
    shutil.copytree(run, copy, symlinks=True)
    (copy / "finished.yaml").unlink()
    config = yaml.safe_load((copy / "config.yaml").read_text()) | {"runs": str(tmp_path)}
    given = [*SMALL, f"data.root={config['data']['root']}", f"runs={tmp_path}", "name=small"]
    (copy / "config.yaml").write_text(yaml.safe_dump(config | {"magic": 3}))
    with pytest.raises(
        ValueError, match=r"options that this one lacks: magic \(3\); resume it with"
    ):
        train(compose_train(given))
    (copy / "config.yaml").write_text(yaml.safe_dump(config))
    file = (copy / "checkpoints/last.ckpt").resolve()
    kept = torch.load(file, weights_only=True)
    del kept["loop"]
    torch.save(kept, file)
    with pytest.raises(ValueError, match="no state of a training .* model.weights=CHECKPOINT"):
        train(compose_train(given))
