"""Blocks and backbones on the device against the CPU: outputs and gradients.

The CPU computes blocks in fp64 and backbones in fp32, for it takes many times as long in fp64.
"""

import copy
from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from benchmarks.gpu_steps.rates import PRECISIONS, tf32
from benchmarks.gpu_steps.schedule import Row
from benchmarks.parts.measurement import LAYOUTS, reason, table
from video_gc.backbones import BACKBONES, build_backbone
from video_gc.blocks import BLOCKS, build_block
from video_gc.train.recipe.bf16_on_cpu import sound_bf16

CASES: dict[str, tuple[str, dict[str, Any]]] = {
    **{kind: (kind, {}) for kind in BLOCKS},
    "nl, dot product": ("nl", {"pairwise": "dot_product"}),
    "nl, concatenation": ("nl", {"pairwise": "concatenation"}),
    "nl, gaussian": ("nl", {"pairwise": "gaussian"}),
    "nl, pool 1×2×2": ("nl", {"pool": [1, 2, 2]}),
    "nl, space": ("nl", {"span": "space"}),
}
DEEP = ("slowfast_16x8", "slowfast_r101_50_101", "slowfast_4x16_linear_r101_r50")
REHEARSED = ("c2d", "slow", "slowfast", "bag")
BOUNDS = {
    "block": {"fp32": (1e-5, 1e-4), "tf32": (4e-3, 1e-2), "bf16": (2e-2, 5e-2)},
    "backbone": {"fp32": (1e-4, 5e-2), "tf32": (5e-2, 0.5), "bf16": (0.3, 2.0)},
}
"""Relative errors of output and gradients that are right: some times those of a CPU, which in bf16
made up to 0.1 and 1 in backbones of these sizes. A ReLU that rounding turns on or off changes a
gradient by much; a wrong kernel made 1e20. Gradients of zeros make 1 and those of the wrong sign
2, so all together must also point the right way: `cosine`, above 0."""
SMALL = 0.1
"""A gradient below this share of the largest one is measured against that share: some are zero."""

BRANCH = 0.2
"""Scale of each residual branch. Trained networks have small ones; with 1, fifty layers of random
weights double every error a few times."""


def measure(device: str, _deadline: float) -> Iterator[Row]:
    """One finding for each block in both layouts and each backbone, in each precision."""
    where = torch.device(device)
    gpu = where.type == "cuda"
    shape = (2, 256, 8, 14, 14) if gpu else (2, 32, 2, 6, 6)
    for name, (kind, options) in CASES.items():
        build = partial(build_block, kind, shape[1], **options)
        yield from findings("block", name, build, shape, where)
    width, side = (0.25, 64) if gpu else (0.125, 32)
    for name in BACKBONES if gpu else REHEARSED:
        build = partial(network, name, width)
        frames = 32 if name.startswith("slowfast") else 8
        yield from findings("backbone", name, build, (2, 3, frames, side, side), where)


def network(name: str, width: float) -> nn.Module:
    """A small network of that backbone, of depth 101 if it comes in no other."""
    if name == "image":
        return build_backbone(name, num_classes=20)
    return build_backbone(name, num_classes=20, width=width, depth=101 if name in DEEP else 50)


def findings(
    what: str, name: str, build: Any, shape: tuple[int, ...], device: torch.device
) -> Iterator[Row]:
    """The errors of a module in each layout and precision."""
    try:
        torch.manual_seed(0)
        x = torch.randn(shape)
        module = drawn(build()) if what == "block" else calibrated(build(), x)
        module.eval()
        into = torch.randn(module(x).shape)
        exact = torch.float64 if what == "block" else torch.float32
        right = passes(copy.deepcopy(module).to(exact), x.to(exact), into.to(exact))
    except Exception as error:  # any error is a finding
        yield {"what": what, "name": name, "error": reason(error)}
        return
    module.to(device)
    for layout, memory in LAYOUTS.items():
        if what == "backbone" and layout == "contiguous":
            continue  # all our commands run them channels-last
        there = x.to(device).contiguous(memory_format=memory)
        for precision, dtype in PRECISIONS.items():
            row = {"what": what, "name": name, "layout": layout, "precision": precision}
            try:
                with tf32(precision == "tf32"):
                    found = passes(module, there, into.to(device), dtype)
                yield row | judged(found, right, BOUNDS[what][precision])
            except Exception as error:  # any error is a finding
                yield row | {"error": reason(error)}


