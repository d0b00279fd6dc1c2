"""Stochastic depth: residual branches are dropped at random, later ones more often.

Huang et al., Deep networks with stochastic depth, ECCV 2016: of L blocks, block l is dropped with
l/L times the probability of the last one. Each clip is drawn separately, and kept branches are
scaled up, so eval mode needs no change.
"""

from functools import partial

from torch import Tensor, nn
from torchvision.ops import StochasticDepth, stochastic_depth

from video_gc.backbones.stages import residual_blocks, residual_branch


def drop_branches(model: nn.Module, rate: float) -> dict[str, float]:
    """Drop residual branches in training; returns the probability of each residual block.

    rate: of the last block; each pathway of SlowFast counts its own blocks. Context blocks before
    the sum are dropped with their branch, those after it are not. torchvision's EfficientNet and
    ConvNeXt have modules for this, which get the rates.

    Raises ValueError if the network has neither these nor residual blocks.
    """
    own = {n: m for n, m in model.named_modules() if isinstance(m, StochasticDepth)}
    for number, module in enumerate(own.values(), start=1):
        module.p = rate * number / len(own)
    if own:
        return {name: module.p for name, module in own.items()}
    blocks = residual_blocks(model)
    if not blocks:
        raise ValueError("stochastic depth: this network has no residual blocks")
    rates: dict[str, float] = {}
    for pathway in dict.fromkeys(_pathway(name) for name in blocks):
        names = [name for name in blocks if _pathway(name) == pathway]
        rates |= {name: rate * number / len(names) for number, name in enumerate(names, start=1)}
    for name, block in blocks.items():
        residual_branch(block).register_forward_hook(partial(drop_branch, rate=rates[name]))
    return rates


def drop_branch(
    module: nn.Module, _inputs: tuple[Tensor, ...], output: Tensor, *, rate: float
) -> Tensor:
    """Forward hook: zero the output of some clips, scale that of the others by 1 / (1 − rate)."""
    return stochastic_depth(output, rate, mode="row", training=module.training)


def _pathway(name: str) -> str:
    return name.rpartition("res")[0]
