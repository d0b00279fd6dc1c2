"""What wraps the names of weights, and averaged weights beside others."""

import itertools
from pathlib import Path

import pytest
import torch
from torch import Tensor

from video_gc.backbones import build_backbone
from video_gc.models.weights import load_weights
from video_gc.models.weights.reading.read import read_weights, read_with_origin
from video_gc.models.weights.states import unwrapped

WRAPPERS = ("_orig_mod.", "module.", "model.", "net.")


def test_wrappers_in_any_order_and_number() -> None:
    for count in range(4):
        for stack in itertools.product(WRAPPERS, repeat=count):
            assert unwrapped("".join(stack) + "layer1.0.conv1.weight") == (
                "layer1.0.conv1.weight",
                False,
            )
    assert unwrapped("backbone._orig_mod.layer1.module.weight")[0] == "backbone.layer1.weight"
    assert unwrapped("model_ema.module.conv1.weight") == ("conv1.weight", True)
    assert unwrapped("net.ema_model.conv1.weight") == ("conv1.weight", True)
    for kept in ("blocks.0.conv.weight", "layer1.0.net.weight", "s1.pathway0_stem.bn.weight",
                 "emanate.weight", "module", "network1.weight"):  # fmt: skip
        assert unwrapped(kept) == (kept, False)


PREFIXES = ("", "_orig_mod.", "model.module.", "student.net._orig_mod.", "encoder.video.")
INSIDE = (None, "state_dict", "student")


@pytest.mark.parametrize(
    ("prefix", "inside"),
    [
        pytest.param(prefix, inside, marks=[] if row % 3 == column else pytest.mark.slow)
        for row, prefix in enumerate(PREFIXES)
        for column, inside in enumerate(INSIDE)
    ],
)
def test_a_network_is_found_wherever_it_lies(
    prefix: str, inside: str | None, tmp_path: Path
) -> None:
    source, target = (build_backbone("slow", width=0.0625, num_classes=3) for _ in range(2))
    state = {prefix + name: value for name, value in source.state_dict().items()}
    state["loss_weight"] = torch.ones(2)
    content = {"epoch": 1, inside: state, "optimizer": {"state": {0: torch.ones(2)}}}
    torch.save(content if inside else state, tmp_path / "w.pth")
    load_weights(target, tmp_path / "w.pth")
    assert same(target.state_dict(), source.state_dict())


AVERAGES = {
    "state_dict_ema": lambda raw, average: {"state_dict": raw, "state_dict_ema": average},
    "model_ema": lambda raw, average: {"model": raw, "model_ema": average},
    "ema, nested": lambda raw, average: {"model": raw, "ema": {"decay": 0.9, "shadow": average}},
    "ema_state": lambda raw, average: {"net": raw, "ema_state": {"module": average}},
    "names": lambda raw, average: {"state_dict": raw | under("ema_model.module.", average)},
    "names of ours": lambda raw, average: {
        "state_dict": under("model.", raw) | under("average.", average)
    },
    "mmengine": lambda raw, average: {
        "message_hub": {},
        "state_dict": average,
        "ema_state_dict": under("module.", raw) | {"steps": torch.tensor(3)},
    },
}


def under(prefix: str, state: dict[str, Tensor]) -> dict[str, Tensor]:
    return {prefix + name: value for name, value in state.items()}


def same(one: dict[str, Tensor], other: dict[str, Tensor]) -> bool:
    return {*one} == {*other} and all(torch.equal(one[name], other[name]) for name in one)


@pytest.mark.parametrize("form", AVERAGES)
def test_averaged_weights_by_choice(form: str, tmp_path: Path) -> None:
    raw, average = ({"conv1.weight": torch.randn(2), "fc.bias": torch.randn(3)} for _ in "12")
    torch.save(AVERAGES[form](raw, average), tmp_path / "w.pth")
    found = read_with_origin(tmp_path / "w.pth")
    assert (found.kind, found.kinds) == ("ema", ("ema", "raw"))
    for kind, state in (("ema", average), ("raw", raw)):
        chosen = read_with_origin(tmp_path / "w.pth", kind).state
        assert same({n: v for n, v in chosen.items() if n != "steps"}, state)


def test_an_average_of_parameters_takes_statistics_from_the_others(tmp_path: Path) -> None:
    raw = {"bn.weight": torch.zeros(2), "bn.running_mean": torch.ones(2)}
    torch.save(
        {"model": raw, "model_ema": {"bn.weight": torch.full((2,), 5.0)}}, tmp_path / "w.pth"
    )
    found = read_weights(tmp_path / "w.pth")
    assert found["bn.weight"].tolist() == [5, 5]
    assert found["bn.running_mean"].tolist() == [1, 1]


def test_a_kind_that_a_file_lacks(tmp_path: Path) -> None:
    torch.save({"conv1.weight": torch.ones(2)}, tmp_path / "raw.pth")
    with pytest.raises(ValueError, match="raw.pth: .*no ema weights, only raw"):
        read_with_origin(tmp_path / "raw.pth", "ema")


def test_two_networks_are_not_mixed(tmp_path: Path) -> None:
    one, other = ({"conv1.weight": torch.randn(2)} for _ in "12")
    torch.save({"student": one, "teacher": other}, tmp_path / "two.pth")
    with pytest.raises(ValueError, match="two.pth: .*several networks .student, teacher."):
        read_weights(tmp_path / "two.pth")
    torch.save(under("model.", one) | under("net.", other), tmp_path / "two.pth")
    with pytest.raises(ValueError, match="two.pth: .*several networks, with conv1.weight in two"):
        read_weights(tmp_path / "two.pth")
    torch.save(under("model.", one) | under("_orig_mod.model.", one), tmp_path / "twice.pth")
    assert same(read_weights(tmp_path / "twice.pth"), one)
    target = build_backbone("slow", width=0.0625, num_classes=3)
    state = target.state_dict()
    torch.save(under("student.", state) | under("teacher.", state), tmp_path / "two.pth")
    with pytest.raises(ValueError, match="two.pth: .*several networks .student., teacher.."):
        load_weights(target, tmp_path / "two.pth")


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf"), 1e300])
def test_weights_that_are_not_finite_name_file_and_layer(value: float, tmp_path: Path) -> None:
    target = build_backbone("slow", width=0.0625, num_classes=3)
    state = {name: tensor.clone() for name, tensor in target.state_dict().items()}
    layer = "blocks.2.res_blocks.1.branch2.norm_b.running_var"
    state[layer] = state[layer].double()
    state[layer][1] = value
    torch.save(state, tmp_path / "w.pth")
    reason = "too large for torch.float32" if value == 1e300 else "not finite"
    with pytest.raises(ValueError, match=f"w.pth: 1 of .* values of {layer} are {reason}"):
        load_weights(target, tmp_path / "w.pth")
