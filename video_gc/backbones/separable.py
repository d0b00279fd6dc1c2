"""X3D, CSN and R(2+1)D: residual networks with separated 3D convolutions.

Feichtenhofer, CVPR 2020 (X3D); Tran et al., ICCV 2019 (CSN); Tran et al., CVPR 2018 (R(2+1)D); as
pytorchvideo publishes them, with logits in place of its softmax.
"""

from functools import partial

from pytorchvideo.models.csn import create_csn
from pytorchvideo.models.head import ResNetBasicHead
from pytorchvideo.models.r2plus1d import create_r2plus1d
from pytorchvideo.models.x3d import create_x3d
from torch import nn

from video_gc.backbones.heads import MeanProbability

STEM_CHANNELS = 64  # in a ResNet of width 1


def csn(*, num_classes: int, depth: int, stem_channels: int, dropout: float) -> nn.Module:
    """Channel-separated ResNet: depthwise 3×3×3 convolutions, striding in time from res3 on."""
    return create_csn(
        model_depth=depth,
        model_num_class=num_classes,
        dropout_rate=dropout,
        stem_dim_out=stem_channels,
        stem_pool=nn.MaxPool3d,
        head_pool_kernel_size=(4, 7, 7),
    )


def r2plus1d(*, num_classes: int, depth: int, stem_channels: int, dropout: float) -> nn.Module:
    """A 1×3×3 and a 3×1×1 convolution in place of each 3×3×3; striding in time in res4 and res5."""
    return _with_mean_probability(
        create_r2plus1d(
            model_depth=depth,
            model_num_class=num_classes,
            dropout_rate=dropout,
            stem_dim_out=stem_channels,
            head_activation=None,
        )
    )


def _x3d(
    depth_factor: float,
    side: int,
    *,
    num_classes: int,
    depth: int,
    stem_channels: int,
    dropout: float,
) -> nn.Module:
    if depth != 50:
        raise ValueError(f"depth ({depth}) has no effect on X3D; x3d is XS, S and M, x3d_l is L")
    return _with_mean_probability(
        create_x3d(
            input_clip_length=16,
            input_crop_size=side,
            model_num_class=num_classes,
            dropout_rate=dropout,
            width_factor=2.0 * stem_channels / STEM_CHANNELS,
            depth_factor=depth_factor,
            head_activation=None,
        )
    )


def _with_mean_probability(model: nn.Module) -> nn.Module:
    """The published networks average the probabilities of all places, not their logits."""
    head = next(m for m in model.modules() if isinstance(m, ResNetBasicHead))
    head.output_pool = MeanProbability()
    return model


x3d = partial(_x3d, 2.2, 224)
"""X3D-M; X3D-XS and S are the same network for clips of 4 and 13 frames."""
x3d_s = partial(_x3d, 2.2, 160)
"""X3D-XS and S with the window of their published test."""
x3d_l = partial(_x3d, 5.0, 312)
"""X3D-L: the same widths, more than twice the depth."""
