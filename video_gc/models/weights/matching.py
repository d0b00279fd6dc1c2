"""Match the tensors of a file to a network by name and shape; inflate image kernels in time."""

from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from video_gc.backbones.stages import named_parts
from video_gc.models.weights.context_checks import INFIX
from video_gc.models.weights.states import State

INFLATIONS = ("repeat", "centre")


@dataclass
class Match:
    """What to do with each parameter, by name."""

    loaded: dict[str, Tensor] = field(default_factory=dict)
    """in the shapes of the network"""
    resized: list[str] = field(default_factory=list)
    new: list[str] = field(default_factory=list)
    """correctly left as initialised: a head of other classes, a context block"""
    strange: list[str] = field(default_factory=list)
    """parameters of the network without a tensor that fits"""
    unused: list[str] = field(default_factory=list)
    """tensors of the file without a place"""
    kernels: list[str] = field(default_factory=list)
    """those of `unused` that are convolutions of another network"""
    wanted: int = 0
    """parameters of the network"""
    notes: list[str] = field(default_factory=list)

    @property
    def fits(self) -> bool:
        """Whether the weights are of this network, except its head and its context blocks."""
        return not self.strange and not self.kernels


def match(model: nn.Module, state: State, naming: str, inflation: str = "repeat") -> Match:
    """Fit `state`, under the names of `model`, into it; does not change the model."""
    own = {k: v for k, v in model.state_dict().items() if not k.endswith("num_batches_tracked")}
    head = [f"{path}.{key}" for path in _paths(model, "head") for key in ("weight", "bias")]
    optional = [INFIX]
    beside = [f"{path}." for path in _paths(model, "fast.", "fuse")]
    if naming == "torchvision":  # it has no fast pathway
        optional += beside
    leading = bool(beside) and naming == "torchvision"
    found = Match(wanted=len(own))
    for name, target in own.items():
        tensor = state.get(name)
        value = None if tensor is None else fitted(tensor, target, inflation, leading)
        if tensor is not None and value is not None:
            found.loaded[name] = value
            if tensor.numel() != target.numel():
                found.resized.append(name)
        elif name in head or (tensor is None and any(o in name for o in optional)):
            found.new.append(name)
            if name in head and name.endswith(".weight"):
                theirs = "none" if tensor is None else str(len(tensor))
                found.notes.append(f"a new head for {len(target)} classes instead of {theirs}")
        elif INFIX not in name:
            found.strange.append(name)
    tracked = [name for name in state if name.endswith("num_batches_tracked")]
    found.unused = [name for name in state if name not in found.loaded and name not in tracked]
    found.kernels = [
        name
        for name in found.unused
        if state[name].ndim > 3 and name not in head and INFIX not in name
    ]
    return found


def _paths(model: nn.Module, *parts: str) -> list[str]:
    """Paths of the parts with names that start so."""
    path_of = {module: path for path, module in model.named_modules()}
    return [path_of[m] for name, m in named_parts(model).items() if name.startswith(parts)]


def fitted(source: Tensor, target: Tensor, inflation: str, leading: bool) -> Tensor | None:
    """`source` in the shape of `target`; None if it does not fit.

    Axes of length 1 are added or removed (a 1×1×1 convolution is a matrix). A 2D kernel is inflated
    (see `inflated`).
    leading: it may fill only the leading input channels; after a lateral connection of SlowFast
        these are the pathway's own.
    """
    if source.shape == target.shape:
        return source
    if source.ndim == 4 and target.ndim == 5:
        kernel = inflated(source, target.shape[2], inflation)
        if kernel.shape == target.shape:
            return kernel
        outer = (len(kernel), *kernel.shape[2:]) == (len(target), *target.shape[2:])
        if leading and outer and kernel.shape[1] < target.shape[1]:
            return torch.cat([kernel, target[:, kernel.shape[1] :]], dim=1)
        return None
    if [n for n in source.shape if n != 1] == [n for n in target.shape if n != 1]:
        return source.reshape(target.shape)
    return None


def inflated(kernel: Tensor, length: int, inflation: str) -> Tensor:
    """(O, I, H, W) → (O, I, T, H, W).

    `repeat`: w / T at every instant, so a still clip gives the image's output (Carreira and
    Zisserman, 2017). `centre`: w at instant T // 2 and zero elsewhere, so each frame gives its
    image's output (Feichtenhofer et al., 2017).
    """
    if inflation == "repeat":
        return kernel.unsqueeze(2).repeat(1, 1, length, 1, 1) / length
    centred = kernel.new_zeros(*kernel.shape[:2], length, *kernel.shape[2:])
    centred[:, :, length // 2] = kernel
    return centred
