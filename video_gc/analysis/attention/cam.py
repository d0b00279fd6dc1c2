"""Class-activation maps by captum: which positions speak for a class.

Selvaraju et al., "Grad-CAM", ICCV 2017: the features of a layer, weighted by the mean gradient of
the class's logit over each channel, summed over channels, negative sums dropped.
"""

from importlib.util import find_spec
from typing import cast

import torch
from torch import Tensor, nn

from video_gc.backbones.stages import residual_blocks

INSTALL = "pip install 'video_gc[cam]'"


def has_captum() -> bool:
    """Whether captum is installed."""
    return find_spec("captum") is not None


def check_captum() -> None:
    """Raise ImportError with the install line where captum is missing."""
    if not has_captum():
        raise ImportError(f"class activation needs captum: {INSTALL}")


def class_activation(
    model: nn.Module, clips: Tensor, classes: Tensor, layer: str | None = None
) -> Tensor:
    """How much each position speaks for a class: clips (N, C, T, H, W) → (N, T', H', W'), ≥ 0.

    classes: (N,) class numbers. layer: a residual block such as `res5.2`, with its context block;
    the last one (of the slow pathway, where there are two) by default.

    Raises ImportError with the install line where captum is missing, ValueError for no such block.
    """
    check_captum()
    from captum.attr import LayerGradCam

    blocks = residual_blocks(model)
    layer = layer or [name for name in blocks if not name.startswith("fast.")][-1]
    if layer not in blocks:
        raise ValueError(f"layer ({layer!r}) must be one of {', '.join(blocks)}")
    with torch.inference_mode(False), torch.enable_grad():
        own = clips.detach().clone().requires_grad_()  # a network may be frozen as a whole
        maps = LayerGradCam(model, blocks[layer]).attribute(
            own, target=classes, relu_attributions=True
        )
    return cast(Tensor, maps).detach()[:, 0]
