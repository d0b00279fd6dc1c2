"""Image networks on every frame of a clip: (N, 3, T, H, W) in, logits (N, classes) out.

Each layer for images becomes one for clips, with a kernel of one frame. So each frame has the
features that the image network gives it, a context block sees all their positions T·H·W, and only
it and the mean before the classifier combine frames (the average of TSN: Wang et al., ECCV 2016).
"""

import difflib
from copy import deepcopy
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torchvision import models
from torchvision.models.convnext import CNBlock, LayerNorm2d
from torchvision.ops import Permute, StochasticDepth

from video_gc.backbones.heads import ClipMean

USUAL = "resnet50"
FITTING = "resnet, resnext, wide_resnet, regnet, efficientnet, mobilenet_v3 and convnext"
CLIP = (3, 2, 64, 64)
"""C, T, H, W of the clip on which the two networks are compared."""
CLOSE = 1e-3
"""Allowed relative difference of their features; rounding alone makes about 1e-6."""


class ChannelNorm(nn.LayerNorm):
    """Layer norm over the channels of (N, C, *positions)."""

    def forward(self, x: Tensor) -> Tensor:
        """The same shape."""
        return super().forward(x.movedim(1, -1)).movedim(-1, 1)


FOR_CLIPS: dict[type, tuple[type, dict[str, int | None]]] = {
    nn.Conv2d: (nn.Conv3d, {"kernel_size": 1, "stride": 1, "padding": 0, "dilation": 1}),
    nn.BatchNorm2d: (nn.BatchNorm3d, {}),
    LayerNorm2d: (ChannelNorm, {}),
    nn.MaxPool2d: (nn.MaxPool3d, {"kernel_size": 1, "stride": 1, "padding": 0, "dilation": 1}),
    nn.AvgPool2d: (nn.AvgPool3d, {"kernel_size": 1, "stride": 1, "padding": 0}),
    nn.AdaptiveAvgPool2d: (nn.AdaptiveAvgPool3d, {"output_size": None}),  # squeeze-excitation's
}
"""Layer for images → layer for clips, and the sizes of its window in time."""


def image(
    *, num_classes: int, depth: int, stem_channels: int, dropout: float, image_network: str
) -> nn.Module:
    """One of torchvision's image networks, with a new classifier.

    Raises ValueError for a depth or width, and for a network that cannot take clips.
    """
    if (depth, stem_channels) != (50, 64):
        raise ValueError(
            "depth and width have no effect on image; image_network chooses the size of the network"
        )
    try:
        network = models.get_model(image_network, weights=None)
    except NotImplementedError:  # RegNet computes its widths with tensors, and meta ones have none
        with torch.device("cpu"):
            network = models.get_model(image_network, weights=None)
        network.to(torch.get_default_device())
    try:
        return take_clips(network, num_classes=num_classes, dropout=dropout, name=image_network)
    except ValueError as error:
        raise ValueError(
            f"image_network ({image_network!r}): {error}; torchvision's {FITTING} fit"
        ) from error


def image_network_of(backbone: str, chosen: str | None = None) -> str | None:
    """torchvision's name of the network in `image`; None for other backbones.

    Raises ValueError for an unknown name.
    """
    if backbone != "image":
        if chosen is not None:
            raise ValueError(f"image_network ({chosen!r}) is an option of image, not of {backbone}")
        return None
    known = models.list_models(module=models)
    if chosen is not None and chosen not in known:
        near = difflib.get_close_matches(chosen, known, 3, 0.4) or [USUAL]
        raise ValueError(
            f"image_network ({chosen!r}) is no image classifier of torchvision.models; "
            f"did you mean {' or '.join(near)}?"
        )
    return chosen or USUAL


