"""C2D, I3D and Slow-only ResNets, as pytorchvideo, PySlowFast and MMAction2 publish them.

Wang et al., CVPR 2018 (C2D and inflated I3D ResNets); Feichtenhofer et al., ICCV 2019 (Slow-only).
"""

from functools import partial
from typing import Any

from pytorchvideo.models.resnet import create_resnet
from pytorchvideo.models.stem import ResNetBasicStem
from torch import nn


def c2d(**arguments: Any) -> nn.Module:
    """No temporal convolution; one temporal max-pool after res2."""
    return _resnet((1, 7, 7), ((1, 1, 1),) * 4, **{"stage1_pool": nn.MaxPool3d} | arguments)


def c2d_nopool(**arguments: Any) -> nn.Module:
    """C2D of Caffe2's published file and of MMAction2's "nopool": only the head combines frames."""
    return c2d(stage1_pool=None, head_pool_kernel_size=(8, 7, 7), **arguments)


def c2d_unpadded(**arguments: Any) -> nn.Module:
    """C2D of MMAction2: the max-pool of its stem has no padding."""
    model = c2d(head_pool=nn.AdaptiveAvgPool3d, **arguments)
    stem = next(m for m in model.modules() if isinstance(m, ResNetBasicStem))
    assert isinstance(stem.pool, nn.MaxPool3d)
    stem.pool.padding = (0, 0, 0)
    return model


def i3d(*, conv_a: tuple[Any, ...] | None = None, **arguments: Any) -> nn.Module:
    """Temporal kernels of 5 in the stem and 3 in every, or every other, first 1×1 convolution.

    conv_a: other kernels of the first convolutions, by stage.
    """
    alternating = (
        (3, 1, 1),
        [(3, 1, 1), (1, 1, 1)],
        [(3, 1, 1), (1, 1, 1)],
        [(1, 1, 1), (3, 1, 1)],
    )
    return _resnet((5, 7, 7), conv_a or alternating, stage1_pool=nn.MaxPool3d, **arguments)


i3d_32x2 = partial(
    i3d, stem_conv_stride=(2, 2, 2), stem_pool_stride=(2, 2, 2), head_pool=nn.AdaptiveAvgPool3d
)
"""MMAction2's I3D for clips of 32 frames: the stem reduces 32 frames to 8."""
i3d_heavy = partial(i3d, conv_a=((3, 1, 1),) * 4, head_pool=nn.AdaptiveAvgPool3d)
"""I3D-heavy of MMAction2: temporal kernels in every block, and no stride in time in the stem."""


def i3d_3x3x3(**arguments: Any) -> nn.Module:
    """I3D with temporal kernels in the middle convolution: 3×3×3 in place of 3×1×1 and 1×3×3.

    Wang et al., "Non-local Neural Networks", CVPR 2018: the wider of the two ways to inflate.
    """
    model = i3d(**arguments)
    for block in model.modules():
        branch = getattr(block, "branch2", None)
        if branch is not None and branch.conv_a.kernel_size[0] == 3:
            branch.conv_a = _with_time(branch.conv_a, 1)
            branch.conv_b = _with_time(branch.conv_b, 3)
    return model


def _with_time(conv: nn.Conv3d, size: int) -> nn.Conv3d:
    """A fresh convolution like `conv`, with a kernel of `size` frames."""
    _, height, width = conv.kernel_size
    fresh = nn.Conv3d(
        conv.in_channels,
        conv.out_channels,
        (size, height, width),
        stride=conv.stride,  # type: ignore[arg-type]
        padding=(size // 2, *conv.padding[1:]),
        bias=False,
    )
    nn.init.kaiming_normal_(fresh.weight, mode="fan_out", nonlinearity="relu")
    return fresh


def slow(**arguments: Any) -> nn.Module:
    """Temporal kernels of 3 in res4 and res5 only; no temporal striding."""
    conv_a = ((1, 1, 1), (1, 1, 1), (3, 1, 1), (3, 1, 1))
    return _resnet((1, 7, 7), conv_a, head_pool_kernel_size=(8, 7, 7), **arguments)


def _resnet(
    stem_kernel: tuple[int, int, int],
    conv_a: tuple[Any, ...],
    *,
    num_classes: int,
    depth: int,
    stem_channels: int,
    dropout: float,
    **more: Any,
) -> nn.Module:
    """more: arguments of pytorchvideo's create_resnet."""
    return create_resnet(
        model_depth=depth,
        model_num_class=num_classes,
        dropout_rate=dropout,
        stem_dim_out=stem_channels,
        stem_conv_kernel_size=stem_kernel,
        stage_conv_a_kernel_size=conv_a,
        **more,
    )
