"""What is counted, against fvcore, torch's own counter, closed forms and the papers."""

import warnings
from functools import cache

import pytest
import torch
from fvcore.nn import ActivationCountAnalysis, FlopCountAnalysis
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from tests.blocks.variants import CLIP_VARIANTS, VARIANTS
from tests.conftest import slow
from video_gc.backbones import BACKBONES
from video_gc.blocks import build_block
from video_gc.models.build import ModelConfig, build_model
from video_gc.models.context import ContextConfig
from video_gc.models.counts import Complexity, complexity, count_modules, inside

UNCOUNTED = ("aten::batch_norm", "aten::layer_norm")
SHAPE = (4, 6, 8)


def network(backbone: str, **context: object) -> nn.Module:
    depth = 101 if "101" in backbone or backbone == "slowfast_16x8" else 50
    width = 1.0 if backbone == "image" else 0.125
    return build_model(
        ModelConfig(
            backbone=backbone, depth=depth, width=width, num_classes=10,
            context=ContextConfig(**context),
        )
    ).eval()  # fmt: skip


@pytest.mark.slow  # torch's counter on each block and the papers' networks are quick
@pytest.mark.parametrize("backbone", BACKBONES)
def test_every_module_has_fvcores_figures(backbone: str) -> None:
    """Criss-cross attention is of products that fvcore sees; blocks sit in the way of hooks."""
    model = network(backbone, kind="cc", after=["res3.0"], place="after_1x1")
    clip = torch.zeros(1, 3, 8, 32, 32)
    ours = count_modules(model, clip)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        flops, activations = FlopCountAnalysis(model, clip), ActivationCountAnalysis(model, clip)
        for analysis in (flops, activations):
            analysis.unsupported_ops_warnings(False).uncalled_modules_warnings(False)
        for operation in UNCOUNTED:  # as no paper does
            flops.set_op_handle(operation, lambda _inputs, _outputs: 0)
        theirs = flops.by_module(), activations.by_module()
    assert len(theirs[0]) > 100
    for own, counts in zip((ours.flops, ours.activations), theirs, strict=True):
        assert {name: inside(own, name) for name in counts} == dict(counts)


@pytest.mark.parametrize("name", VARIANTS | CLIP_VARIANTS)
def test_attention_of_every_form_of_a_block(name: str) -> None:
    """fvcore does not see all of it: torch's counter and the closed form do."""
    kind, options = (VARIANTS | CLIP_VARIANTS)[name]
    for plain in (False, True) if kind == "nl" else (None,):
        block = build_block(kind, 16, **options, **({} if plain is None else {"plain": plain}))
        x = torch.zeros(1, 16, *SHAPE)
        with FlopCounterMode(display=False) as theirs, torch.no_grad():
            block.eval()(x)
        counted = count_modules(block, x).flops.total()
        assert 2 * counted == theirs.get_total_flops()
        assert counted == block.multiply_adds(SHAPE)


def test_activations_of_attention_are_its_output_whatever_the_kernel() -> None:
    """θ, φ, g and W_z have P × (3 C/2 + C), the weighted mean P × C/2, the weights nothing."""
    positions = 4 * 6 * 8
    counts = count_modules(build_block("nl", 16), torch.zeros(1, 16, *SHAPE))
    assert counts.activations.total() == positions * (3 * 8 + 16 + 8)
    plain = count_modules(build_block("nl", 16, plain=True), torch.zeros(1, 16, *SHAPE))
    assert plain.activations.total() == positions * (3 * 8 + 16 + 8) + positions**2


class Doubled(torch.autograd.Function):
    @staticmethod
    def forward(_context: object, x: Tensor, weight: Tensor) -> Tensor:
        return 2 * (x @ weight)


class Odd(nn.Module):
    """Products that are easily missed: in a custom function, with vectors, where values matter."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(4, 5))

    def forward(self, x: Tensor) -> Tensor:
        out = Doubled.apply(x, self.weight) + torch.einsum("bi,io->bo", x, self.weight)
        out = out @ self.weight[0]  # (3, 5) × (5,)
        return out * int(out.sum() > -1e9)


def test_products_that_are_easily_missed() -> None:
    counts = count_modules(Odd(), torch.zeros(3, 4))
    assert counts.flops.total() == 2 * 3 * 4 * 5 + 3 * 5
    assert counts.activations.total() == 2 * 3 * 5 + 3


def test_counting_leaves_the_network_as_it_was() -> None:
    model = network("slow", kind="gc", after=["res3.1"], options={"reduction": 2}).train()
    hooks = [len(m._forward_hooks) + len(m._forward_pre_hooks) for m in model.modules()]
    mean = model.blocks[0].norm.running_mean.clone()
    complexity(model, (4, 32, 32))
    assert model.training
    assert hooks == [len(m._forward_hooks) + len(m._forward_pre_hooks) for m in model.modules()]
    assert torch.equal(model.blocks[0].norm.running_mean, mean)
    assert next(model.parameters()).device.type == "cpu"


NL, GC = (lambda c, p: 2 * p * c * c + p * p * c), (lambda c, p: 2 * c * p + c * c // 2)
FIVE = [(512, 6272)] * 2 + [(1024, 1568)] * 3
"""Channels and positions of the five blocks at 8×224²."""
ALL = [(512, 6272)] * 4 + [(1024, 1568)] * 6 + [(2048, 392)] * 3


@cache
def papers_cost(kind: str, after: str) -> Complexity:
    context = ContextConfig(kind=kind, after=[after])
    with torch.device("meta"):
        model = build_model(ModelConfig(backbone="slow", num_classes=400, context=context))
    return complexity(model, (8, 224, 224))


@pytest.mark.parametrize(
    ("kind", "after", "millions", "added"),
    [
        ("nl", "five", 39.81, sum(NL(c, p) for c, p in FIVE)),
        slow("snl", "five", 36.13, sum(2 * c * p + c * c for c, p in FIVE)),
        slow("gc", "five", 34.30, sum(GC(c, p) for c, p in FIVE)),
        ("gc", "all", 42.454992, sum(GC(c, p) for c, p in ALL)),
    ],
)
def test_the_papers_networks(kind: str, after: str, millions: float, added: int) -> None:
    """GCNet, table 6: 32.45, 39.81, 36.13, 34.30 and 42.45 M; 41.92 G by fvcore with its norms.

    The blocks' multiply-adds in closed form; in the paper 5 GC add 0.02 G, all of them 0.06 G.
    """
    plain, full = papers_cost("none", "none"), papers_cost(kind, after)
    assert plain.parameters == 32_454_096
    assert plain.flops / 1e9 == pytest.approx(41.74, abs=0.01)
    assert full.parameters / 1e6 == pytest.approx(millions, abs=0.005)
    assert full.flops - plain.flops == added