def drawn(module: nn.Module) -> nn.Module:
    """Draw every parameter, so that no zero hides a wrong formula; factors as Kaiming's."""
    with torch.no_grad():
        for name, parameter in module.named_parameters():
            if parameter.ndim > 1:
                nn.init.normal_(parameter, std=parameter[0].numel() ** -0.5)
            elif name.endswith("bias"):
                nn.init.normal_(parameter, std=0.1)
            else:
                nn.init.uniform_(parameter, 0.5, 1.5)
    return module


def calibrated(network: nn.Module, clips: Tensor) -> nn.Module:
    """Draw the norms, and set their statistics to those of the clips."""
    for name, module in network.named_modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm):
            scale = BRANCH if name.endswith(("norm_c", "bn3")) else 1.0
            nn.init.uniform_(module.weight, 0.5 * scale, 1.5 * scale)
            nn.init.normal_(module.bias, std=0.2)
            module.momentum = None
        elif isinstance(module, nn.Dropout):
            module.p = 0.0
    with torch.no_grad():
        network.train()(clips)
    return network


def passes(
    module: nn.Module, x: Tensor, into: Tensor, dtype: torch.dtype | None = None
) -> list[Tensor]:
    """The output, and the gradients of Σ output · into, moved to the CPU and to fp64.

    dtype: of autocast's products, bf16; otherwise those of the tensors.
    """
    x = x.detach().clone(memory_format=torch.preserve_format).requires_grad_()
    low = dtype == torch.bfloat16
    sound = sound_bf16(x.device, low=low)  # as in training
    with torch.autocast(x.device.type, torch.bfloat16, enabled=low), sound:
        out = module(x)
    sources = [x, *module.parameters()]
    gradients = torch.autograd.grad((out * into).sum(), sources, allow_unused=True)
    return [t.detach().cpu().double() for t in (out, *gradients) if t is not None]


def judged(found: Sequence[Tensor], right: Sequence[Tensor], bounds: tuple[float, float]) -> Row:
    """The relative error of the output, the largest of the gradients', and the cosine between all
    gradients and the right ones."""
    output = float((found[0] - right[0]).norm() / right[0].norm())
    least = SMALL * max(float(gradient.norm()) for gradient in right[1:])
    gradients = _largest(
        float((a - b).norm()) / max(float(b.norm()), least)
        for a, b in zip(found[1:], right[1:], strict=True)
    )
    one, other = (torch.cat([gradient.flatten() for gradient in of[1:]]) for of in (found, right))
    cosine = float(F.cosine_similarity(one, other, dim=0))
    fine = output <= bounds[0] and gradients <= bounds[1] and cosine > 0  # false for NaN
    return {"output": output, "gradients": gradients, "cosine": cosine, "bounds": list(bounds),
            "right": fine}  # fmt: skip


def _largest(errors: Iterable[float]) -> float:
    """NaN if one is NaN, which max() overlooks unless it comes first."""
    return float(torch.tensor(list(errors), dtype=torch.float64).max())


def lines(rows: Sequence[Row]) -> list[str]:
    """Markdown: a line per module, the larger error of the layouts."""
    heads = ["", *PRECISIONS]
    cells = []
    for what, name in dict.fromkeys((row["what"], row["name"]) for row in rows):
        mine = [row for row in rows if (row["what"], row["name"]) == (what, name)]
        cells.append([f"{what} {name}", *(_cell(mine, precision) for precision in PRECISIONS)])
    return ["Relative errors: output; gradients.", "", *table(heads, cells)]


def _cell(rows: Sequence[Row], precision: str) -> str:
    mine = [row for row in rows if row.get("precision", precision) == precision]
    if errors := [row["error"] for row in mine if "error" in row]:
        return f"**{errors[0]}**"
    if not mine:
        return ""
    output, gradients = (_largest(row[name] for row in mine) for name in ("output", "gradients"))
    text = f"{output:.0e}; {gradients:.0e}"
    return text if all(row["right"] for row in mine) else f"**{text}**"
