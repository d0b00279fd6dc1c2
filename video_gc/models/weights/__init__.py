"""Published and own weights into a model, with an account of every parameter."""

import os
from dataclasses import dataclass, field, replace
from pathlib import Path

from torch import Tensor, nn
from torchvision.models import ResNet50_Weights, ResNet101_Weights

from video_gc.backbones.published import PUBLISHED
from video_gc.backbones.stages import depth_of, named_parts, residual_blocks
from video_gc.models.weights.contexts import check_contexts
from video_gc.models.weights.download import download
from video_gc.models.weights.finite import check_finite
from video_gc.models.weights.inflate import INFLATIONS, fitted
from video_gc.models.weights.names import detect_format, rename
from video_gc.models.weights.read import OWN, read_with_origin
from video_gc.models.weights.states import KINDS, State
from video_gc.models.weights.wrappers import inner_network
from video_gc.progress import say

__all__ = ["IMAGENET", "INFLATIONS", "KINDS", "PUBLISHED", "WeightReport", "load_weights"]

IMAGENET: dict[int, str] = {
    50: ResNet50_Weights.IMAGENET1K_V1.url,
    101: ResNet101_Weights.IMAGENET1K_V1.url,
}
"""torchvision's ImageNet ResNets, to be inflated: depth → URL."""
HINTS = {
    "PySlowFast": "its c2d, i3d, slow and slowfast load here, its X3D and transformers do not",
    "MMAction2": "its networks are slow, i3d_32x2, slowfast_linear (8×8), slowfast_4x16_linear",
    "torchvision": "image networks fit c2d, i3d, slow and slowfast of the same depth at width 1",
}


@dataclass(frozen=True)
class WeightReport:
    """What became of every parameter, by name."""

    source: str
    format: str
    """whose naming the file has; video_gc: it is of a run of ours"""
    loaded: list[str]
    new: list[str]
    """in the model only, or of another class count: left as initialised"""
    resized: list[str]
    """loaded after inflation in time or into the leading channels"""
    unused: list[str]
    """in the file only, or of another class count"""
    notes: list[str] = field(default_factory=list)
    """what the user should know, a sentence each"""

    def __str__(self) -> str:
        counts = (
            f"{len(self.loaded)} loaded, {len(self.resized)} resized, "
            f"{len(self.new)} new, {len(self.unused)} unused"
        )
        left = self.unused[:3] + ["…"] * (len(self.unused) > 3)
        unused = f" ({', '.join(left)})" if left else ""
        return "; ".join([f"{self.source} ({self.format}): {counts}{unused}", *self.notes])


def load_weights(
    model: nn.Module,
    source: str | os.PathLike[str],
    *,
    inflation: str = "repeat",
    kind: str | None = None,
) -> WeightReport:
    """Load weights in place; print and return what became of each parameter.

    source: `imagenet` (torchvision's ResNet of the same depth, inflated; in SlowFast into the slow
        pathway), a name of the PyTorchVideo zoo (`slow_r50`), a URL, or a file: of this package, of
        PyTorchVideo, PySlowFast (`.pyth`, or Caffe2's `.pkl`), MMAction2 (`.pth`) or torchvision.
        The format is found from the names inside.
    inflation: of image kernels along the new time axis of length T: `repeat` (w / T at every
        instant) or `centre` (w at the middle one).
    kind: raw (as trained) or ema (averaged), of a file that has both; by default the averaged ones.

    The network must have the context blocks of the file; those that the file lacks stay as
    initialised, and so does a classifier for another number of classes. Options without parameters
    (`pool`, `span`, `fusion`, … ) are the network's own: no file says what its weights had.

    Raises FileNotFoundError for a missing file, OSError for a download that failed, ValueError for
    a file without weights or for weights of another architecture or other context blocks, and for
    weights that are not finite.
    """
    if inflation not in INFLATIONS:
        raise ValueError(f"inflation ({inflation!r}) must be one of {', '.join(INFLATIONS)}")
    name = os.fspath(source)
    found = read_with_origin(_find(name, model), kind)
    try:
        state = inner_network(found.state)
    except ValueError as error:
        raise ValueError(f"weights {name}: {error}") from error
    own = model.state_dict()
    naming = detect_format(state)
    if naming is None and not any(key in own for key in state):
        raise ValueError(
            f"weights {name}: a naming that is not known, {next(iter(state))} for example; "
            "known are PyTorchVideo's, PySlowFast's, Caffe2's, MMAction2's and torchvision's"
        )
    if naming is not None and not any(key in own for key in state):
        state = rename(state, naming, model)
    _check_strides(name, naming or "", model)
    report = _load(model, state, name, naming or "its own", inflation)
    if found.ours:
        report = replace(report, format=OWN)
    if found.kind == "ema":
        other = "; model.weights_kind=raw takes those as trained" * ("raw" in found.kinds)
        report.notes.append(f"its averaged weights (EMA){other}")
    say(f"Weights {report}")
    return report


