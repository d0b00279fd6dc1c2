"""Weights alone as safetensors, with the description that loads them (huggingface/safetensors)."""

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from video_gc.atomic import atomic_path
from video_gc.models.weights.reading.read import OWN

KEY = OWN
"""Key of the description in a checkpoint, or in the metadata of such a file."""
SUFFIX = ".safetensors"


def write_weights(state: Mapping[str, Tensor], described: Mapping[str, Any], file: Path) -> Path:
    """Write weights by name, and the description for `load_network` as JSON metadata.

    Raises OSError, such as for a full disk.
    """
    plain = {name: value.detach().cpu().contiguous() for name, value in state.items()}
    with atomic_path(file) as part:
        part.touch()
        mode = part.stat().st_mode  # safetensors makes files readable only by their owner
        try:
            save_file(plain, part, {"format": "pt", KEY: json.dumps(described)})
            part.chmod(mode)
        except SafetensorError as error:
            raise OSError(f"{file} could not be written ({error})") from error
    return file


def read_weights(file: str | os.PathLike[str]) -> dict[str, Any]:
    """Read it in the form of a checkpoint: {"state_dict": …, "video_gc": description}.

    Raises ValueError for any other file.
    """
    try:
        with safe_open(file, "pt") as opened:
            kept = json.loads((opened.metadata() or {})[KEY])
            state: dict[str, torch.Tensor] = {
                f"model.{name}": opened.get_tensor(name)
                for name in opened.keys()  # noqa: SIM118
            }
    except (SafetensorError, KeyError, ValueError) as error:
        raise ValueError(
            f"{os.fspath(file)}: not weights of video-gc train ({type(error).__name__})"
        ) from error
    return {"state_dict": state, KEY: kept}
