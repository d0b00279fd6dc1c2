"""The meaning of names in a file of weights: tensors, arrays of numbers, plain data.

No name is imported. torch's and numpy's constructors are never called with values from a file:
numpy's would build arrays over any bytes as pointers. Objects of other packages become
Placeholders; names of Python's library that are not data serve only attacks, and are refused.
"""

import math
import re
import sys
from _compat_pickle import IMPORT_MAPPING
from collections import Counter, OrderedDict
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor

from video_gc.models.weights.reading.placeholders import (
    Constructor,
    Placeholder,
    RefusedError,
    as_key,
)
from video_gc.models.weights.reading.storages import Storages, StorageType

DATA_MODULES = {"argparse", "collections", "copyreg", "datetime", "decimal", "enum", "fractions",
                "logging", "pathlib", "random", "types", "uuid", "zoneinfo"}  # fmt: skip
"""Modules of Python's library whose objects become Placeholders."""
DATA_TYPES = {"bool", "bytes", "dict", "float", "int", "list", "object", "range", "slice", "str",
              "tuple"}  # fmt: skip
"""The same for names of builtins."""
DTYPES = {name: dtype for name, dtype in vars(torch).items() if isinstance(dtype, torch.dtype)}
STORAGES = {
    "Double": torch.float64, "Float": torch.float32, "Half": torch.float16,
    "BFloat16": torch.bfloat16, "Long": torch.int64, "Int": torch.int32, "Short": torch.int16,
    "Char": torch.int8, "Byte": torch.uint8, "Bool": torch.bool, "Untyped": torch.uint8,
    "ComplexDouble": torch.complex128, "ComplexFloat": torch.complex64,
}  # fmt: skip
"""`torch.FloatStorage`, `torch.cuda.FloatStorage`, … without the last word → dtype."""


class SavedDtype(Placeholder):
    """A dtype in a file: the code and byte order of a number.

    Raises RefusedError for objects.
    """

    __slots__ = ("code",)

    def __init__(self, code: Any = None, *_arguments: Any) -> None:
        super().__init__("numpy.dtype")
        if not isinstance(code, str) or "O" in code:
            shown = code[:20] if isinstance(code, str) else type(code).__name__
            raise RefusedError(f"arrays of dtype {shown!r} are not allowed")
        self.code = code.lstrip("<>=|")

    @property
    def dtype(self) -> np.dtype:
        """The numpy dtype. Raises RefusedError unless it is a number."""
        if not re.fullmatch(r"[fiub]\d{1,2}", self.code):
            raise RefusedError(f"arrays of dtype {self.code[:20]!r} are not allowed")
        swapped = isinstance(self.state, tuple) and len(self.state) > 1 and self.state[1] == ">"
        return np.dtype((">" if swapped else "<") + self.code)


class SavedArray(Placeholder):
    """An array in a file; `tensor` makes it."""

    __slots__ = ("made",)

    def __init__(self, *_arguments: Any) -> None:
        super().__init__("numpy.ndarray")
        self.made: Tensor | None = None

    @property
    def tensor(self) -> Tensor:
        """The numbers, copied out of the file's bytes once.

        Raises ValueError if shape, dtype and bytes disagree, or torch lacks the dtype.
        """
        if self.made is None:
            _version, shape, numbers, column_major, content = self.state
            dtype = numbers.dtype
            content = content.encode("latin1") if isinstance(content, str) else content
            if math.prod(shape) * dtype.itemsize != len(content):
                raise ValueError(f"{len(content)} bytes for an array of shape {shape}")
            flat = np.frombuffer(content, dtype)
            array = flat.reshape(shape, order="F" if column_major else "C")
            self.made = torch.from_numpy(array.astype(dtype.newbyteorder("=")))
        return self.made


