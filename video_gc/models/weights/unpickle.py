"""A pickle reader that builds tensors and arrays, and nothing else.

For the files that `torch.load(weights_only=True)` refuses: Caffe2's `.pkl`, and checkpoints of
MMEngine, whose weights lie beside objects of its own. Those objects become placeholders without
behaviour; any other name is refused, so a file cannot run code. The module stands in for `pickle`
in `torch.load(pickle_module=…)`.
"""

import pickle
from collections import OrderedDict
from typing import IO, Any

import numpy as np
import torch

PLACEHOLDERS = ("mmengine", "mmcv", "mmaction")
"""Packages whose objects are let in as placeholders."""


class Placeholder:
    """Stands for an object of another package and forgets all it is given."""

    def __init__(self, *_arguments: Any, **_named: Any) -> None:
        pass

    def __setstate__(self, _state: Any) -> None:
        pass

    def __call__(self, *_arguments: Any, **_named: Any) -> "Placeholder":
        """As of a function."""
        return self

    def append(self, _item: Any) -> None:
        """As of a list's subclass."""

    def extend(self, _items: Any) -> None:
        """As of a list's subclass."""

    def __setitem__(self, _key: Any, _value: Any) -> None:
        pass


def _attribute(owner: Any, _name: str) -> Placeholder:
    """`getattr`, by which pickle names a method of a placeholder's class, and only that."""
    if owner is Placeholder or isinstance(owner, Placeholder):
        return Placeholder()
    raise pickle.UnpicklingError(f"an attribute of {type(owner).__name__} is not allowed")


def _latin1(text: str, encoding: str) -> bytes:
    """`_codecs.encode` as Python 2's arrays use it."""
    if encoding != "latin1":
        raise pickle.UnpicklingError(f"the encoding {encoding} is not allowed")
    return text.encode("latin1")


ARRAYS: dict[str, Any] = {  # numpy has no public name for them
    "_reconstruct": np.zeros(1).__reduce__()[0],
    "scalar": np.float64(1).__reduce__()[0],
}
DTYPES = (torch.float32, torch.float64, torch.float16, torch.bfloat16, torch.int64)
ALLOWED: dict[tuple[str, str], Any] = {
    ("collections", "OrderedDict"): OrderedDict,
    ("torch", "Size"): torch.Size,
    ("torch", "device"): torch.device,
    ("torch._utils", "_rebuild_tensor_v2"): torch._utils._rebuild_tensor_v2,
    ("torch._utils", "_rebuild_parameter"): torch._utils._rebuild_parameter,
    ("numpy", "ndarray"): np.ndarray,
    ("numpy", "dtype"): np.dtype,
    ("_codecs", "encode"): _latin1,
    ("builtins", "getattr"): _attribute,
    ("builtins", "set"): set,
    **{
        (f"numpy.{core}.multiarray", name): function
        for core in ("core", "_core")
        for name, function in ARRAYS.items()
    },
    **{("torch", str(dtype).removeprefix("torch.")): dtype for dtype in DTYPES},
}
"""(module, name) → what a file may ask for; storages are torch's own affair."""


class Unpickler(pickle.Unpickler):
    """Refuses every name that is not allowed.

    Raises pickle.UnpicklingError naming it.
    """

    def find_class(self, module: str, name: str) -> Any:
        """What stands behind a name in the file."""
        module = {"__builtin__": "builtins"}.get(module, module)
        if (module, name) in ALLOWED:
            return ALLOWED[module, name]
        if module.split(".")[0] in PLACEHOLDERS:
            return Placeholder
        raise pickle.UnpicklingError(f"{module}.{name} is not allowed in a file of weights")


def load(file: IO[bytes], **arguments: Any) -> Any:
    """As `pickle.load`."""
    return Unpickler(file, **arguments).load()
