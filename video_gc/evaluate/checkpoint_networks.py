"""The networks of a checkpoint, ready to score: raw weights, their moving average, or both."""

from collections.abc import Iterable, Mapping
from pathlib import Path

import torch
import yaml
from torch import nn

from video_gc.data.batches.loader import micro_batch_size
from video_gc.data.sampling import ClipConfig
from video_gc.deploy.contract import Contract
from video_gc.deploy.device import pick_device
from video_gc.deploy.exported import is_exported, open_exported
from video_gc.deploy.fastest import Way, fastest
from video_gc.deploy.inference_network import FastNetwork, choose, fast_network
from video_gc.models.build import ModelConfig
from video_gc.train.checkpoint import (
    CheckpointContents,
    is_published,
    load_network,
    network_of,
    normalisation_of,
    read_checkpoint,
)
from video_gc.train.distributed.world import World, from_first, pick_gpu
from video_gc.train.recipe.averaging import kept_weights
from video_gc.train.view_options import ViewConfig

WEIGHTS = ("ema", "raw")
"""Results of the first kind in a checkpoint go into the folder, the other's into a subfolder."""


def load_networks(
    checkpoint: Path, weights: str | None = None, *, first: bool = False
) -> tuple[dict[str, nn.Module | FastNetwork], CheckpointContents]:
    """Name (ema, raw, exported) → network, and the description of the checkpoint, read once.

    weights: raw, ema or both; None: all that the checkpoint has. first: only the ones that come
    first, which predictions take. Raises as `load_network` and `open_exported`, and ValueError for
    missing EMA weights.
    """
    if is_exported(checkpoint):
        if weights is not None:
            raise ValueError(f"{checkpoint}: an exported model has one kind of weights; test it")
        network, contract = open_exported(checkpoint)
        return {"exported": network}, _exported_contents(checkpoint, contract)
    if is_published(checkpoint):
        if weights in ("ema", "both"):
            raise _no_average(checkpoint)
        model, contents = load_network(checkpoint)
        return {"raw": model}, contents
    contents, state = read_checkpoint(checkpoint)
    kept = kept_weights(state) or ["raw"]  # `network_of` raises if there are none
    if weights is None:
        names = [name for name in WEIGHTS if name in kept]
    else:
        names = list(WEIGHTS) if weights == "both" else [weights]
    if "ema" in names and "ema" not in kept:
        raise _no_average(checkpoint)
    names = names[:1] if first else names
    return {name: network_of(checkpoint, contents, state, name) for name in names}, contents


def ready_networks(
    models: Iterable[nn.Module | FastNetwork],
    clip: ClipConfig,
    config: ViewConfig,
    device: torch.device,
    world: World,
    way: Way | None = None,
) -> list[FastNetwork]:
    """The networks ready to run, on all processes in the precision that the first one chooses, or
    in the given way.

    An exported model is ready as it is.
    """
    opened = list(models)
    exported = [model for model in opened if isinstance(model, FastNetwork)]
    if exported:
        return exported
    in_call = config.views_in_call(clip, device.type)
    size = micro_batch_size(config.clips * config.crops, in_call)
    if way is None:
        way = Way(
            *from_first(world, lambda: choose(device, config.precision, config.backend)), size
        )
    return [
        fast_network(model, clip.test_shape, device=device, micro_batch=size, way=way)
        for model in opened
        if isinstance(model, nn.Module)
    ]


def chosen_way(
    checkpoint: Path,
    models: Mapping[str, nn.Module | FastNetwork],
    clip: ClipConfig,
    device: torch.device,
) -> Way:
    """How `video-gc benchmark predict --choose` found the one network to run fastest here.

    Raises ValueError if it has not looked.
    """
    (model,) = models.values()
    assert isinstance(model, nn.Module)
    way = fastest(model, clip.test_shape, device)
    if way is None:
        raise ValueError(
            f"{checkpoint}: its fastest way on the {device.type} of this machine with "
            f"{torch.get_num_threads()} threads is not known; video-gc benchmark predict --choose "
            f"{checkpoint} finds that of the CPU (--device cpu)"
        )
    return way


def check_fastest(checkpoint: Path, given: Iterable[str | None], processes: int) -> None:
    """Raise ValueError for a test in the fastest way with what this way decides.

    given: precision, backend, weights.
    """
    for wrong, text in (
        (is_exported(checkpoint), "an exported model, which runs as it was written"),
        (any(given), "--precision, --backend or --weights: it is that of predictions"),
        (processes > 1, "several processes: it holds for a number of threads"),
    ):
        if wrong:
            raise ValueError(f"{checkpoint}: --fastest does not go with {text}")


def own_device(checkpoint: Path, name: str | None, world: World) -> torch.device:
    """`pick_device`; each of several processes takes the GPU of its number.

    An exported model runs on the CPU.
    """
    device = pick_device(name or ("cpu" if is_exported(checkpoint) else None))
    alone = world.size == 1 or device.type != "cuda" or device.index is not None
    return device if alone else pick_gpu(world) or device


def _exported_contents(checkpoint: Path, contract: Contract) -> CheckpointContents:
    """The description of an exported model: its contract, and the config of the run whose folder
    `export` it lies in.
    """
    file = checkpoint.resolve().parent.parent / "config.yaml"
    config = yaml.safe_load(file.read_text(encoding="utf-8")) if file.is_file() else {}
    sampled = {"target_fps": contract.fps} | config.get("clip", {})
    clip = ClipConfig(**sampled | contract.clip_options)
    model = ModelConfig(num_classes=len(contract.names))
    return CheckpointContents(model, clip, normalisation_of(contract), contract.names, config)


def _no_average(checkpoint: Path) -> ValueError:
    return ValueError(f"{checkpoint}: has no EMA weights (train with ema=0.999); test raw")
