"""Bag networks: residual networks whose logits are a mean of what small neighbourhoods show.

Brendel & Bethge, "Approximating CNNs with Bag-of-local-Features models works surprisingly well on
ImageNet", ICLR 2019, in 3-D. Kernels of more than one position end after a chosen part of the
network, and so do strides. Then everything that tells two clips apart by a relation of far-apart
places or times has to pass through the context blocks.

Borders: convolutions repeat the outermost positions and the max-pool ignores what is outside, so on
an unchanging ground a position at the border computes what any other does. Zeros would mark it.
"""

from functools import partial

from pytorchvideo.models.head import create_res_basic_head
from pytorchvideo.models.net import Net
from pytorchvideo.models.resnet import create_bottleneck_block, create_res_stage
from pytorchvideo.models.stem import create_res_basic_stem
from torch import nn

from video_gc.backbones.stages import BLOCKS_PER_STAGE, STAGES

PARTS = ("stem", *STAGES)


def bag(
    *,
    num_classes: int,
    depth: int,
    stem_channels: int,
    dropout: float,
    kernels_until: str,
) -> nn.Module:
    """A ResNet whose kernels end after `kernels_until`: stem, or one of res2 … res5.

    The stem halves T (a kernel of 5 frames) and quarters H and W. Stages up to `kernels_until` are
    those of I3D-heavy: kernels of 3×1×1 and 1×3×3, half of H and W from res3 on. The others see
    one position and keep the size of the map.

    depth: 11 (without res5), 14, 26, 50 or 101; stages and weights have the names that they have in
    I3D.

    Raises ValueError if `kernels_until` is a stage that the depth lacks.
    """
    conv = partial(nn.Conv3d, padding_mode="replicate")
    parts = [
        create_res_basic_stem(
            in_channels=3,
            out_channels=stem_channels,
            conv=conv,
            conv_kernel_size=(5, 7, 7),
            conv_stride=(2, 2, 2),
            conv_padding=(2, 3, 3),
            pool_kernel_size=(1, 3, 3),
            pool_stride=(1, 2, 2),
            pool_padding=(0, 1, 1),
        )
    ]
    last = PARTS.index(kernels_until)
    if last and not BLOCKS_PER_STAGE[depth][last - 1]:
        raise ValueError(f"kernels_until ({kernels_until!r}): depth {depth} has no such stage")
    entering, inner = stem_channels, stem_channels
    for number, blocks in enumerate(filter(None, BLOCKS_PER_STAGE[depth]), start=1):
        size = 3 if number <= last else 1
        kernels = conv if size > 1 else nn.Conv3d  # 1×1×1 would copy its input to pad it by nothing
        stride = 2 if 1 < number <= last else 1
        parts.append(
            create_res_stage(
                depth=blocks,
                dim_in=entering,
                dim_inner=inner,
                dim_out=4 * inner,
                bottleneck=create_bottleneck_block,
                conv_a=kernels,
                conv_a_kernel_size=(size, 1, 1),
                conv_a_stride=(1, 1, 1),
                conv_a_padding=(size // 2, 0, 0),
                conv_b=kernels,
                conv_b_kernel_size=(1, size, size),
                conv_b_stride=(1, stride, stride),
                conv_b_padding=(0, size // 2, size // 2),
            )
        )
        entering, inner = 4 * inner, 2 * inner
    head = create_res_basic_head(
        in_features=entering,
        out_features=num_classes,
        pool=nn.AvgPool3d,
        pool_kernel_size=(1, 1, 1),
        dropout_rate=dropout,
    )
    return Net(blocks=nn.ModuleList([*parts, head]))