def take_clips(
    network: nn.Module, *, num_classes: int, dropout: float = 0.5, name: str | None = None
) -> nn.Module:
    """Let an image network take clips, and give it a new classifier; in place. Returns it.

    It must end with nn.AdaptiveAvgPool2d(1) and nn.Linear, and use layers of torch.nn and
    functions for any number of axes. Names and weights stay; stochastic depth is turned off.

    dropout: probability before the classifier. name: in torchvision, for published weights.

    Raises ValueError for a network without such a pooling, or with other features for a frame of
    a clip than for that frame as an image.
    """
    layers = dict(network.named_modules())
    pools = [n for n, m in layers.items() if isinstance(m, nn.AdaptiveAvgPool2d) and _whole(m)]
    linears = [n for n, m in layers.items() if isinstance(m, nn.Linear)]
    if not pools or not linears:
        raise ValueError(
            "it has no nn.AdaptiveAvgPool2d(1) between a map of features and nn.Linear"
        )
    pool, last = pools[-1], linears[-1]
    weight = next(network.parameters())
    random = torch.Generator().manual_seed(0)
    clip = torch.rand((1, *CLIP), generator=random, device="cpu").to(weight)
    expected = _features(network, pool, clip[0].transpose(0, 1))
    for layer in layers.values():
        _for_clips(layer)
    network.set_submodule(pool, ClipMean(expected.shape[1], name))
    _new_classifier(network, last, num_classes, dropout)
    found = _features(network, pool, clip)[0].transpose(0, 1)
    same = found.shape == expected.shape
    if same and not weight.is_meta:
        same = bool((found - expected).norm() <= CLOSE * expected.norm())
    if not same:
        raise ValueError("its code mixes the frames of a clip")
    trained = _run(deepcopy(network).to("meta").train(), clip.new_empty(2, *CLIP, device="meta"))
    if not isinstance(trained, Tensor) or trained.shape != (2, num_classes):
        raise ValueError("in training it gives more than logits")
    return network


def _whole(pool: nn.AdaptiveAvgPool2d) -> bool:
    return pool.output_size in (1, (1, 1))


def _features(network: nn.Module, pool: str, x: Tensor) -> Tensor:
    """The input of the network's pooling, in eval mode."""
    seen: list[Tensor] = []
    copied = deepcopy(network).eval()
    copied.get_submodule(pool).register_forward_pre_hook(
        lambda _module, given: seen.append(given[0])
    )
    _run(copied, x)
    return seen[-1]


def _run(network: nn.Module, x: Tensor) -> Any:
    try:
        with torch.no_grad():
            return network(x)
    except (RuntimeError, ValueError, TypeError, IndexError) as error:
        what = "clips" if x.ndim == 5 else f"images of {CLIP[2]}×{CLIP[3]} pixels"
        raise ValueError(f"its code takes no {what} ({str(error).splitlines()[0]:.99})") from error


def _new_classifier(network: nn.Module, path: str, classes: int, dropout: float) -> None:
    """Replace the linear layer at `path`; a dropout goes before it unless the network has one."""
    old = network.get_submodule(path)
    assert isinstance(old, nn.Linear)
    layers = list(network.modules())
    before = layers[layers.index(old) - 1]
    new = nn.Linear(old.in_features, classes, device=old.weight.device, dtype=old.weight.dtype)
    nn.init.normal_(new.weight, std=0.01)  # as pytorchvideo's
    nn.init.zeros_(new.bias)
    network.set_submodule(path, new.train(old.training))
    if isinstance(before, nn.Dropout):
        before.p = dropout
    else:
        new.register_forward_pre_hook(partial(drop_features, rate=dropout))


def drop_features(
    classifier: nn.Module, inputs: tuple[Tensor, ...], *, rate: float
) -> tuple[Tensor, ...]:
    """Forward pre-hook: dropout before the classifier, in training."""
    return (F.dropout(inputs[0], rate, classifier.training),)


def _for_clips(layer: nn.Module) -> None:
    """Change a layer for images into the one that treats each frame so; others stay."""
    kind, windows = FOR_CLIPS.get(type(layer), (type(layer), {}))
    layer.__class__ = kind  # parameters, statistics and hooks stay
    for name, in_time in windows.items():
        size = getattr(layer, name)
        if not isinstance(size, str):  # padding can be "same"
            two = size if isinstance(size, tuple | list) else (size, size)
            setattr(layer, name, (in_time, *two))
    if isinstance(layer, nn.Conv3d):
        layer.weight = nn.Parameter(layer.weight.detach().unsqueeze(2))
    elif isinstance(layer, CNBlock):
        layer.layer_scale = nn.Parameter(layer.layer_scale.detach()[None, :, None])
    elif isinstance(layer, Permute):  # T stays before H
        axes: list[int] = [axis + (axis > 1) for axis in layer.dims]
        axes.insert(axes.index(3), 2)
        layer.dims = axes
    elif isinstance(layer, StochasticDepth):
        layer.p = 0.0
