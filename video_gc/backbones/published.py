"""pytorchvideo's Kinetics-400 weights: their addresses and networks."""

from dataclasses import dataclass

from pytorchvideo.models.hub import csn, r2plus1d, resnet, slowfast, x3d
from torchvision.models.video import R3D_18_Weights


@dataclass(frozen=True)
class Published:
    """One file of the model zoo."""

    url: str
    backbone: str
    depth: int
    frames: int
    stride: int
    """video frames between two frames of the clip"""
    side: int
    """short side and crop of the published test, in pixels"""


_URLS = (
    resnet.checkpoint_paths
    | slowfast.checkpoint_paths
    | x3d.checkpoint_paths
    | csn.checkpoint_paths
    | r2plus1d.checkpoint_paths
)
PUBLISHED: dict[str, Published] = {
    name: Published(_URLS[name], *network)
    for name, network in {
        "c2d_r50": ("c2d", 50, 8, 8, 256),
        "i3d_r50": ("i3d", 50, 8, 8, 256),
        "slow_r50": ("slow", 50, 8, 8, 256),
        "slowfast_r50": ("slowfast", 50, 32, 2, 256),
        "slowfast_r101": ("slowfast", 101, 32, 2, 256),
        "slowfast_16x8_r101_50_50": ("slowfast_16x8", 101, 64, 2, 256),
        "x3d_xs": ("x3d_s", 50, 4, 12, 182),
        "x3d_s": ("x3d_s", 50, 13, 6, 182),
        "x3d_m": ("x3d", 50, 16, 5, 256),
        "x3d_l": ("x3d_l", 50, 16, 5, 356),
        "csn_r101": ("csn", 101, 32, 2, 256),
        "r2plus1d_r50": ("r2plus1d", 50, 16, 4, 256),
    }.items()
}
"""Name in the model zoo → the file and its network."""

KINETICS400: list[str] = R3D_18_Weights.KINETICS400_V1.meta["categories"]
"""Class names in the order of all these weights."""

KINETICS_FPS = 30.0
"""Frame rate that the strides of these networks count in, Hz (PyTorchVideo's hub pages)."""
