"""What lies beside weights."""

from pathlib import Path

import torch

from video_gc.models.weights.reading.placeholders import DEPTH, plain
from video_gc.models.weights.reading.read import read_with_origin


def test_what_lies_beside_the_weights_is_plain_data(tmp_path: Path) -> None:
    meta = {"cfg": "model = dict()", "epoch": 7, 3: (1, [None, torch.zeros(2)])}
    torch.save({"state_dict": {"a": torch.zeros(2)}, "meta": meta, "lr": 0.5}, tmp_path / "w.pth")
    found = read_with_origin(tmp_path / "w.pth")
    assert list(found.state) == ["a"]
    assert not found.ours
    beside = {"cfg": "model = dict()", "epoch": 7, "3": [1, [None, None]]}
    assert found.extra == {"meta": beside, "lr": 0.5}


def test_what_holds_itself_or_is_shared_or_deep_ends() -> None:
    around: list[object] = [1]
    around.append(around)
    assert plain(around) == [1, None]
    shared: list[object] = ["leaf"]
    for _ in range(200):  # 2²⁰⁰ leaves for whoever copies each
        shared = [shared, shared]
    found = plain(shared)
    assert found[0] is found[1]
    for _ in range(DEPTH):
        found = found[0]
    assert found == [None, None]
