"""A network that was made fast computes what it did before."""

import subprocess
import sys
from importlib.util import find_spec
from itertools import cycle

import pytest
import torch
from torch import Tensor, nn

from tests.conftest import randomise, slow
from video_gc.deploy.fold import fold_norms
from video_gc.deploy.inference_network import FixedSizes, choose, fast_network
from video_gc.models.build import ModelConfig, build_model
from video_gc.models.context import PLACES, ContextConfig

CPU = torch.device("cpu")
CLIP = (8, 32, 32)
QUICK = ("slowfast", "x3d")
BACKBONES = ("c2d", "i3d", "slow", "slowfast", "x3d", "csn", "r2plus1d")


def network(
    backbone: str = "slow", kind: str = "gc", place: str = "after_add", depth: int = 50
) -> nn.Module:
    """A small network whose norms have seen clips, so that their statistics are those of one."""
    torch.manual_seed(0)
    placed = backbone not in ("x3d", "csn", "r2plus1d")
    image = backbone == "image"
    after = ["features"] if image else ["five"] if depth == 50 else ["res3.*"]
    context = ContextConfig(kind=kind if placed else "none", place=place, after=after)
    model = build_model(
        ModelConfig(
            backbone=backbone,
            depth=depth,
            width={"x3d": 0.5, "image": 1.0}.get(backbone, 0.125),
            image_network="resnet18" if image else None,
            num_classes=7,
            dropout=0.0,
            context=context,
        )
    )
    for module in model.modules():
        if isinstance(module, (nn.BatchNorm3d, nn.BatchNorm2d)):
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.normal_(module.bias, std=0.2)
            module.momentum = None
        if "Context" in type(module).__name__:
            randomise(module)
    with torch.no_grad():
        model.train()(torch.randn(4, 3, *CLIP))
    return model.eval()


def difference(one: Tensor, other: Tensor) -> float:
    return float(((one - other).norm() / other.norm()).detach())


@pytest.mark.parametrize(
    "backbone",
    [name if name in QUICK else slow(name) for name in BACKBONES],
)
def test_folding_changes_nothing_but_rounding(backbone: str) -> None:
    model, clip = network(backbone).double(), torch.randn(1, 3, *CLIP).double()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    folded, count = fold_norms(model, clip)
    norms = [m for m in model.modules() if isinstance(m, nn.BatchNorm3d)]
    assert count == len(norms) > 40
    other = torch.randn(2, 3, *CLIP).double()
    with torch.no_grad():
        assert difference(folded(other), model(other)) < 1e-10
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())


@pytest.mark.parametrize(
    ("kind", "place"),
    [
        pytest.param(kind, place, marks=pytest.mark.slow if kind in ("snl", "se", "dnl") else [])
        for kind, place in zip(("gc", "snl", "se", "nl", "cc", "dnl"), cycle(PLACES), strict=False)
    ],
)
def test_folding_leaves_the_blocks_where_they_are(kind: str, place: str) -> None:
    model, clip = network("slow", kind, place), torch.randn(1, 3, *CLIP)
    folded, count = fold_norms(model, clip)
    assert count == 53  # the norms inside an nl block follow no convolution
    with torch.no_grad():
        assert difference(folded(2 * clip), model(2 * clip)) < 1e-4


class Odd(nn.Module):
    """Convolutions whose norms must not be folded, and one whose norm must."""

    def __init__(self) -> None:
        super().__init__()
        self.shared, self.one, self.two, self.hooked, self.plain = (
            nn.Conv3d(3, 3, 1) for _ in range(5)
        )
        norms = [nn.BatchNorm3d(3) for _ in range(5)]
        self.norm1, self.norm2, self.twice, self.norm3, self.norm4 = map(randomise, norms)
        self.hooked.register_forward_hook(lambda _module, _inputs, output: 2 * output)

    def forward(self, x: Tensor) -> Tensor:
        x = self.norm2(self.shared(self.norm1(self.shared(x))))
        x = self.twice(self.two(self.twice(self.one(x))))
        return self.norm4(self.plain(self.norm3(self.hooked(x)))).mean((2, 3, 4))


def test_what_is_called_twice_or_hooked_stays() -> None:
    model, clip = Odd().eval(), torch.randn(1, 3, 2, 4, 4)
    folded, count = fold_norms(model, clip)
    assert count == 1
    assert isinstance(folded.norm4, nn.Identity)
    assert difference(folded(2 * clip), model(2 * clip)) < 1e-5


