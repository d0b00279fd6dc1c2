"""Load published and own weights into a model, with a report on every parameter."""

import difflib
import os
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from torch import nn
from torchvision import models
from torchvision.models import ResNet50_Weights, ResNet101_Weights, WeightsEnum

from video_gc.backbones.heads import ClipMean
from video_gc.backbones.published import PUBLISHED
from video_gc.backbones.stages import FEATURES, depth_of, residual_blocks, sites
from video_gc.backbones.unstored_options import POOLING, unstored_options
from video_gc.models.weights.configuration import Configuration, configuration
from video_gc.models.weights.context_checks import (
    check_block_options,
    check_blocks,
    library_options,
)
from video_gc.models.weights.download import download
from video_gc.models.weights.finite import check_finite
from video_gc.models.weights.matching import INFLATIONS, Match, match
from video_gc.models.weights.names import detect_format, inner_network, rename
from video_gc.models.weights.network_checks import (
    as_command,
    check_network,
    networks_of,
    own_configuration,
)
from video_gc.models.weights.reading.read import OWN, WeightFile, read_with_origin
from video_gc.models.weights.states import KINDS, State
from video_gc.progress import say

__all__ = ["IMAGENET", "INFLATIONS", "KINDS", "PUBLISHED", "WeightReport", "load_weights"]

IMAGENET: dict[int, str] = {
    50: ResNet50_Weights.IMAGENET1K_V1.url,
    101: ResNet101_Weights.IMAGENET1K_V1.url,
}
"""torchvision's ImageNet ResNets, to be inflated: depth → URL."""
HINTS = {
    "PySlowFast": "its c2d, i3d, slow and slowfast are supported, its X3D and transformers are not",
    "MMAction2": "its C2D, TSN, I3D, Slow-only and SlowFast of depth 50 and 101 are supported",
    "torchvision": "image networks fit c2d, i3d, slow and slowfast of the same depth at width 1, "
    "or model.backbone=image with their model.image_network",
}

OF_IMAGE = "; choose their model.image_network"


@dataclass(frozen=True)
class WeightReport:
    """What was done with each parameter, by name."""

    source: str
    format: str
    """library whose names the file uses; video_gc: a run of ours"""
    loaded: list[str]
    new: list[str]
    """in the model only, or of another class count: left as initialised"""
    resized: list[str]
    """loaded after inflation in time or into the leading channels"""
    unused: list[str]
    """in the file only, or of another class count"""
    notes: list[str] = field(default_factory=list)
    """sentences for the user"""

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
    named: Mapping[str, Collection[str]] | None = None,
) -> WeightReport:
    """Load weights in place; print and return a report on each parameter.

    source: `imagenet` (torchvision's ResNet of the same depth, inflated; in SlowFast into the slow
        pathway; in an image network its own), a name of the PyTorchVideo zoo (`slow_r50`) or of
        torchvision (`ResNet50_Weights.IMAGENET1K_V2`), a URL, or a file: of this package, of
        PyTorchVideo, PySlowFast (`.pyth`, or Caffe2's `.pkl`), MMAction2 (`.pth`) or torchvision.
        The names inside identify the format.
    inflation: of image kernels along the new time axis of length T: `repeat` (w / T at every
        instant) or `centre` (w at the middle one).
    kind: for a file with both: raw (as trained) or ema (averaged); default: ema.
    named: kind of context block (nl, dnl, cc, or gc for GC, SNL and SE) → options that the user has
        set by name, for weights that do not tell how they were trained.

    The network must have the context blocks of the file. Blocks that the file lacks stay as
    initialised, and so does a classifier for another number of classes. Options that shapes do not
    show (the frames of SlowFast's slow pathway, strides, `pool`, `pairwise`, `fusion`, …) are
    compared with the configuration in the file and with the code of its library. Options of context
    blocks that neither tells must be in `named`.

    Raises FileNotFoundError for a missing file, OSError for a failed download, ValueError for a
    file without weights or with weights that are not finite or that belong to another architecture
    or other context blocks.
    """
    if inflation not in INFLATIONS:
        raise ValueError(f"inflation ({inflation!r}) must be one of {', '.join(INFLATIONS)}")
    name = os.fspath(source)
    entry = _torchvision_entry(name, model)
    path = _find(name, model) if entry is None else download(entry.url)
    found = read_with_origin(path, kind)
    try:
        state = inner_network(found.state)
    except ValueError as error:
        raise ValueError(f"weights {name}: {error}") from error
    given, own = state, model.state_dict()
    naming = detect_format(state)
    theirs = naming is not None and not any(key in own for key in state)
    if naming is None and not any(key in own for key in state):
        raise ValueError(
            f"weights {name}: unknown parameter names, {next(iter(state))} for example; "
            "known are PyTorchVideo's, PySlowFast's, Caffe2's, MMAction2's and torchvision's"
            + OF_IMAGE
            * (FEATURES in sites(model))
        )
    if naming is not None and theirs:
        state = rename(state, naming, model)
    said = _said(found, given, naming, model)
    matched = match(model, state, naming or "", inflation)
    if not matched.fits:
        raise ValueError(_another_architecture(name, model, matched, given, naming, said))
    check_blocks(name, state, model)
    zoo = PUBLISHED.get(name)
    networks = [(zoo.backbone, zoo.depth)] if zoo else None
    if theirs or zoo or found.ours:
        check_network(name, model, given, naming or "", said, networks)
    check_finite(f"weights {name}", matched.loaded, model)
    check_block_options(name, model, matched.loaded, said, named or {})
    counters = {k: v for k, v in state.items() if k.endswith("num_batches_tracked") and k in own}
    model.load_state_dict(matched.loaded | counters, strict=False)
    report = WeightReport(
        name,
        OWN if found.ours else naming or "its own",
        [k for k in matched.loaded if k not in matched.resized],
        matched.new,
        matched.resized,
        matched.unused,
        matched.notes + _notes(model, naming, entry),
    )
    if found.kind == "ema":
        other = "; model.weights_kind=raw loads the raw ones" * ("raw" in found.kinds)
        report.notes.append(f"its averaged weights (EMA){other}")
    say(f"Weights {report}")
    return report


