"""Residual branches that are left out at random, the later the more often.

Huang et al., Deep networks with stochastic depth, ECCV 2016: of L blocks, block l is left out with
the probability l/L of the last one. Per clip, and branches that stay are scaled up, so that
nothing is left to do in eval mode.
"""

from functools import partial

from torch import Tensor, nn
from torchvision.ops import stochastic_depth

from video_gc.backbones.stages import residual_blocks, residual_branch


def drop_branches(model: nn.Module, rate: float) -> dict[str, float]:
    """Leave out residual branches in training; returns the probability of each residual block.

    rate: of the last block; each pathway of SlowFast counts its own blocks. Context blocks that
    stand before the sum are left out with their branch, those after it are not.

    Raises ValueError where the network has no residual blocks.
    """
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