class AllowedNames:
    """`find` of an Unpickler, for one file.

    size: of its pickle in bytes; each is copied at most twice, from text to bytes to a storage.
    inner: reads a torch file stored in it as bytes.
    """

    def __init__(self, storages: Storages, size: int, inner: Callable[[bytes], Any]) -> None:
        self.storages, self.left, self.inner = storages, 2 * size, inner
        self.allowed: dict[tuple[str, str], Callable[..., Any]] = {
            ("torch._utils", "_rebuild_tensor"): storages.tensor,
            ("torch._utils", "_rebuild_tensor_v2"): self.tensor,
            ("torch._utils", "_rebuild_tensor_v3"): self.typed_tensor,
            ("torch._utils", "_rebuild_parameter"): _first,
            ("torch._utils", "_rebuild_parameter_with_state"): _first,
            ("torch._utils", "_rebuild_device_tensor_from_cpu_tensor"): _first,
            ("torch._utils", "_rebuild_device_tensor_from_numpy"): lambda array, *_: array.tensor,
            ("torch._tensor", "_rebuild_from_type_v2"): self.subclass,
            ("torch.nn.parameter", "Parameter"): _first,
            ("torch.storage", "_load_from_bytes"): self.inside,
            ("torch", "Size"): lambda sizes=(): torch.Size(self.copied(sizes)),
            ("collections", "OrderedDict"): self.ordered,
            ("collections", "Counter"): lambda counts=(): Counter(self.ordered(counts)),
            ("collections", "defaultdict"): lambda _factory=None, items=(): dict(
                self.ordered(items)
            ),
            ("numpy", "ndarray"): SavedArray,
            ("numpy", "dtype"): SavedDtype,
            ("_codecs", "encode"): self.encoded,
            ("builtins", "bytearray"): self.encoded,
            ("builtins", "bytes"): self.encoded,
            ("builtins", "complex"): complex,
            ("builtins", "getattr"): _attribute,
            ("builtins", "set"): _list,
            ("builtins", "frozenset"): _list,
            ("copyreg", "_reconstructor"): _reconstructed,
            ("copyreg", "__newobj__"): _made,
        }
        for core in ("numpy.core", "numpy._core"):
            self.allowed[f"{core}.multiarray", "_reconstruct"] = SavedArray
            self.allowed[f"{core}.multiarray", "scalar"] = _scalar
            self.allowed[f"{core}.numeric", "_frombuffer"] = _from_buffer

    def __call__(self, module: str, name: str) -> Any:
        """The meaning of a name. Raises RefusedError, naming it."""
        module = IMPORT_MAPPING.get(module, module)
        full = f"{module}.{name}"[:100]
        if (module, name) in self.allowed:
            return Constructor(full, self.allowed[module, name])
        if module == "torch" and name in DTYPES:
            return DTYPES[name]
        own, kind = module.split(".")[0], name.removesuffix("Storage")
        if own == "torch" and kind != name and kind in STORAGES:
            return StorageType(STORAGES[kind])
        if own == "builtins" and name in DATA_TYPES:
            return Placeholder(full)
        if own in sys.stdlib_module_names and own not in DATA_MODULES:
            raise RefusedError(f"{full} is not allowed in a file of weights")
        return Placeholder(full)

    def spend(self, size: int) -> None:
        """Account for a copy."""
        self.left -= size
        if self.left < 0:
            raise RefusedError("copies of its parts beyond its own size are not allowed")

    def copied(self, items: Any) -> list[Any]:
        """A list of items."""
        if not isinstance(items, list | tuple):
            raise RefusedError(f"a {type(items).__name__} for a list is not allowed")
        self.spend(len(items))
        return [*items]

    def ordered(self, items: Any = ()) -> OrderedDict[Any, Any]:
        """An OrderedDict from a dictionary, or from pairs as Python 2 writes them."""
        if isinstance(items, dict):
            self.spend(len(items))
            return OrderedDict(items)
        return OrderedDict((as_key(key), value) for key, value in self.copied(items))

    def encoded(self, text: Any = b"", encoding: str = "latin1") -> bytes:
        """Bytes, as protocol 2 writes them: as text in latin1."""
        if isinstance(text, bytes):
            return text
        if not isinstance(text, str) or encoding not in ("latin1", "latin-1"):
            raise RefusedError("bytes in an encoding other than latin1 are not allowed")
        self.spend(len(text))
        return text.encode("latin1")

    def inside(self, content: Any) -> Any:
        """A storage as pickle writes it without torch.save: as a file inside."""
        if not isinstance(content, bytes):
            raise RefusedError(f"a {type(content).__name__} for a file of torch is not allowed")
        self.spend(len(content))
        return self.inner(content)

    def tensor(self, storage: Any, offset: Any, size: Any, stride: Any, *flags: Any) -> Tensor:
        """As `Storages.tensor`. Raises RefusedError for a view that negates or conjugates."""
        if len(flags) > 2 and flags[2]:
            raise RefusedError("a negated or conjugated view is not allowed; save its .clone()")
        return self.storages.tensor(storage, offset, size, stride)

    def typed_tensor(self, *arguments: Any) -> Tensor:
        """As `tensor`, over a storage of bytes."""
        storage, offset, size, stride, gradient, hooks, dtype, *more = arguments
        if not isinstance(storage, Tensor) or not isinstance(dtype, torch.dtype):
            raise RefusedError("a tensor without a storage or a type is not allowed")
        return self.tensor(storage.view(dtype), offset, size, stride, gradient, hooks, *more)

    def subclass(self, function: Any, _type: Any, arguments: Any, _state: Any) -> Any:
        """A tensor of another class, as a plain one."""
        if isinstance(function, Constructor) and isinstance(arguments, tuple):
            return function.make(*arguments)
        return Placeholder("torch._tensor._rebuild_from_type_v2")


def _first(data: Any = None, *_flags: Any) -> Any:
    return data


def _list(items: Any = ()) -> Any:
    return items


def _made(kind: Any, *arguments: Any) -> Any:
    """An object of the class `kind`, as the protocols before 2 write it."""
    if isinstance(kind, Constructor):
        return kind.make(*arguments)
    return Placeholder(
        kind.name if isinstance(kind, Placeholder) else type(kind).__name__, arguments
    )


def _reconstructed(kind: Any, _base: Any, content: Any) -> Any:
    """As `_made`, for a class that extends `_base`, such as a dictionary."""
    made = _made(kind)
    if isinstance(made, Placeholder) and isinstance(content, dict):
        made.entries = content
    return made


def _attribute(owner: Any, _name: Any) -> Placeholder:
    """`getattr`, with which pickle names a method of a class."""
    if isinstance(owner, Placeholder):
        return Placeholder(owner.name)
    name = owner.name if isinstance(owner, Constructor) else type(owner).__name__
    raise RefusedError(f"getattr of {name} is not allowed")


def _scalar(numbers: Any, content: Any = b"") -> Any:
    """A numpy number as a Python number; None for text and dates."""
    if not isinstance(numbers, SavedDtype) or not isinstance(content, str | bytes):
        return None
    try:
        dtype = numbers.dtype
    except RefusedError:
        return None
    raw = content.encode("latin1") if isinstance(content, str) else content
    return np.frombuffer(raw[: dtype.itemsize], dtype)[0].item()


def _from_buffer(content: Any, numbers: Any, shape: Any, order: Any) -> SavedArray:
    """numpy's form of an array since pickle protocol 5."""
    array = SavedArray()
    array.state = (1, shape, numbers, order == "F", content)
    return array
