"""How much of a clip one position of a network's last map sees, without its context blocks."""

from pytorchvideo.models.head import ResNetBasicHead
from torch import nn

from video_gc.backbones.heads import ClipMean
from video_gc.backbones.stages import residual_blocks

SHORTCUTS = ("branch1_conv", "downsample.0")


def receptive_field(backbone: nn.Module) -> tuple[int, int, int] | None:
    """Frames, rows and columns of the input that one position before the head depends on.

    1 + Σ (kernel - 1) · (product of the strides before), along the residual branches. Smaller at
    the borders, and larger than the clip where a network sees all of it.

    None where it is no such box (two pathways, squeeze-excitation in X3D), and for networks other
    than pytorchvideo's and torchvision's ResNets.
    """
    own = {n: m for n, m in backbone.named_modules() if "context" not in n.split(".")}
    head = next((m for m in own.values() if isinstance(m, ResNetBasicHead | ClipMean)), None)
    gated = any(isinstance(module, nn.Sigmoid) for module in own.values())
    if head is None or gated or "res2.0" not in residual_blocks(backbone):
        return None
    size, step = [1, 1, 1], [1, 1, 1]
    for name, layer in own.items():
        if layer is head:
            break
        if not isinstance(layer, nn.Conv3d | nn.MaxPool3d) or name.endswith(SHORTCUTS):
            continue
        for axis, (kernel, stride) in enumerate(
            zip(_three(layer.kernel_size), _three(layer.stride), strict=True)
        ):
            size[axis] += (kernel - 1) * step[axis]
            step[axis] *= stride
    return size[0], size[1], size[2]


def _three(sizes: int | tuple[int, ...]) -> tuple[int, ...]:
    return (sizes,) * 3 if isinstance(sizes, int) else sizes
