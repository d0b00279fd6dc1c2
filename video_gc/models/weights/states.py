"""Find the weights in a file's content, and remove wrappers from their names."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from video_gc.models.weights.reading.constructors import SavedArray
from video_gc.models.weights.reading.placeholders import Placeholder

State = dict[str, Tensor]

KINDS = ("ema", "raw")
"""Averaged weights, and those as trained; the default is the first that a file has."""
PREFIXES = {"raw": "model.", "ema": "average."}
"""Prefixes of the names in our checkpoints."""
INSIDE = ("model_state", "state_dict", "blobs", "model", "model_state_dict", "module")
"""Keys of weights (PySlowFast, Lightning and MMEngine, Caffe2, torchvision, torch's tutorials,
DeepSpeed); another key is used if it is the only one with tensors under it."""
AVERAGED = re.compile(r"(^|_)(ema|average|averaged|avg|swa|shadow)(_|$)")
"""Words in names of averaged weights."""
TRANSPARENT = {"module", "_orig_mod", "_fsdp_wrapped_module", "_checkpoint_wrapped_module"}
"""Words that torch inserts into names at any depth: DataParallel, compile, FSDP, checkpointing."""
OUTER = {"model", "net", "network", "_forward_module"}
"""Names of the network in a class around it, at the beginning of a parameter's name."""
NESTED = 4
"""Largest number of dictionaries around weights."""


@dataclass(frozen=True)
class Weights:
    """The weights of a file, by kind (ema, raw), and the values beside them."""

    states: dict[str, State]
    extra: dict[str, Any]


def find_weights(content: Any) -> Weights:
    """The weights in a file's content, under names without wrappers.

    Averaged weights have their own key (`state_dict_ema`, `model_ema`), or are among the others
    (`average.…`, `ema.…`).

    Raises ValueError for no weights, several networks, names that become equal without wrappers,
    and unsupported tensors.
    """
    held, extra = _holders(content)
    if _of_mmengine_average(content):  # its hook swaps the two before it saves
        held = [("ema" if kind == "raw" else "raw", named) for kind, named in held]
    states: dict[str, State] = {}
    for holder, named in held:
        for name, value in named.items():
            tensor = _tensor(name, value) if isinstance(name, str) else None
            if tensor is None:
                continue
            short, averaged = unwrapped(name)
            state = states.setdefault("ema" if averaged else holder, {})
            if short in state and not _same(state[short], tensor):
                raise ValueError(
                    f"it holds several networks, with {short} in two of them (one is {name}); "
                    "save the state_dict of one"
                )
            state[short] = tensor
    if not states:
        raise ValueError("no tensors by name; save the network's state_dict")
    raw, average = states.get("raw"), states.get("ema")
    if raw and average and {*average} < {*raw}:  # an average of parameters without buffers
        states["ema"] = raw | average
    return Weights(states, extra)


def unwrapped(name: str) -> tuple[str, bool]:
    """A parameter's name without wrappers, and whether a wrapper is an average."""
    *path, last = name.split(".")
    path = [part for part in path if part not in TRANSPARENT]
    averaged = False
    while path and (path[0] in OUTER or AVERAGED.search(path[0])):
        averaged |= path[0] not in OUTER
        del path[0]
    return ".".join([*path, last]), averaged


def _holders(content: Any) -> tuple[list[tuple[str, Mapping[Any, Any]]], dict[str, Any]]:
    """(kind, dictionary with its tensors), and everything beside."""
    if not isinstance(content, Mapping):
        return [], {}
    inside = {
        name: found
        for name, value in content.items()
        if isinstance(name, str) and (found := _tensors_in(value)) is not None
    }
    names = [name for name in inside if AVERAGED.search(name)][:1]
    others = [name for name in inside if name not in names and name not in OPTIMISERS]
    known = [name for name in INSIDE if name in others]
    direct = len(_direct(content))
    largest = max((len(_direct(inside[name][0])) for name in others), default=0)
    if known or direct < largest:
        if not known and len(others) > 1:
            raise ValueError(
                f"it holds several networks ({', '.join(sorted(others))[:200]}); save the "
                "state_dict of one"
            )
        names += (known or others)[:1]
    extra = {name: value for name, value in content.items() if name not in inside}
    if not names:
        return ([("raw", content)] if _direct(content) else []), extra
    held = []
    for name in names:
        tensors, beside = inside[name]
        extra = beside | extra
        held.append(("ema" if AVERAGED.search(name) else "raw", tensors))
    return held, extra


OPTIMISERS = {"optimizer", "optimizer_state", "optimizer_states", "optim", "lr_schedulers"}
"""Keys with tensors that are not weights."""


def _tensors_in(value: Any, depth: int = 0) -> tuple[Mapping[Any, Any], dict[str, Any]] | None:
    """The named tensors in a dictionary, or in one inside it, and everything beside."""
    if not isinstance(value, Mapping) or depth == NESTED:
        return None
    names = [name for name in INSIDE if name in value]
    if not _direct(value):
        names += [name for name in value if isinstance(name, str) and name not in INSIDE]
    for name in names:
        found = _tensors_in(value[name], depth + 1)
        if found is not None:
            return found[0], {k: v for k, v in value.items() if k != name} | found[1]
    return (value, {}) if _direct(value) else None


def _direct(named: Mapping[Any, Any]) -> list[str]:
    """The keys that can be weights."""
    return [
        name
        for name, value in named.items()
        if isinstance(name, str)
        and (
            value.is_floating_point()
            if isinstance(value, Tensor)
            else isinstance(value, SavedArray)
        )
    ]


def _tensor(name: str, value: Any) -> Tensor | None:
    """A value as a tensor; None for other values."""
    if isinstance(value, SavedArray):
        return value.tensor
    kind = value.name if isinstance(value, Placeholder) else ""
    if kind.startswith(("torch._utils._rebuild", "torch._tens")):
        kind = kind.rpartition("_rebuild_")[2]
        raise ValueError(
            f"{name:.100} is a tensor of an unsupported kind ({kind}); save a dense, plain one"
        )
    return value if isinstance(value, Tensor) else None


def _same(one: Tensor, other: Tensor) -> bool:
    return one.shape == other.shape and one.dtype == other.dtype and torch.equal(one, other)


def _of_mmengine_average(content: Any) -> bool:
    """Whether MMEngine's EMAHook wrote it: `state_dict` is the average there."""
    return isinstance(content, Mapping) and {"ema_state_dict", "message_hub"} <= {*content}
