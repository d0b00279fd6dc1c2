"""A pickle reader that builds tensors and plain arrays of numbers, and nothing else.

For the files that `torch.load(weights_only=True)` refuses: Caffe2's `.pkl`, and checkpoints of
MMEngine, whose weights lie beside objects of its own. Those objects become placeholders without
behaviour; numpy's own constructors are never called, because they would build arrays over any bytes
as pointers; any other name is refused. The module stands in for `pickle` in
`torch.load(pickle_module=…)`.
"""

import pickle
import re
from collections import OrderedDict
from typing import IO, Any

import numpy as np
import torch

PLACEHOLDERS = ("mmengine", "mmcv", "mmaction")
"""Packages whose objects are let in as placeholders."""
DTYPES = (torch.float32, torch.float64, torch.float16, torch.bfloat16, torch.int64)


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


class Numbers:
    """What a file says of a dtype: the code and byte order of a number.

    Raises pickle.UnpicklingError for anything else, such as objects.
    """

    def __init__(self, code: Any, *_arguments: Any) -> None:
        if not re.fullmatch(r"[<>=|]?[fiub]\d+", str(code)):
            raise pickle.UnpicklingError(f"arrays of dtype {code!r} are not allowed")
        self.code, self.order = str(code).lstrip("<>=|"), "<"

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        self.order = state[1] if state[1] in ("<", ">") else "<"


class Array:
    """What a file says of an array; `value` makes it."""

    def __init__(self, *_arguments: Any) -> None:
        self.state: tuple[Any, ...] = ()

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        self.state = state

    @property
    def value(self) -> np.ndarray:
        """The array, copied out of the file's bytes."""
        _version, shape, numbers, column_major, content = self.state
        content = content.encode("latin1") if isinstance(content, str) else content
        flat = np.frombuffer(content, f"{numbers.order}{numbers.code}")
        return flat.reshape(shape, order="F" if column_major else "C").astype(numbers.code)


def _from_buffer(content: Any, numbers: Numbers, shape: Any, order: str) -> Array:
    """numpy's form of an array since pickle protocol 5."""
    array = Array()
    array.state = (1, shape, numbers, order == "F", bytes(content))
    return array


def _attribute(owner: Any, _name: str) -> Placeholder:
    """`getattr`, by which pickle names a method of a placeholder's class, and only that."""
    if owner is Placeholder or isinstance(owner, Placeholder):
        return Placeholder()
    raise pickle.UnpicklingError(f"getattr of {owner!r} is not allowed")


def _latin1(text: str, encoding: str) -> bytes:
    """`_codecs.encode` as arrays written with protocol 2 use it."""
    if encoding != "latin1":
        raise pickle.UnpicklingError(f"the encoding {encoding} is not allowed")
    return text.encode("latin1")


ALLOWED: dict[tuple[str, str], Any] = {
    ("collections", "OrderedDict"): OrderedDict,
    ("torch", "Size"): torch.Size,
    ("torch", "device"): torch.device,
    ("torch._utils", "_rebuild_tensor_v2"): torch._utils._rebuild_tensor_v2,
    ("torch._utils", "_rebuild_parameter"): torch._utils._rebuild_parameter,
    ("numpy", "ndarray"): Array,
    ("numpy", "dtype"): Numbers,
    ("_codecs", "encode"): _latin1,
    ("builtins", "getattr"): _attribute,
    ("builtins", "set"): Placeholder,
    **{("torch", str(dtype).removeprefix("torch.")): dtype for dtype in DTYPES},
}
"""(module, name) → what a file gets for it; storages are torch's own affair."""
for _core in ("numpy.core", "numpy._core"):
    ALLOWED[f"{_core}.multiarray", "_reconstruct"] = Array
    ALLOWED[f"{_core}.multiarray", "scalar"] = Placeholder
    ALLOWED[f"{_core}.numeric", "_frombuffer"] = _from_buffer


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