def _find(name: str, model: nn.Module) -> Path:
    if name == "imagenet":
        depth = depth_of(list(residual_blocks(model)))
        if depth not in IMAGENET:
            raise ValueError(f"weights 'imagenet' exist for ResNets of depth {[*IMAGENET]} only")
        return download(IMAGENET[depth])
    if name in PUBLISHED:
        return download(PUBLISHED[name].url)
    if "://" in name:
        return download(name, shared=False)
    if not Path(name).is_file():
        raise FileNotFoundError(
            f"no weights {name!r}: neither a file nor one of imagenet, {', '.join(PUBLISHED)}"
        )
    return Path(name)


def _load(model: nn.Module, state: State, source: str, naming: str, inflation: str) -> WeightReport:
    own = model.state_dict()
    wanted = {k: v for k, v in own.items() if not k.endswith("num_batches_tracked")}
    head = [f"{path}.{key}" for path in _paths(model, "head") for key in ("weight", "bias")]
    optional = [".context."]
    beside = [f"{path}." for path in _paths(model, "fast.", "fuse")]
    if naming == "torchvision":  # it has no fast pathway
        optional += beside
    leading = bool(beside) and naming == "torchvision"
    loaded: dict[str, Tensor] = {}
    resized, new, strange, notes = [], [], [], []
    for name, target in wanted.items():
        tensor = state.get(name)
        value = None if tensor is None else fitted(tensor, target, inflation, leading)
        if tensor is not None and value is not None:
            loaded[name] = value
            if tensor.numel() != target.numel():
                resized.append(name)
        elif name in head or (tensor is None and any(o in name for o in optional)):
            new.append(name)
            if name in head and name.endswith(".weight"):
                theirs = "none" if tensor is None else str(len(tensor))
                notes.append(f"a new head, for {len(target)} classes in place of {theirs}")
        else:
            strange.append(name)
    strange = [name for name in strange if ".context." not in name]
    tracked = [name for name in state if name.endswith("num_batches_tracked")]
    unused = [name for name in state if name not in loaded and name not in tracked]
    kernels = [n for n in unused if state[n].ndim > 3 and n not in head and ".context." not in n]
    if strange or kernels:
        hint = f"; {naming}: {HINTS[naming]}" if naming in HINTS else ""
        what = (
            f"{len(strange)} of {len(wanted)} parameters do not fit, {strange[0]} first"
            if strange
            else f"{len(kernels)} of its kernels have no place in the network, {kernels[0]} first"
        )
        raise ValueError(f"weights {source} belong to another architecture: {what}{hint}")
    check_contexts(source, state, model)
    if any(".context." in name for name in loaded):
        notes.append("options of its context blocks that no shape shows are not checked")
    if naming == "Caffe2" and _pools_in_time(model):
        notes.append("Caffe2's published C2D has no temporal pooling: model.backbone=c2d_nopool")
    if naming == "MMAction2":
        notes.append(
            "MMAction2 trains with normalisation.mean=[0.485,0.456,0.406] "
            "normalisation.std=[0.229,0.224,0.225]"
        )
    check_finite(f"weights {source}", loaded, model)
    counters = {name: state[name] for name in tracked if name in own}
    model.load_state_dict(loaded | counters, strict=False)
    kept = [k for k in loaded if k not in resized]
    return WeightReport(source, naming, kept, new, resized, unused, notes)


def _paths(model: nn.Module, *parts: str) -> list[str]:
    """Paths of the parts whose names begin so."""
    path_of = {module: path for path, module in model.named_modules()}
    return [path_of[m] for name, m in named_parts(model).items() if name.startswith(parts)]


def _check_strides(source: str, naming: str, model: nn.Module) -> None:
    """The shapes of MMAction2's I3D are those of the others, but its stem halves the clip twice."""
    conv = _stem_conv(model)
    if conv is None or conv.kernel_size[0] != 5:
        return
    if naming == "MMAction2" and conv.stride[0] == 1:
        raise ValueError(
            f"weights {source} are of MMAction2's I3D, whose stem has stride 2 in time; "
            "use model.backbone=i3d_32x2"
        )
    if (naming in ("PySlowFast", "Caffe2") or source in PUBLISHED) and conv.stride[0] == 2:
        raise ValueError(
            f"weights {source} are of an I3D whose stem has no stride in time; "
            "use model.backbone=i3d"
        )


def _stem_conv(model: nn.Module) -> nn.Conv3d | None:
    """Of a network with one pathway."""
    conv = getattr(named_parts(model).get("stem"), "conv", None)
    return conv if isinstance(conv, nn.Conv3d) else None


def _pools_in_time(model: nn.Module) -> bool:
    """Whether it is C2D with the max-pool after res2."""
    conv = _stem_conv(model)
    flat = conv is not None and conv.kernel_size[0] == 1
    pools = [m for m in model.modules() if isinstance(m, nn.MaxPool3d)]
    return flat and any(tuple(pool.kernel_size) == (2, 1, 1) for pool in pools)  # type: ignore[arg-type]
