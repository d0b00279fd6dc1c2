"""A file of weights → names and tensors; nothing in the file can run."""

import pickle
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.serialization import MAGIC_NUMBER

from video_gc.models.weights import unpickle
from video_gc.models.weights.plain import plain

State = dict[str, Tensor]
INSIDE = ("model_state", "state_dict", "blobs", "model")
"""Under which name the weights lie in a checkpoint: PySlowFast, Lightning and MMEngine, Caffe2."""

PREFIXES = {"raw": "model.", "ema": "average."}
"""Of the names in a checkpoint of ours: the weights as trained, and their average."""


OWN = "video_gc"
"""Under which name a checkpoint of ours has its description."""


@dataclass(frozen=True)
class WeightFile:
    """What a file of weights holds."""

    state: State
    ours: bool
    """whether it is a checkpoint of a run of ours"""
    extra: dict[str, Any]
    """what lies beside the weights, such as PySlowFast's `cfg` and MMAction2's `meta`: dictionaries
    by string, lists, strings, numbers and None, which also stands for any other object"""


def read_weights(path: Path) -> State:
    """The tensors of a checkpoint of any supported origin, under the names they have there.

    Of a run of ours with averaged weights, those: they are what its best checkpoint was chosen by.

    Raises ValueError for a file without weights, and for one that asks for anything beside
    tensors, arrays and placeholders, naming it.
    """
    return read_with_origin(path).state


def read_with_origin(path: Path) -> WeightFile:
    """As `read_weights`, with where the weights come from and what lies beside them."""
    content = _read(path)
    own = isinstance(content, dict) and OWN in content
    extra: dict[str, Any] = {}
    for key in INSIDE:
        if isinstance(content, dict) and isinstance(content.get(key), dict):
            extra |= {k: value for k, value in content.items() if k != key}
            content = content[key]
    tensors = {}
    if isinstance(content, dict):
        for name, value in content.items():
            if isinstance(value, unpickle.Array):
                value = torch.from_numpy(value.value)
            if isinstance(value, Tensor):
                tensors[str(name).removeprefix("module.").removeprefix(PREFIXES["raw"])] = value
    if not tensors:
        raise ValueError(f"{path}: holds no weights")
    average = PREFIXES["ema"]
    averaged = {
        name.removeprefix(average): value
        for name, value in tensors.items()
        if name.startswith(average)
    }
    return WeightFile(averaged or tensors, own, plain(extra))


def _read(path: Path) -> Any:
    """`torch.load` where that is safe by itself, the restricted unpickler where it refuses."""
    archive = zipfile.is_zipfile(path)
    if archive:
        with zipfile.ZipFile(path) as records:
            if any(name.endswith("constants.pkl") for name in records.namelist()):
                raise ValueError(f"{path}: is a TorchScript program, which can run code; save its "
                                 "state_dict")  # fmt: skip
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError:
        pass
    except Exception as error:  # torch.load has no error of its own for a foreign file
        if archive:
            raise ValueError(
                f"{path}: holds no weights that can be read; it is damaged or incomplete "
                f"({type(error).__name__})"
            ) from error
    try:
        if not archive:
            with path.open("rb") as file:
                first = unpickle.load(file, encoding="latin1")
            if first != MAGIC_NUMBER:  # else a file of torch before 1.6
                return first
        return torch.load(path, map_location="cpu", weights_only=False, pickle_module=unpickle)
    except pickle.UnpicklingError as error:
        damaged = "damaged or incomplete, or no file of weights"
        reason = str(error) if "not allowed" in str(error) else damaged
    except Exception as error:  # a broken pickle raises whatever its bytes lead to
        reason = f"damaged or incomplete, or no file of weights: {type(error).__name__}"
    raise ValueError(f"{path}: holds no weights that can be read safely ({reason})")
