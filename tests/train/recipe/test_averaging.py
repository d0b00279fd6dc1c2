"""Averaged weights and precise statistics: tested beside the raw ones, and nothing else changes."""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from tests.conftest import SMALL
from video_gc.config import compose_train
from video_gc.data.batches.batch import collate
from video_gc.data.dataset import TrainingClips
from video_gc.data.reading import Decoding
from video_gc.data.splits import read_splits
from video_gc.data.transforms import Normalisation, prepare_clips
from video_gc.models.weights import load_weights
from video_gc.models.weights.reading.read import read_weights
from video_gc.progress import progress_bar
from video_gc.train import loop
from video_gc.train.checkpoint import load_network
from video_gc.train.display import Display
from video_gc.train.loop import train, train_epoch
from video_gc.train.recipe.averaging import averaged_copy, decay_at, pick_weights, update_average
from video_gc.train.recipe.precise_norms import KEY, fixed_batches
from video_gc.train.resume.run_directory import read_metrics
from video_gc.train.training import Training

OPTIONS = ["ema=0.5", "norm.precise=2", "augment=light", "model.width=0.125"]


def started(clips_folder: Path, runs: Path, *more: str) -> Path:
    return train(compose_train([*SMALL, f"data.root={clips_folder}", f"runs={runs}", *more]))


def last(run: Path) -> dict[str, Any]:
    return torch.load(run / "checkpoints/last.ckpt", weights_only=True)


@pytest.fixture(scope="module")
def bars() -> list[tuple[str, int, int]]:
    """(what, done, total) of each item that a bar of `averaged` counted."""
    return []


@pytest.fixture(scope="module")
def averaged(
    clips_folder: Path, tmp_path_factory: pytest.TempPathFactory, bars: list[tuple[str, int, int]]
) -> Path:
    track = Display.track

    def watched(
        display: Display, items: Iterable[Any], what: str, total: int, done: int = 0
    ) -> Iterator[Any]:
        for count, item in enumerate(track(display, items, what, total, done), 1):
            bars.append((what, count, total))
            yield item

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Display, "track", watched)
        return started(clips_folder, tmp_path_factory.mktemp("runs"), "name=averaged", *OPTIONS)


def test_the_average_follows_the_weights() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4)).train()
    average = averaged_copy(model)
    expected = {name: value.clone() for name, value in model.state_dict().items()}
    for step in range(5):
        model(torch.randn(8, 3))
        for parameter in model.parameters():
            parameter.data.add_(torch.randn(parameter.shape))
        update_average(average, model, decay_at(step, 0.3))
        share = min(0.3, (1 + step) / (10 + step))
        for name, value in model.state_dict().items():
            counter = not value.is_floating_point()
            new = value if counter else share * expected[name] + (1 - share) * value
            expected[name] = new.clone()
    for name, value in average.state_dict().items():
        torch.testing.assert_close(value, expected[name])
    assert [decay_at(n, 0.99) for n in (0, 90, 10_000)] == [0.1, 0.91, 0.99]
    assert not any(p.requires_grad for p in average.parameters())


@pytest.mark.slow
def test_both_are_validated_and_kept(averaged: Path) -> None:
    figures = read_metrics(averaged / "logs")
    assert len(figures["val/top1"]) == len(figures["val_ema/top1"]) == 2
    assert figures["val/loss"] != figures["val_ema/loss"]
    file = averaged / "checkpoints/best.ckpt"
    raw, _ = load_network(file, "raw")
    ema, contents = load_network(file, "ema")
    state = torch.load(file, weights_only=True)["state_dict"]
    for name, value in raw.state_dict().items():
        assert torch.equal(value, state[f"model.{name}"])
        assert torch.equal(ema.state_dict()[name], state[f"average.{name}"])
    assert any(
        not torch.equal(a, b) for a, b in zip(raw.parameters(), ema.parameters(), strict=True)
    )
    default, _ = load_network(file)
    assert all(
        torch.equal(a, b) for a, b in zip(default.parameters(), ema.parameters(), strict=True)
    )
    assert contents.config["ema"] == 0.5
    again = read_weights(file)  # as model.weights of another run
    assert load_weights(default, file).format == "video_gc"
    assert again.keys() == ema.state_dict().keys()
    assert torch.equal(again["blocks.0.conv.weight"], state["average.blocks.0.conv.weight"])


def test_weights_that_are_not_there_are_named(checkpoint: Path) -> None:
    assert load_network(checkpoint, "raw")
    with pytest.raises(ValueError, match=r"best.ckpt: has no ema weights, only raw"):
        load_network(checkpoint, "ema")
    with pytest.raises(ValueError, match=r"weights \('swa'\) must be one of raw, ema"):
        pick_weights({"model.weight": torch.zeros(1)}, "swa")


