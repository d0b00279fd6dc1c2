"""Two processes train the network that one trains, and score every video once."""

import csv
import json
from pathlib import Path

import pytest
import torch
from lightning_fabric import seed_everything

from tests.conftest import SMALL
from tests.train.ranks.launch import srun
from tests.train.ranks.together import RUNS, score_all, statistics_after_sharing, train_all
from video_gc.models.build import build_model
from video_gc.train.checkpoint import load_network
from video_gc.train.distributed.world import World

TOLERANCE = 1e-9
"""Of the length of the way that the parameters went. The same sums of float64 in another order
differ by some 1e-16 in each layer and step, which norms over few numbers make larger (seen: 7e-14);
in float32 that is 4e-6 with frozen norms. One clip too many or too few is 1e-2."""


@pytest.fixture(scope="module")
def both(
    clips_folder: Path, damaged: dict[str, Path], tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, Path]:
    """The runs of one process, and of two."""
    root = tmp_path_factory.mktemp("together")
    lines = [f"{path} {path.parent.name}" for path in sorted(clips_folder.rglob("*.mp4"))]
    (root / "val.txt").write_text("\n".join([*lines, f"{damaged['zero-byte']} dark"]))
    (root / "train.txt").write_text("\n".join([*lines, f"{damaged['text']} bright"]))
    options = [
        *SMALL[1:], "data=list", f"data.train={root}/train.txt", f"data.val={root}/val.txt",
        "optim.optimizer=sgd", "optim.lr=0.02", "model.dropout=0",
    ]  # fmt: skip
    train_all(root / "one", options)
    srun(2, "together.py", [str(root / "two"), *options], seconds=200)
    return root / "one", root / "two"


def last(run: Path) -> dict[str, torch.Tensor]:
    return torch.load(run / "checkpoints" / "last.ckpt", weights_only=True)["state_dict"]


def distance(one: dict[str, torch.Tensor], two: dict[str, torch.Tensor]) -> float:
    """Between the parameters of two networks."""
    assert one.keys() == two.keys()
    names = [name for name in one if "running" not in name and "num_batches" not in name]
    return float(sum(((one[name] - two[name]) ** 2).sum() for name in names) ** 0.5)


def way(run: Path) -> float:
    """How far a training has gone."""
    seed_everything(0, verbose=False)
    config = load_network(run / "checkpoints" / "last.ckpt")[1].model
    start = {f"model.{name}": value for name, value in build_model(config).state_dict().items()}
    end = {name: value for name, value in last(run).items() if name.startswith("model.")}
    return distance(start, end)


@pytest.mark.slow
@pytest.mark.parametrize("name", RUNS)
def test_two_processes_train_as_one(both: tuple[Path, Path], name: str) -> None:
    one, two = (last(runs / name) for runs in both)
    assert one["model.blocks.0.conv.weight"].dtype == torch.float64
    assert distance(one, two) < TOLERANCE * way(both[0] / name)
    for buffer in (key for key in one if "running" in key or "num_batches" in key):
        assert torch.allclose(one[buffer], two[buffer], rtol=TOLERANCE), buffer


@pytest.mark.slow
def test_parts_of_a_step_train_as_the_whole(both: tuple[Path, Path]) -> None:
    one, parts = last(both[0] / "frozen"), last(both[0] / "parts")
    assert distance(one, parts) < TOLERANCE * way(both[0] / "frozen")


def rows(run: Path) -> list[dict[str, str]]:
    return list(csv.DictReader((run / "logs/csv/version_0/metrics.csv").open()))


@pytest.mark.slow
def test_they_validate_every_video_once(both: tuple[Path, Path]) -> None:
    one, two = ([row for row in rows(runs / "frozen") if row["val/top1"]] for runs in both)
    assert len(one) == len(two) == 2
    for alone, together in zip(one, two, strict=True):
        assert alone["val/top1"] == together["val/top1"]
        assert float(alone["val/loss"]) == pytest.approx(float(together["val/loss"]), rel=1e-6)
    whole = score_all(World())
    assert whole["False 7"]["count"] == 7
    for rank in range(2):
        found, statistics = json.loads((both[1] / f"figures_{rank}.json").read_text())
        assert found == whole  # to the last bit
        assert statistics == statistics_after_sharing(World())  # the first one's


@pytest.mark.slow
def test_all_processes_tell_what_they_could_not_read(both: tuple[Path, Path]) -> None:
    one, two = (
        sorted(tuple(row.values()) for row in csv.DictReader((runs / "parts/skipped.csv").open()))
        for runs in both
    )
    assert one == two
    assert [row[0] for row in one] == ["damaged", "damaged"]
