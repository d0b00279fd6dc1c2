import json
from dataclasses import asdict, replace
from pathlib import Path

import pytest
import torch

from video_gc.deploy.contract import (
    Contract,
    contract_from,
    hash_weights,
    read_contract,
    write_contract,
)
from video_gc.train.checkpoint import KEY, contract_of, load_network

CONTRACT = Contract(
    names=["bright", "dark"], frames=4, stride=2, fps=30.0, short_side=32, crop=32,
    mean=[0.45] * 3, std=[0.225] * 3, weights="abc", versions={"torch": "2.15"},
)  # fmt: skip


def test_it_is_in_the_checkpoint_as_plain_data(checkpoint: Path) -> None:
    kept = torch.load(checkpoint, weights_only=True)[KEY]["contract"]
    network, contents = load_network(checkpoint)
    contract = contract_of(contents, network.state_dict())
    assert contract_from(json.loads(json.dumps(kept))) == contract
    assert contract.names == ["bright", "dark"]
    assert contract.fps == 30.0  # of the training videos
    assert contract.seconds == pytest.approx((contract.frames - 1) * contract.stride / 30)


def test_the_hash_is_of_names_types_shapes_and_values() -> None:
    state = {"a": torch.arange(6.0).view(2, 3), "b": torch.tensor(1)}
    assert hash_weights(state) == hash_weights(dict(reversed(state.items())))
    for other in (
        {"a": state["a"].view(3, 2), "b": state["b"]},
        {"a": state["a"].double(), "b": state["b"]},
        {"a": state["a"], "c": state["b"]},
        {"a": state["a"] + 1e-6, "b": state["b"]},
    ):
        assert hash_weights(other) != hash_weights(state)
    transposed = state["a"].t().contiguous().t()  # equal, but another layout in memory
    assert hash_weights({"a": transposed, "b": state["b"]}) == hash_weights(state)


def test_it_is_written_and_read(tmp_path: Path) -> None:
    contract = replace(CONTRACT, names=["跳", "a, b"])
    file = write_contract(contract, tmp_path / "model.json")
    assert read_contract(file) == contract
    file.write_text(json.dumps(asdict(contract) | {"of_a_newer_version": 1}))
    assert read_contract(file) == contract


@pytest.mark.parametrize("text", ["", "[]", '{"names": ["a"]}', "{", '{"names": 1, "frames": 0}'])
def test_another_file_is_no_contract(text: str, tmp_path: Path) -> None:
    (tmp_path / "model.json").write_text(text)
    with pytest.raises(ValueError, match=r"model\.json: not the contract of a model"):
        read_contract(tmp_path / "model.json")
    with pytest.raises(FileNotFoundError):
        read_contract(tmp_path / "none.json")


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"output": "probabilities"}, r"output \('probabilities'\) must be logits"),
        ({"colour": "BGR"}, r"colour \('BGR'\) must be RGB"),
        ({"layout": "NTHWC"}, r"layout \('NTHWC'\) must be NCTHW"),
        ({"sampling": "sparse"}, r"sampling \('sparse'\) must be dense or segments"),
        ({"offsets": "tsn"}, r"offsets \('tsn'\) must be mmaction2 or pyslowfast"),
        ({"past_end": None}, r"past_end \(None\) must be repeat or loop"),
        ({"mean": [0.5]}, r"mean \(\[0\.5\]\) must have 3 numbers"),
        ({"std": [1.0] * 4}, r"std \(\[1\.0, 1\.0, 1\.0, 1\.0\]\) must have 3 numbers"),
        ({"names": []}, "names is empty"),
    ],
)
def test_what_is_not_supported_is_refused(
    values: dict[str, object], said: str, tmp_path: Path
) -> None:
    (tmp_path / "model.json").write_text(json.dumps(asdict(CONTRACT) | values))
    with pytest.raises(ValueError, match=rf"model\.json: not the contract of a model .*{said}"):
        read_contract(tmp_path / "model.json")


def test_a_contract_with_impossible_numbers() -> None:
    with pytest.raises(ValueError, match=r"frames \(0\) must be at least 1"):
        replace(CONTRACT, frames=0)
    with pytest.raises(ValueError, match=r"fps \(-1\) must be above 0"):
        replace(CONTRACT, fps=-1)


def test_rates_that_count_as_one() -> None:
    assert not CONTRACT.differs(30000 / 1001)
    assert CONTRACT.differs(25)
    assert not replace(CONTRACT, fps=None).differs(60)
    assert replace(CONTRACT, fps=None).seconds is None


def test_it_says_how_a_video_is_sampled() -> None:
    said = "clips of 4×2 frames at 30 Hz as in training, 0.20 s"
    assert CONTRACT.about_time == said
    assert "each video's own" in replace(CONTRACT, fps=None).about_time
    assert replace(CONTRACT, sampling="segments").about_time.startswith("4 frames spread")