@pytest.mark.slow
def test_training_goes_on_as_without_them(
    averaged: Path, clips_folder: Path, tmp_path: Path
) -> None:
    plain = last(started(clips_folder, tmp_path, "name=plain", *OPTIONS[2:]))["state_dict"]
    kept = last(averaged)
    own = kept["state_dict"] | kept[KEY]
    for name, value in plain.items():
        assert torch.equal(own[name], value), name
    changed = {n for n in kept[KEY] if not torch.equal(kept[KEY][n], kept["state_dict"][n])}
    assert {"model.blocks.0.norm.running_mean", "average.blocks.0.norm.running_var"} <= changed


@pytest.mark.slow
def test_a_resumed_run_has_the_same_bits(
    averaged: Path, clips_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop(training: Training) -> None:
        if training.state.epoch == 1:
            raise RuntimeError("the machine went away")
        train_epoch(training)

    given = ["name=averaged", "resume=true", *OPTIONS]
    with monkeypatch.context() as patch, pytest.raises(RuntimeError, match="went away"):
        patch.setattr(loop, "train_epoch", stop)
        started(clips_folder, tmp_path, *given)
    one, two = last(averaged), last(started(clips_folder, tmp_path, *given))
    for part in ("state_dict", KEY):
        assert one[part].keys() == two[part].keys()
        assert all(torch.equal(one[part][name], two[part][name]) for name in one[part])


def test_the_statistics_are_those_of_the_training_clips(averaged: Path) -> None:
    model, contents = load_network(averaged / "checkpoints/last.ckpt", "raw")
    videos = read_splits(averaged / "splits", None).train
    clips = TrainingClips(videos, contents.clip, seed=0, flip=0.5, decoding=Decoding())
    stem = model.blocks[0]  # type: ignore[index]
    outputs: list[Tensor] = []
    stem.conv.register_forward_hook(lambda _m, _i, out: outputs.append(out.transpose(0, 1)))
    augment = compose_train(["augment=light"]).augment
    for keys in fixed_batches(clips, count=2, videos=4):
        batch = collate([clips[key] for key in keys])
        assert batch.clips is not None
        prepared = prepare_clips(
            batch.clips, Normalisation(), batch.flips, colours=batch.colours, augment=augment,
            seeds=batch.seeds,
        )  # fmt: skip
        with torch.inference_mode():
            model(prepared)
    seen = torch.cat(outputs, 1).flatten(1)
    torch.testing.assert_close(stem.norm.running_mean, seen.mean(1), rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(
        stem.norm.running_var, seen.var(1, correction=0), rtol=1e-4, atol=1e-5
    )


def test_every_process_has_its_part_of_the_same_batches() -> None:
    clips: Any = type("Clips", (), {"seed": 3, "__len__": lambda _: 11})()
    whole = fixed_batches(clips, count=2, videos=4)
    assert [len(batch) for batch in whole] == [4, 4]
    assert whole == fixed_batches(clips, count=2, videos=4)
    parts = [fixed_batches(clips, count=4, videos=2, rank=rank, world=2) for rank in (0, 1)]
    for number, batch in enumerate(whole):
        assert parts[0][number] + parts[1][number] == batch
    assert len(fixed_batches(clips, count=99, videos=4)) == 2
    assert len({row for batch in whole for _, row in batch}) == 8


@pytest.mark.slow
def test_a_frozen_stage_keeps_its_statistics_in_the_average(
    clips_folder: Path, tmp_path: Path
) -> None:
    more = ("name=frozen", "epochs=1", "steps_per_epoch=1", "optim.freeze=[stem]")
    found = last(started(clips_folder, tmp_path, *OPTIONS, *more))
    assert any(name.startswith("average.blocks.1.") for name in found[KEY])
    assert not any(name.startswith("average.blocks.0.") for name in found[KEY])


def test_a_bar_counts_the_batches_of_the_statistics(
    averaged: Path, bars: list[tuple[str, int, int]]
) -> None:
    assert [one for one in bars if one[0] == "Statistics of norms"] == [
        ("Statistics of norms", 1, 2), ("Statistics of norms", 2, 2)
    ] * 2  # fmt: skip


def test_a_bar_goes_when_its_work_is_done() -> None:
    with progress_bar() as bars:
        display = Display(bars)
        for _ in display.track(range(3), "outer", 5, 2):
            [outer] = bars.tasks
            list(display.track(range(2), "inner", 2))
            assert bars.tasks == [outer]
        assert (outer.completed, outer.total) == (5, 5)
        assert not bars.tasks
