"""Recipes in whole trainings: head first, frozen stages, and a length in steps."""

import csv
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.conftest import SMALL
from video_gc.config import compose_train
from video_gc.models.build import build_model
from video_gc.train import loop
from video_gc.train.loop import optimiser_step, train
from video_gc.train.options import TrainConfig
from video_gc.train.recipe.schedule import about_the_head
from video_gc.train.training import Training

HEAD_FIRST = [
    *("epochs=3", "steps_per_epoch=3", "optim.optimizer=sgd", "optim.lr=0.05"),
    *("optim.head_epochs=1.4", "optim.freeze=[stem]", "optim.layer_decay=0.8", "optim.head_lr=2"),
]


def go(seven_each: Path, runs: Path, *more: str) -> Path:
    return train(compose_train([*SMALL, f"data.root={seven_each}", f"runs={runs}", *more]))


def state(directory: Path) -> dict[str, Any]:
    return torch.load(directory / "checkpoints/last.ckpt", weights_only=True)


@pytest.mark.slow
def test_head_first_then_all_and_the_same_after_a_restart(
    seven_each: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[dict[str, torch.Tensor]] = []

    def watch(training: Training, batches: Any) -> Any:
        bad = optimiser_step(training, batches)
        seen.append({n: v.clone() for n, v in training.model.state_dict().items()})
        if stop_at is not None and training.state.epoch == stop_at:
            raise RuntimeError("the machine went away")
        return bad

    stop_at: int | None = None
    monkeypatch.setattr(loop, "optimiser_step", watch)
    whole = go(seven_each, tmp_path, "name=whole", *HEAD_FIRST)
    first = build_model(compose_train(["seed=0", "model.num_classes=2"]).model)  # names only
    head = {n for n in first.state_dict() if n.startswith("blocks.6.") or ".context." in n}
    moved = [{n for n in a if not torch.equal(a[n], b[n])} for a, b in pairwise(seen)]
    per_epoch = len(seen) // 3
    alone = round(1.4 * per_epoch)  # steps with the head alone; `moved` starts at the second
    assert 1 < alone < len(seen)
    assert all(names and names <= head for names in moved[: alone - 1])
    for names in moved[alone - 1 :]:
        assert any("running_mean" in name for name in names - head)
        assert any(name.endswith("conv_a.weight") for name in names - head)
    stem = {n for n in first.state_dict() if n.startswith("blocks.0.")}
    assert not stem & set().union(*moved)
    stop_at = 1
    with pytest.raises(RuntimeError, match="went away"):
        go(seven_each, tmp_path, "name=again", "resume=true", *HEAD_FIRST)
    stop_at = None
    again = go(seven_each, tmp_path, "name=again", "resume=true", *HEAD_FIRST)
    one, two = state(whole), state(again)
    assert one["global_step"] == two["global_step"]
    assert all(torch.equal(one["state_dict"][n], two["state_dict"][n]) for n in one["state_dict"])
    assert one["lr_schedulers"] == two["lr_schedulers"]


@pytest.mark.slow
def test_a_length_in_steps_ends_with_validation_and_a_checkpoint(
    seven_each: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    given = ["name=steps", "steps=3", "resume=true", "optim.schedule=steps", "batch_size=2"]
    given += ["optim.milestones=[2]", "optim.milestones_in=steps", "optim.lr_batch=4"]
    directory = go(seven_each, tmp_path, *given)
    kept = state(directory)
    assert kept["global_step"] == 3  # of 5 in the first epoch
    assert kept["optimizer_states"][0]["param_groups"][0]["lr"] == pytest.approx(0.0001)
    assert "learning rate 0.001 = 0.002 × 2 / 4" in capfd.readouterr().err
    rows = list(
        csv.DictReader((directory / "logs/csv/version_0/metrics.csv").read_text().splitlines())
    )
    assert [row["step"] for row in rows if row["val/top1"]] == ["2"]
    assert (directory / "checkpoints/best.ckpt").is_file()
    go(seven_each, tmp_path, *given)
    assert state(directory)["global_step"] == 3  # finished: nothing more to do


def epochs_of(config: TrainConfig, batches: int) -> int:
    return config.length(batches).epochs


def said_of(config: TrainConfig, batches: int) -> str | None:
    length = config.length(batches)
    return about_the_head(config.optim, steps=length.steps, steps_per_epoch=length.steps_per_epoch)


def test_steps_in_epochs() -> None:
    config = compose_train(["steps=10", "epochs=99"])
    assert epochs_of(config, 4) == 3
    assert epochs_of(compose_train(["steps=10", "steps_per_epoch=2"]), 4) == 5
    assert epochs_of(compose_train(["steps=10", "accumulate=2"]), 4) == 5
    assert epochs_of(compose_train(["epochs=7"]), 4) == 7
    with pytest.raises(ValueError, match=r"steps \(0\) must be at least 1"):
        compose_train(["steps=0"])


def test_a_training_that_ends_with_its_head_says_so() -> None:
    found = said_of(compose_train(["recipe=finetune", "epochs=1"]), 4)
    assert found is not None
    assert found.startswith(
        "optim.head_epochs=1 is 4 steps and the training 4: it trains only the head"
    )
    assert said_of(compose_train(["recipe=finetune", "steps=8", "accumulate=2"]), 18) == (
        found.replace("4", "9", 1).replace("4", "8", 1)
    )
    assert said_of(compose_train(["recipe=finetune", "steps=10", "accumulate=2"]), 18) is None
    assert said_of(compose_train(["recipe=finetune", "epochs=2"]), 4) is None
    assert said_of(compose_train(["epochs=1"]), 4) is None


def test_a_stage_that_is_not_there_leaves_no_run(seven_each: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"optim.freeze: no stage is called 'res1'"):
        go(seven_each, tmp_path, "name=wrong", "optim.freeze=[res1]")
    assert not (tmp_path / "wrong").exists()
