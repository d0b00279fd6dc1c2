"""Published and own weights into a model, with an account of every parameter."""

import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.error import URLError

import torch
from torch import Tensor, nn
from torch.hub import load_state_dict_from_url
from torchvision.models import ResNet50_Weights, ResNet101_Weights

from video_gc.backbones.published import PUBLISHED
from video_gc.backbones.stages import residual_blocks

IMAGENET: dict[int, str] = {
    50: ResNet50_Weights.IMAGENET1K_V1.url,
    101: ResNet101_Weights.IMAGENET1K_V1.url,
}
"""torchvision's ImageNet ResNets, to be inflated: depth → URL."""

State = dict[str, Tensor]


@dataclass(frozen=True)
class WeightReport:
    """What became of every parameter, by name."""

    loaded: list[str]
    new: list[str]
    """in the model only, or of another class count: left as initialised"""
    resized: list[str]
    """loaded after inflation in time or into the leading channels"""
    unused: list[str]
    """in the file only"""

    def __str__(self) -> str:
        return (
            f"{len(self.loaded)} loaded, {len(self.resized)} resized, "
            f"{len(self.new)} new, {len(self.unused)} unused"
        )


def load_weights(model: nn.Module, source: str | os.PathLike[str], *, depth: int) -> WeightReport:
    """Load weights in place, through torch.hub's cache for anything published.

    source: a name of the PyTorchVideo zoo (`slow_r50`), `imagenet` (torchvision's ResNet of the
        same depth, inflated; in SlowFast into the slow pathway), a URL, or a checkpoint file.
        A head for another number of classes stays as initialised.

    Raises FileNotFoundError for a missing file, ValueError where the weights belong to another
    architecture.
    """
    if source == "imagenet":
        return _load_imagenet(model, IMAGENET[depth])
    state = _read_state(source)
    wanted = model.state_dict()
    new = [name for name in wanted if name not in state]
    misfits = [n for n in wanted if n in state and wanted[n].shape != state[n].shape]
    strange = [n for n in new if ".context." not in n] + [n for n in misfits if ".proj." not in n]
    if strange:
        raise ValueError(
            f"weights {source!s} belong to another architecture: {len(strange)} of {len(wanted)} "
            f"parameters do not fit, {strange[0]} first"
        )
    loaded = [name for name in wanted if name in state and name not in misfits]
    model.load_state_dict({name: state[name] for name in loaded}, strict=False)
    unused = [name for name in state if name not in wanted]
    return WeightReport(loaded=loaded, new=new + misfits, resized=[], unused=unused)


def _read_state(source: str | os.PathLike[str]) -> State:
    content: Any
    name = os.fspath(source)
    if name in PUBLISHED or "://" in name:
        url = PUBLISHED.get(name, name)
        content = _download(url)
    elif Path(name).is_file():
        try:
            content = torch.load(name, map_location="cpu", weights_only=True)
        except Exception as error:  # torch.load has no error of its own for a foreign file
            raise ValueError(f"{name}: holds no weights ({type(error).__name__})") from error
    else:
        raise FileNotFoundError(
            f"no weights {name!r}: neither a file nor one of imagenet, {', '.join(PUBLISHED)}"
        )
    if not isinstance(content, dict):
        raise ValueError(f"{name}: holds no weights but a {type(content).__name__}")
    for key in ("model_state", "state_dict"):
        content = content.get(key, content)
    return {key.removeprefix("model."): value for key, value in content.items()}


def _download(url: str) -> State:
    """A published file, from torch.hub's cache where it has been downloaded before."""
    try:
        content: State = load_state_dict_from_url(url, map_location="cpu", weights_only=True)
    except URLError as error:
        folder = Path(torch.hub.get_dir()) / "checkpoints"
        raise OSError(
            f"cannot download {url} ({error.reason}); put the file into {folder} by hand"
        ) from error
    return content


def _load_imagenet(model: nn.Module, url: str) -> WeightReport:
    """Inflate a 2D ResNet (Carreira and Zisserman, 2017): w[t] = w / T along the new time axis."""
    image = _download(url)
    video = model.state_dict()
    names = _image_names(model)
    loaded: list[str] = []
    resized: list[str] = []
    for name, image_name in names.items():
        source, target = image[image_name], video[name]
        same = source.numel() == target.numel()
        if source.ndim == 4:  # a convolution: (O, I, H, W) → (O, I, T, H, W)
            length = target.shape[2]
            source = source.unsqueeze(2).repeat(1, 1, length, 1, 1) / length
            # after a lateral connection of SlowFast the image channels come first
            target = target[:, : source.shape[1]]
        if source.shape != target.shape:
            raise ValueError(
                f"weights 'imagenet' do not fit {name}: {tuple(source.shape)} into "
                f"{tuple(target.shape)}; they need width 1"
            )
        target.copy_(source)
        (loaded if same else resized).append(name)
    return WeightReport(
        loaded=loaded,
        new=[name for name in video if name not in names],
        resized=resized,
        unused=sorted(set(image) - set(names.values())),
    )


def _image_names(model: nn.Module) -> dict[str, str]:
    """Name of a parameter or buffer → its name in torchvision's ResNet, where it has one."""
    path_of = {module: path for path, module in model.named_modules()}
    conv = next(m for m in path_of if isinstance(m, nn.Conv3d))
    norm = next(m for m in path_of if isinstance(m, nn.BatchNorm3d))
    layers: list[tuple[nn.Module | None, str]] = [(conv, "conv1"), (norm, "bn1")]
    for name, block in residual_blocks(model).items():
        pathway, stage, index = re.fullmatch(r"(\w+\.)?res(\d)\.(\d+)", name).groups()  # type: ignore[union-attr]
        if pathway == "fast.":
            continue
        prefix = f"layer{int(stage) - 1}.{index}"
        layers += [
            (block.branch1_conv, f"{prefix}.downsample.0"),
            (block.branch1_norm, f"{prefix}.downsample.1"),
        ]
        for number, letter in enumerate("abc", start=1):
            layers.append((getattr(block.branch2, f"conv_{letter}"), f"{prefix}.conv{number}"))
            layers.append((getattr(block.branch2, f"norm_{letter}"), f"{prefix}.bn{number}"))
    return {
        f"{path_of[layer]}.{key}": f"{image_name}.{key}"
        for layer, image_name in layers
        if layer is not None
        for key in layer.state_dict()
    }
