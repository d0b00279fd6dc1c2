"""A file of weights → names and tensors; nothing in the file can run."""

import pickle
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.serialization import MAGIC_NUMBER

from video_gc.models.weights import unpickle

State = dict[str, Tensor]
INSIDE = ("model_state", "state_dict", "blobs", "model")
"""Under which name the weights lie in a checkpoint: PySlowFast, Lightning and MMEngine, Caffe2."""


def read_weights(path: Path) -> State:
    """The tensors of a checkpoint of any supported origin, under the names they have there.

    Raises ValueError for a file without weights, and for one that asks for anything beside
    tensors, arrays and placeholders, naming it.
    """
    content = _read(path)
    for key in INSIDE:
        if isinstance(content, dict) and isinstance(content.get(key), dict):
            content = content[key]
    tensors = {}
    if isinstance(content, dict):
        for name, value in content.items():
            if isinstance(value, np.ndarray) and value.dtype.kind == "f":
                value = torch.from_numpy(np.ascontiguousarray(value))
            if isinstance(value, Tensor):
                tensors[str(name).removeprefix("module.").removeprefix("model.")] = value
    if not tensors:
        raise ValueError(f"{path}: holds no weights")
    return tensors


def _read(path: Path) -> Any:
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch.load has no error of its own for a foreign file
        refused = error
    try:
        if not zipfile.is_zipfile(path):
            with path.open("rb") as file:
                first = unpickle.load(file, encoding="latin1")
            if first != MAGIC_NUMBER:  # else a file of torch before 1.6
                return first
        return torch.load(path, map_location="cpu", weights_only=False, pickle_module=unpickle)
    except pickle.UnpicklingError as error:
        reason = str(error)
    except Exception:  # a broken pickle raises whatever its bytes lead to
        reason = type(refused).__name__
    raise ValueError(f"{path}: holds no weights that can be read safely ({reason})")
