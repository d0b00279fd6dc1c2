"""The description in a checkpoint: what testing and prediction need beside the weights."""

import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from video_gc.backbones.published import KINETICS400, KINETICS_FPS, PUBLISHED
from video_gc.data.sampling import ClipConfig
from video_gc.data.transforms import Normalisation
from video_gc.deploy.contract import Contract, hash_weights
from video_gc.models.build import ModelConfig, build_model, settled
from video_gc.models.context import ContextConfig
from video_gc.models.weights.finite import check_finite
from video_gc.models.weights.reading.read import read_file
from video_gc.train.recipe.averaging import pick_weights
from video_gc.train.resume.weights_file import KEY, SUFFIX, read_weights

FORMAT = 2
"""Version of the checkpoint format."""


@dataclass(frozen=True)
class CheckpointContents:
    """The network's description."""

    model: ModelConfig
    clip: ClipConfig
    normalisation: Normalisation
    names: list[str]
    """class names, in order"""
    config: dict[str, Any]
    """the whole resolved training config"""
    fingerprint: dict[str, str] = field(default_factory=dict)
    """split (train, val, test) → fingerprint of its videos; empty for published weights"""
    fps: float | None = None
    """frame rate of the training videos, Hz; None: unknown or mixed, or clip.target_fps counts"""


def described(contents: CheckpointContents, weights: Mapping[str, Tensor]) -> dict[str, Any]:
    """The description to be written, as numbers, strings, lists and dictionaries.

    weights: of the network, by name.
    """
    contract = contract_of(contents, weights)
    return asdict(contents) | {"format": FORMAT, "contract": asdict(contract)}


def contract_of(contents: CheckpointContents, weights: Mapping[str, Tensor]) -> Contract:
    """The contract of a checkpoint. weights: of the network, by name."""
    clip, normalisation = contents.clip, contents.normalisation
    return Contract(
        names=list(contents.names),
        frames=clip.frames,
        stride=clip.stride,
        fps=clip.target_fps or contents.fps,
        short_side=clip.test_short_side,
        crop=clip.test_crop,
        mean=list(normalisation.mean),
        std=list(normalisation.std),
        subtract_mean_frame=normalisation.subtract_mean_frame,
        sampling=clip.sampling,
        offsets=clip.offsets,
        past_end=clip.past_end,
        multi_label=bool(contents.config.get("data", {}).get("multi_label")),
        weights=hash_weights(weights),
        versions={name: version(name) for name in ("video_gc", "torch")},
    )


def normalisation_of(contract: Contract) -> Normalisation:
    """The normalisation in a contract."""
    return Normalisation(
        mean=contract.mean,
        std=contract.std,
        subtract_mean_frame=contract.subtract_mean_frame,
    )


def check_format(path: str | os.PathLike[str], kept: dict[str, Any]) -> None:
    """Raise ValueError if a newer version of video_gc wrote the description `kept`."""
    if kept["format"] > FORMAT:
        raise ValueError(
            f"{os.fspath(path)}: written by a newer version of video_gc (format {kept['format']}, "
            f"this one reads up to {FORMAT}); update video_gc"
        )


def is_published(checkpoint: str | os.PathLike[str]) -> bool:
    """Whether it is the name of published weights; a file of that name comes first."""
    return os.fspath(checkpoint) in PUBLISHED and not Path(checkpoint).is_file()


def default_output(checkpoint: Path, name: str) -> Path:
    """RUN/name for a checkpoint in a run directory, ./name for any other.

    For published weights such as slow_r50: runs/slow_r50/name.
    """
    if is_published(checkpoint):
        return Path("runs") / checkpoint / name
    run = checkpoint.resolve().parent.parent
    if not (run / "config.yaml").is_file():
        return Path(name)
    return checkpoint.parent.parent / name


def load_network(
    path: str | os.PathLike[str], weights: str | None = None
) -> tuple[nn.Module, CheckpointContents]:
    """The network of a checkpoint, in eval mode on the CPU, and its description.

    path: a checkpoint of ours, its weights alone (.safetensors), or the name of published weights
        such as slow_r50, with the class names of Kinetics-400 and the published test size.
    weights: raw (as trained) or ema (averaged). The default is ema if the checkpoint has it, since
        the averaged weights chose the best checkpoint.

    Raises FileNotFoundError; ValueError if the file is no such checkpoint, its weights or class
    names do not fit its description, or it lacks the averaged weights.
    """
    if is_published(path):
        return _published(os.fspath(path))
    contents, state = read_checkpoint(path)
    return network_of(path, contents, state, weights), contents


def read_checkpoint(
    path: str | os.PathLike[str],
) -> tuple[CheckpointContents, dict[str, Tensor]]:
    """A checkpoint's description, and all its weights under their names in the file.

    Raises as `load_network`, which also accepts published weights.
    """
    name = os.fspath(path)
    if not Path(path).is_file():
        if Path(path).is_dir():
            raise FileNotFoundError(
                f"{name}: is a folder; name the checkpoint in it, RUN/checkpoints/best.ckpt"
            )
        known = ", ".join(PUBLISHED)
        raise FileNotFoundError(f"{name}: no such checkpoint, nor published weights ({known})")
    try:
        checkpoint = (read_weights if Path(path).suffix == SUFFIX else read_file)(path)
        kept = checkpoint[KEY]
    except Exception as error:  # a foreign file may lack anything
        raise ValueError(
            f"{name}: not a checkpoint of video-gc train, or a damaged one; "
            "a run has its own in RUN/checkpoints/best.ckpt"
        ) from error
    check_format(path, kept)
    model_config = kept["model"] | {
        "context": ContextConfig(**kept["model"]["context"]),
        "more_context": [ContextConfig(**context) for context in kept["model"]["more_context"]],
    }
    contents = CheckpointContents(
        model=ModelConfig(**model_config),
        clip=ClipConfig(**kept["clip"]),
        normalisation=Normalisation(**kept["normalisation"]),
        names=kept["names"],
        config=kept["config"],
        fingerprint=kept["fingerprint"],
        fps=kept.get("fps"),
    )
    names, classes = len(contents.names), contents.model.num_classes
    if names != classes:
        raise ValueError(f"{name}: {names} class names for a network of {classes} classes")
    return contents, checkpoint["state_dict"]


def network_of(
    path: str | os.PathLike[str],
    contents: CheckpointContents,
    state: Mapping[str, Tensor],
    weights: str | None = None,
) -> nn.Module:
    """The network in eval mode, from the result of `read_checkpoint`; see `load_network`."""
    model = build_model(replace(contents.model, weights=None))
    try:
        picked = pick_weights(state, weights)
    except ValueError as error:
        raise ValueError(f"{os.fspath(path)}: {error}") from error
    check_finite(os.fspath(path), picked, model)
    try:
        model.load_state_dict(picked)
    except RuntimeError as error:
        reason = str(error).splitlines()[1].strip()[:200]
        raise ValueError(
            f"{os.fspath(path)}: its weights have another architecture or class count ({reason})"
        ) from error
    return model.eval()


def _published(name: str) -> tuple[nn.Module, CheckpointContents]:
    network = PUBLISHED[name]
    model_config = settled(
        ModelConfig(
            backbone=network.backbone,
            depth=network.depth,
            num_classes=len(KINETICS400),
            weights=name,
        )
    )
    clip = ClipConfig(
        frames=network.frames,
        stride=network.stride,
        test_crop=network.side,
        test_short_side=network.side,
    )
    contents = CheckpointContents(
        model_config, clip, Normalisation(), list(KINETICS400), {}, fps=KINETICS_FPS
    )
    return build_model(model_config).eval(), contents
