"""Where the context blocks look: the pooling attention of GC and SNL over a clip."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from video_gc.blocks import GlobalContext
from video_gc.models.context import context_blocks


def attention_maps(model: nn.Module, clip: Tensor) -> dict[str, Tensor]:
    """The attention of every block with attention pooling, for a prepared clip (N, C, T, H, W).

    Name of the residual block → (N, T', H', W') at the resolution of its features; each map sums
    to 1 per clip. Empty where the network has no such block.
    """
    maps: dict[str, Tensor] = {}
    hooks = []
    for name, block in context_blocks(model).items():
        if isinstance(block, GlobalContext) and block.pool == "attention":

            def keep(module: nn.Module, inputs: tuple[Tensor, ...], name: str = name) -> None:
                assert isinstance(module, GlobalContext)
                maps[name] = module.attention(inputs[0])

            hooks.append(block.register_forward_pre_hook(keep))
    try:
        with torch.inference_mode():
            model(clip)
    finally:
        for hook in hooks:
            hook.remove()
    return maps


def stretch(attention: Tensor, shape: tuple[int, int, int]) -> Tensor:
    """One map (T', H', W') at the size (T, H, W) of the clip, scaled to 0…1 for drawing."""
    large = F.interpolate(attention[None, None], shape, mode="trilinear")[0, 0]
    low, high = large.min(), large.max()
    return (large - low) / (high - low).clamp(min=1e-12)
