"""A run that is killed and started again ends with the same bits as one that was not."""

import random
import shutil
import signal
from pathlib import Path
from typing import Any

import pytest

from tests.train.resume.killing import (
    at_call,
    end_state,
    kill,
    options,
    rows,
    run_forked,
    same,
)
from video_gc.config import compose_train
from video_gc.train import loop
from video_gc.train.loop import train
from video_gc.train.resume import checkpoint_files as files
from video_gc.train.step import Objective

MOMENTS = {
    "step": (Objective, "training_step"),
    "validation": (loop, "validation_step"),
    "write": (files.os, "fsync"),
    "written": (files, "point_last"),
    "best": (files, "keep_best"),
}


@pytest.fixture(scope="module")
def whole(seven_each: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that nothing interrupted."""
    return train(compose_train(options(seven_each, tmp_path_factory.mktemp("whole"))))


@pytest.fixture(scope="module")
def shorter(seven_each: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same of two epochs."""
    runs = tmp_path_factory.mktemp("shorter")
    return train(compose_train(options(seven_each, runs, "epochs=2")))


def killed(given: list[str], moment: str, number: int) -> None:
    owner, name = MOMENTS[moment]
    patch = (owner, name, lambda plain: at_call(number, kill, plain))
    assert run_forked(given, patch) == -signal.SIGKILL


def assert_same_end(run: Path, whole: Path) -> None:
    assert same(end_state(run), end_state(whole))
    assert same(end_state(run, "best.ckpt"), end_state(whole, "best.ckpt"))
    assert rows(run) == rows(whole)
    best = (folder / "checkpoints/best.safetensors" for folder in (run, whole))
    one, two = (file.read_bytes()[-1000:] for file in best)
    assert one == two
    assert not list(run.glob("checkpoints/.*part*"))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("first", "second"),
    [
        (("step", 8), ("step", 5)),  # in the second epoch, then in the third
        (("write", 3), ("validation", 2)),  # half a checkpoint; then amid an epoch's end
        (("validation", 1), ("written", 6)),
        (("best", 1), ("step", 1)),
    ],
    ids=lambda moment: f"{moment[0]}-{moment[1]}",
)
def test_killed_twice_it_ends_the_same(
    first: Any, second: Any, whole: Path, seven_each: Path, tmp_path: Path
) -> None:
    given = options(seven_each, tmp_path)
    killed(given, *first)
    killed(given, *second)
    assert run_forked(given) == 0
    assert_same_end(tmp_path / "run", whole)


@pytest.mark.slow
def test_in_bf16_it_ends_the_same_too(seven_each: Path, tmp_path: Path) -> None:
    more = "precision=bf16", "epochs=2"
    whole = train(compose_train(options(seven_each, tmp_path / "whole", *more)))
    given = options(seven_each, tmp_path, *more)
    killed(given, "step", 8)
    assert run_forked(given) == 0
    assert_same_end(tmp_path / "run", whole)


@pytest.mark.slow
def test_killed_with_half_a_checkpoint_it_ends_the_same(
    shorter: Path, seven_each: Path, tmp_path: Path
) -> None:
    given = options(seven_each, tmp_path, "epochs=2")
    killed(given, "write", 3)
    late = seven_each / "dark" / "late.mp4"  # a new file must not change what trains
    shutil.copy(seven_each / "dark" / "0.mp4", late)
    try:
        assert run_forked(given) == 0
    finally:
        late.unlink()
    assert_same_end(tmp_path / "run", shorter)


@pytest.mark.slow
def test_the_state_before_a_validation_is_one_to_go_on_from(
    whole: Path, seven_each: Path, tmp_path: Path
) -> None:
    given = options(seven_each, tmp_path)
    always = (loop, "save_is_due", lambda _plain: lambda *_: True)
    owner, name = MOMENTS["validation"]
    dies = (owner, name, lambda plain: at_call(2, kill, plain))
    assert run_forked(given, always, dies) == -signal.SIGKILL
    newest = (tmp_path / "run/checkpoints/last.ckpt").resolve()
    assert newest.name == "step-00000010.ckpt"
    # from here no step is computed again; the validation that is gone on with is killed, too
    assert run_forked(given, always, (owner, name, lambda plain: at_call(1, kill, plain))) < 0
    counted = (Objective, "training_step", lambda plain: at_call(6, kill, plain))
    assert run_forked(given, counted) == 0
    assert_same_end(tmp_path / "run", whole)


@pytest.mark.slow
def test_killed_ten_times_at_random(whole: Path, seven_each: Path, tmp_path: Path) -> None:
    given = options(seven_each, tmp_path)
    chance = random.Random(5)
    count = 0
    while count < 10:
        moment = chance.choice(list(MOMENTS))
        owner, name = MOMENTS[moment]
        number = chance.randint(1, 4)
        status = run_forked(given, (owner, name, lambda plain, n=number: at_call(n, kill, plain)))
        if status == 0:  # it came to its end: begin anew
            assert_same_end(tmp_path / "run", whole)
            tmp_path = tmp_path / "again"
            given = options(seven_each, tmp_path)
        else:
            assert status == -signal.SIGKILL
            count += 1
    assert run_forked(given) == 0
    assert_same_end(tmp_path / "run", whole)