class TwoReaders(nn.Module):
    """A convolution's output that the sum needs, too: folding would change it."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.norm = nn.Conv3d(3, 3, 1), randomise(nn.BatchNorm3d(3))

    def forward(self, x: Tensor) -> Tensor:
        x = self.conv(x)
        return (x + self.norm(x)).mean((2, 3, 4))


def test_a_fold_that_would_change_the_outputs_is_undone() -> None:
    model, clip = TwoReaders().eval(), torch.randn(1, 3, 2, 4, 4)
    folded, count = fold_norms(model, clip)
    assert count == 0
    assert torch.equal(folded(clip), model(clip))


@pytest.mark.parametrize("kind", ["gc", slow("nl")])
def test_bf16_is_close_to_fp32(kind: str) -> None:
    model, clips = network("slow", kind), torch.randn(3, 3, *CLIP)
    with torch.no_grad():
        wanted = model(clips)
    exact = fast_network(model, CLIP, device=CPU, precision="fp32")
    rough = fast_network(model, CLIP, device=CPU, precision="bf16")
    assert difference(exact(clips), wanted) < 1e-4
    with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16):
        common = difference(model(clips).float(), wanted)
    assert 1e-5 < difference(rough(clips), wanted) < 2.5 * common
    assert rough(clips).dtype == torch.float32
    assert rough.about == "bf16, eager, 53 norms folded, cpu"
    assert next(model.parameters()).dtype == torch.float32


def test_fixed_sizes_split_and_fill_up() -> None:
    made, calls = [], []

    def make(size: int):  # type: ignore[no-untyped-def]
        made.append(size)

        def run(clips: Tensor) -> Tensor:
            calls.append(len(clips))
            assert len(clips) == size
            return clips.flatten(1).sum(1, keepdim=True)

        return run

    network = FixedSizes(make, 4)
    clips = torch.randn(10, 3, 2, 2, 2)
    torch.testing.assert_close(network(clips), clips.flatten(1).sum(1, keepdim=True))
    assert calls == [4, 4, 4]
    torch.testing.assert_close(network(clips[:1]), clips[:1].flatten(1).sum(1, keepdim=True))
    assert made == [4, 1]


def test_choices(monkeypatch: pytest.MonkeyPatch) -> None:
    assert choose(CPU, "fp32", "auto") == ("fp32", "eager")
    assert choose(CPU, "auto", "auto")[0] in ("fp32", "bf16")
    with pytest.raises(ValueError, match=r"precision \('fp16'\) must be one of auto, fp32, bf16"):
        choose(CPU, "fp16", "auto")
    with pytest.raises(ValueError, match=r"backend \('onnx'\) must be one of"):
        choose(CPU, "auto", "onnx")
    with pytest.raises(ValueError, match="runs on the CPU, not on cuda"):
        choose(torch.device("cuda"), "fp32", "openvino")
    monkeypatch.setattr("video_gc.extras.find_spec", lambda name: None)
    with pytest.raises(ImportError, match=r'pip install "video_gc\[openvino\]"'):
        choose(CPU, "auto", "openvino")


@pytest.mark.skipif(find_spec("openvino") is None, reason="openvino is not installed")
@pytest.mark.parametrize("kind", ["gc", "nl", slow("cc"), slow("dnl")])
def test_openvino_agrees(kind: str) -> None:
    model, clips = network("slow", kind), torch.randn(3, 3, *CLIP)
    with torch.no_grad():
        wanted = model(clips)
    fast = fast_network(
        model, CLIP, device=CPU, precision="fp32", backend="openvino", micro_batch=2
    )
    assert "openvino" in sys.modules or fast.backend == "openvino"
    assert difference(fast(clips), wanted) < 1e-3


SIGNAL = """
import gc, os, signal, threading, torch
from video_gc.deploy.openvino import compile_openvino
seen = []
signal.signal(signal.SIGUSR1, lambda *_: seen.append(1))
runs = [compile_openvino(torch.nn.Conv3d(3, 2, 1), (2, 4, 4), 1, precision="fp32")]
runs[0](torch.zeros(1, 3, 2, 4, 4))
gc.collect()
dropping = threading.Thread(target=runs.clear)
dropping.start()
dropping.join()
os.kill(os.getpid(), signal.SIGUSR1)
print(seen)
"""


@pytest.mark.slow
@pytest.mark.skipif(find_spec("openvino") is None, reason="openvino is not installed")
def test_a_signal_after_openvino_does_not_kill_the_process() -> None:
    done = subprocess.run([sys.executable, "-c", SIGNAL], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, "[1]\n")


@pytest.mark.slow
def test_compile_agrees() -> None:
    model, clips = network(), torch.randn(3, 3, *CLIP)
    with torch.no_grad():
        wanted = model(clips)
    fast = fast_network(model, CLIP, device=CPU, precision="fp32", backend="compile", micro_batch=2)
    assert difference(fast(clips), wanted) < 1e-3