def _torchvision_entry(name: str, model: nn.Module) -> WeightsEnum | None:
    """torchvision's weights of this name, or the `imagenet` of an image network; else None."""
    mean = sites(model).get(FEATURES)
    if name == "imagenet" and isinstance(mean, ClipMean) and mean.network is not None:
        kinds = models.get_model_weights(mean.network)
        if "IMAGENET1K_V1" not in kinds.__members__:
            raise ValueError(
                f"weights 'imagenet': {mean.network} has none with that name in torchvision; "
                f"it has {', '.join(map(str, kinds)) or 'no weights at all'}"
            )
        name = str(kinds["IMAGENET1K_V1"])
    if not re.fullmatch(r"\w+_Weights\.\w+", name):
        return None
    try:
        return models.get_weight(name)
    except (ValueError, KeyError):
        known = models.list_models(module=models)
        names = [str(entry) for network in known for entry in models.get_model_weights(network)]
        near = difflib.get_close_matches(name, names, 2)
        hint = f"; did you mean {' or '.join(near)}?" if near else ""
        raise ValueError(f"weights {name!r}: torchvision has none of this name{hint}") from None


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
            f"no weights {name!r}: neither a file nor one of imagenet, {', '.join(PUBLISHED)}, "
            "nor of torchvision's such as ResNet50_Weights.IMAGENET1K_V2"
        )
    return Path(name)


def _said(found: WeightFile, state: State, naming: str | None, model: nn.Module) -> Configuration:
    """The configuration of the network according to the file and its library."""
    if found.ours:
        return own_configuration(found.extra.get(OWN), model)
    said = configuration(found.extra, naming or "")
    return Configuration(said.network, library_options(naming or "", state) + said.context)


def _another_architecture(
    source: str,
    model: nn.Module,
    matched: Match,
    state: State,
    naming: str | None,
    said: Configuration,
) -> str:
    """The message for weights that do not fit: the mismatch, and the networks that they fit."""
    what = (
        f"{len(matched.strange)} of {matched.wanted} parameters do not fit, "
        f"{matched.strange[0]} first"
        if matched.strange
        else f"{len(matched.kernels)} of its kernels have no place in the network, "
        f"{matched.kernels[0]} first"
    )
    networks = said.as_command or as_command(networks_of(state, naming or "", said))
    hint = HINTS.get(naming or "")
    way = f"; use {networks}" if networks else f"; {naming}: {hint}" if hint else ""
    if FEATURES in sites(model):
        way = OF_IMAGE
    return f"weights {source} belong to another architecture: {what}{way}"


def _notes(model: nn.Module, naming: str | None, entry: WeightsEnum | None) -> list[str]:
    """Notes for the user on weights from elsewhere."""
    notes = []
    if entry is not None:
        seen = entry.transforms()
        mean, std = (f"[{','.join(map(str, numbers))}]" for numbers in (seen.mean, seen.std))
        notes.append(f"trained with normalisation.mean={mean} normalisation.std={std}")
    if naming == "Caffe2" and unstored_options(model).get(POOLING) == 2 and _flat(model):
        notes.append("Caffe2's published C2D has no temporal pooling: model.backbone=c2d_nopool")
    if naming in ("Caffe2", "PySlowFast") and not _has_windows(model):
        notes.append(
            "PySlowFast averages test crops above the training size in windows: "
            "model.head_pool=published"
        )
    if naming == "MMAction2":
        notes.append(
            "MMAction2 trains with normalisation.mean=[0.485,0.456,0.406] "
            "normalisation.std=[0.229,0.224,0.225]"
        )
    return notes


def _flat(model: nn.Module) -> bool:
    """Whether it is C2D: a stem without a kernel in time."""
    convs = (module for module in model.modules() if isinstance(module, nn.Conv3d))
    return all(conv.kernel_size[0] == 1 for conv in convs)


def _has_windows(model: nn.Module) -> bool:
    return any(isinstance(module, nn.AvgPool3d) for module in model.modules())
