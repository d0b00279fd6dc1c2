"""Checkpoint files: written at once, checked when read, and weights alone."""

import errno
import os
import resource
import shutil
from pathlib import Path

import pytest
import torch

from tests.train.resume.killing import at_call, options
from video_gc.atomic import part_name
from video_gc.config import compose_train
from video_gc.train.checkpoint import load_network
from video_gc.train.loop import train
from video_gc.train.resume import checkpoint_files as files
from video_gc.train.resume.checkpoint_files import (
    candidates,
    damage,
    keep_best,
    newest_valid,
    point_last,
    remove_old,
    save_or_keep,
    set_aside,
    step_file,
    write_checkpoint,
)
from video_gc.train.resume.weights_file import write_weights
from video_gc.train.step import Objective

CONTENT = {"video_gc": {"format": 2}, "state_dict": {"weight": torch.arange(1000.0)}}


def cut(file: Path) -> None:
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])


def zero(file: Path) -> None:
    file.write_bytes(bytes(file.stat().st_size))


def flip(file: Path) -> None:
    content = bytearray(file.read_bytes())
    place = content.index(torch.arange(500.0, 504.0).numpy().tobytes())
    content[place + 1] ^= 0xFF
    file.write_bytes(content)


@pytest.mark.parametrize("harm", [cut, zero, flip, lambda file: file.write_bytes(b"")])
def test_a_damaged_one_is_passed_over(
    harm: object, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    for step in (10, 20, 100):
        write_checkpoint(CONTENT, step_file(tmp_path, step))
    point_last(step_file(tmp_path, 100))
    assert newest_valid(tmp_path) == step_file(tmp_path, 100)
    harm(step_file(tmp_path, 100))  # type: ignore[operator]
    assert newest_valid(tmp_path) == step_file(tmp_path, 20)
    assert "step-00000100.ckpt: damaged (" in " ".join(capfd.readouterr().err.split())
    part_name(step_file(tmp_path, 120)).write_bytes(b"half")
    set_aside(tmp_path, step_file(tmp_path, 20))
    assert {path.name for path in tmp_path.iterdir()} == {
        *("step-00000010.ckpt", "step-00000020.ckpt", "step-00000100.damaged", "last.ckpt")
    }
    for step in (10, 20):
        harm(step_file(tmp_path, step))  # type: ignore[operator]
    with pytest.raises(ValueError, match="all 2 checkpoints are damaged; give name=OTHER"):
        newest_valid(tmp_path)


@pytest.mark.parametrize("name", ["best.ckpt", "last.ckpt"])
def test_if_all_numbered_ones_are_damaged_the_next_is_kept(name: str, tmp_path: Path) -> None:
    for step in (100, 200, 300):
        write_checkpoint(CONTENT, step_file(tmp_path, step))
        cut(step_file(tmp_path, step))
    write_checkpoint(CONTENT, tmp_path / name)  # of step 100; no link to it
    assert newest_valid(tmp_path) == tmp_path / name
    set_aside(tmp_path, tmp_path / name)
    assert len(list(tmp_path.glob("*.damaged"))) == 3
    assert not save_or_keep(CONTENT, step_file(tmp_path, 105), keep=1)
    assert newest_valid(tmp_path) == step_file(tmp_path, 105)
    assert (tmp_path / "last.ckpt").resolve() == step_file(tmp_path, 105).resolve()


def test_the_one_just_written_is_never_removed(tmp_path: Path) -> None:
    for step in (1, 7, 8, 9):
        write_checkpoint(CONTENT, step_file(tmp_path, step))
    remove_old(step_file(tmp_path, 1), 2)
    assert sorted(tmp_path.iterdir()) == [step_file(tmp_path, 1), step_file(tmp_path, 9)]


def test_one_of_a_newer_version_is_said(tmp_path: Path) -> None:
    write_checkpoint(CONTENT | {"video_gc": {"format": 99}}, step_file(tmp_path, 1))
    with pytest.raises(
        ValueError, match=r"newer version of video_gc \(format 99, .* update video_"
    ):
        newest_valid(tmp_path)
    with pytest.raises(ValueError, match="newer version"):
        load_network(step_file(tmp_path, 1))


def test_the_newest_and_the_best_are_kept(tmp_path: Path) -> None:
    for step in (1, 2, 3, 4):
        file = step_file(tmp_path, step)
        write_checkpoint(CONTENT, file)
        point_last(file)
        if step in (1, 2):
            keep_best(file)
        remove_old(file, 2)
    assert [file.name for file in candidates(tmp_path)] == [
        *("step-00000004.ckpt", "step-00000003.ckpt", "best.ckpt")
    ]
    assert (tmp_path / "last.ckpt").resolve().name == "step-00000004.ckpt"
    assert damage(tmp_path / "best.ckpt") is None


def refuse_links(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise OSError(errno.EPERM, "no links here")

    monkeypatch.setattr(os, "link", refuse)
    monkeypatch.setattr(Path, "symlink_to", refuse)


def full(*_: object) -> None:
    raise OSError(errno.ENOSPC, "No space left on device")


def test_without_links_there_are_copies(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    refuse_links(monkeypatch)
    write_checkpoint(CONTENT, step_file(tmp_path, 1))
    for make, name in ((point_last, "last.ckpt"), (keep_best, "best.ckpt")):
        make(step_file(tmp_path, 1))
        assert damage(tmp_path / name) is None
        assert (tmp_path / name).stat().st_nlink == 1


def test_a_copy_that_does_not_fit_leaves_the_previous_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    refuse_links(monkeypatch)
    flushed = []
    plain = os.fsync
    monkeypatch.setattr(files.os, "fsync", lambda handle: (flushed.append(1), plain(handle)))
    assert not save_or_keep(CONTENT, step_file(tmp_path, 1), keep=1)
    assert not keep_best(step_file(tmp_path, 1))
    assert len(flushed) == 6  # three files, and the folder after each
    before = sorted(tmp_path.iterdir())
    monkeypatch.setattr(files.shutil, "copyfileobj", full)
    said = save_or_keep(CONTENT, step_file(tmp_path, 2), keep=1)
    assert said.startswith("last.ckpt could not be written (the disk is full); step-00000002.ckpt")
    assert keep_best(step_file(tmp_path, 2)).startswith("best.ckpt could not be written (the disk")
    assert sorted(tmp_path.iterdir()) == [*before, step_file(tmp_path, 2)]
    assert damage(tmp_path / "last.ckpt") is damage(tmp_path / "best.ckpt") is None


def test_a_full_disk_leaves_the_previous_one(tmp_path: Path) -> None:
    file = step_file(tmp_path, 1)
    write_checkpoint(CONTENT, file)
    before = file.read_bytes()
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, hard))
    try:
        with pytest.raises(OSError, match="File too large"):
            write_checkpoint(CONTENT | {"more": 1}, file)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert file.read_bytes() == before
    assert [path.name for path in tmp_path.iterdir()] == [file.name]


def test_a_run_goes_on_over_a_full_disk_and_says_so(
    seven_each: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    given = options(seven_each, tmp_path, "epochs=1", "data.workers=0")
    monkeypatch.setattr(files.os, "fsync", at_call(3, full, os.fsync))  # the second: file, folder
    train(compose_train(given))
    said = " ".join(capfd.readouterr().err.split())
    assert "step-00000004.ckpt could not be written (the disk is full); step-00000002.ckpt" in said
    run = tmp_path / "run"
    assert (run / "checkpoints/last.ckpt").resolve().name == "step-00000005.ckpt"
    assert (run / "finished.yaml").is_file()


@pytest.mark.slow
def test_a_disk_that_is_full_at_the_end_is_no_finished_run(
    seven_each: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = options(seven_each, tmp_path, "epochs=1", "data.workers=0", "name=other")
    monkeypatch.setattr(files.os, "fsync", at_call(5, full, os.fsync))
    with pytest.raises(OSError, match="step-00000005.ckpt could not be written .* free some space"):
        train(compose_train(given))
    other = tmp_path / "other"
    assert damage(other / "checkpoints/last.ckpt") is None
    assert not (other / "finished.yaml").exists()
    monkeypatch.undo()
    train(compose_train(given))
    assert (other / "finished.yaml").is_file()


@pytest.mark.slow
def test_a_run_goes_on_if_the_best_cannot_be_copied(
    seven_each: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    refuse_links(monkeypatch)
    monkeypatch.setattr(files, "point_last", lambda _file: "")
    monkeypatch.setattr(files.shutil, "copyfileobj", at_call(1, full, shutil.copyfileobj))
    run = train(compose_train(options(seven_each, tmp_path, "epochs=2", "data.workers=0")))
    folder = run / "checkpoints"
    assert (folder / "best.ckpt").read_bytes() == step_file(folder, 10).read_bytes()
    assert (run / "finished.yaml").is_file()


@pytest.mark.slow
def test_a_best_that_cannot_be_copied_at_the_end_is_no_finished_run(
    seven_each: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    refuse_links(monkeypatch)
    monkeypatch.setattr(files, "point_last", lambda _file: "")
    monkeypatch.setattr(files.shutil, "copyfileobj", full)
    given = options(seven_each, tmp_path, "epochs=1", "data.workers=0")
    for _ in range(2):  # the rerun finds that the best is lacking
        with pytest.raises(OSError, match=r"best.ckpt could not be written .* free some space"):
            train(compose_train(given))
    monkeypatch.undo()
    run = train(compose_train(given))
    assert damage(run / "checkpoints/best.ckpt") is damage(run / "checkpoints/last.ckpt") is None
    assert (run / "finished.yaml").is_file()


@pytest.mark.slow
def test_a_disk_that_is_full_from_the_start_ends_the_run(
    seven_each: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(files.os, "fsync", full)
    steps = []
    plain = Objective.training_step
    monkeypatch.setattr(Objective, "training_step", lambda *given: steps.append(1) or plain(*given))
    given = options(seven_each, tmp_path, "data.workers=0")
    with pytest.raises(OSError, match=r"step-00000002.ckpt: the first .* \(the disk is full\)"):
        train(compose_train(given))
    assert len(steps) == 2  # of 15: checkpoint.every_steps=2


def test_weights_alone_are_the_network(checkpoint: Path, tmp_path: Path) -> None:
    one, described = load_network(checkpoint)
    other, same = load_network(checkpoint.with_name("best.safetensors"))
    assert described == same
    pairs = zip(one.state_dict().items(), other.state_dict().items(), strict=True)
    assert all(a[0] == b[0] and torch.equal(a[1], b[1]) for a, b in pairs)
    alone = write_weights(one.state_dict(), {}, tmp_path / "alone.safetensors")
    (tmp_path / "x.safetensors").write_bytes(b"nothing")
    assert alone.stat().st_mode == (tmp_path / "x.safetensors").stat().st_mode  # others may read it
    with pytest.raises(ValueError, match="not a checkpoint of video-gc train"):
        load_network(tmp_path / "x.safetensors")
