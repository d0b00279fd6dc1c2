"""The bytes of tensors in a file, and tensors over them; nothing is larger than the file."""

import math
import mmap
import re
import sys
import zipfile
from dataclasses import dataclass
from typing import IO, Any

import numpy as np
import torch
from torch import Tensor

from video_gc.models.weights.reading.placeholders import Placeholder, RefusedError

LOCAL_HEADER = 30
"""Bytes before the name in a zip's entry (APPNOTE 4.3.7); the last four are two lengths."""
TENSORS = 200_000
"""Largest number of tensors in one file: a few bytes of a pickle can request each."""


@dataclass(frozen=True)
class StorageType:
    """A class of storages named in a file."""

    dtype: torch.dtype


class Storages:
    """The storages of one file, by key; each is read once.

    size: of the file in bytes; all storages together cannot have more.
    """

    def __init__(self, size: int) -> None:
        self.left = size
        self.raw: dict[str, Tensor] = {}
        self.tensors = 0

    def __call__(self, saved: Any) -> Tensor:
        """torch's persistent id → the elements of a storage (numel,).

        Raises RefusedError for another kind of id, and for a claim beyond the file's size.
        """
        if not isinstance(saved, tuple) or not saved or saved[0] not in ("storage", "module"):
            raise RefusedError("an external object that is not a storage is not allowed")
        if saved[0] == "module":  # a class and its source, which are ignored
            return saved[1]
        kind, key, _place, count, *views = saved[1:]
        if not isinstance(kind, StorageType) or not isinstance(key, str | int):
            name = kind.name if isinstance(kind, Placeholder) else "no type"
            raise RefusedError(f"a storage of {name} is not allowed; save plain, dense tensors")
        key, nbytes = str(key), whole(count) * kind.dtype.itemsize
        if key not in self.raw:
            if nbytes > self.left:
                raise RefusedError(
                    f"storage {key!r:.40} claims {nbytes} bytes, more than the file has left"
                )
            self.left -= nbytes
            self.raw[key] = self.read(key, nbytes, kind.dtype)
        raw = self.raw[key]
        if len(raw) < nbytes:
            raise RefusedError(f"storage {key!r:.40} is claimed in two sizes")
        elements = raw[:nbytes].view(kind.dtype)
        if views and views[0] is not None:  # torch before 0.4
            _key, first, length = views[0]
            if whole(first) + whole(length) > len(elements):
                raise RefusedError(f"a view beyond storage {key!r:.40} is not allowed")
            return elements[first : first + length]
        return elements

    def read(self, key: str, nbytes: int, dtype: torch.dtype) -> Tensor:
        """The bytes of a storage, as uint8 (nbytes,), aligned."""
        raise NotImplementedError

    def tensor(self, storage: Any, offset: Any, size: Any, stride: Any) -> Tensor:
        """A strided tensor over a storage's elements.

        Raises RefusedError for one that leaves its storage or is larger than it (`expand`).
        """
        self.tensors += 1
        if self.tensors > TENSORS:
            raise RefusedError(f"more than {TENSORS} tensors are not allowed")
        if not isinstance(storage, Tensor):
            raise RefusedError("a tensor without a storage is not allowed")
        shape, steps, first = [whole(n) for n in size], [whole(n) for n in stride], whole(offset)
        if len(shape) != len(steps) or len(shape) > 64:
            raise RefusedError("a tensor whose size and stride differ in length is not allowed")
        count = math.prod(shape)
        last = first + sum((n - 1) * s for n, s in zip(shape, steps, strict=True))
        if count and (last >= len(storage) or count > len(storage)):
            raise RefusedError(
                f"a tensor of {count} elements in a storage of {len(storage)} is not allowed; "
                "save a copy (.clone()) of an expanded tensor"
            )
        return storage.as_strided(shape, steps, first if count else 0)


class ZipStorages(Storages):
    """Torch's files since 1.6: a zip with uncompressed records.

    mapped: read the bytes from the file at their first use.
    """

    def __init__(self, file: IO[bytes], size: int, *, mapped: bool = False) -> None:
        super().__init__(size)
        self.file, self.size = file, size
        self.records: dict[str, zipfile.ZipInfo] = {}
        for record in zipfile.ZipFile(file).infolist():
            self.records.setdefault(record.filename, record)
        pickles = [name for name in self.records if re.fullmatch(r"[^/]*/data\.pkl", name)]
        if not pickles:
            raise RefusedError("a zip without torch's data.pkl is not allowed")
        self.folder = pickles[0].removesuffix("data.pkl")
        order = f"{self.folder}byteorder"
        self.swap = order in self.records and self.content(order) != sys.byteorder.encode()
        self.mapping = (
            mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_COPY) if mapped and size else None
        )

    def place(self, name: str) -> tuple[int, int]:
        """The offset of a record's bytes in the file, and their number."""
        record = self.records[name]
        if record.compress_type != zipfile.ZIP_STORED or record.compress_size != record.file_size:
            raise RefusedError(f"{name!r:.60} is compressed, as torch.save never does")
        self.file.seek(record.header_offset)
        header = self.file.read(LOCAL_HEADER)
        if len(header) != LOCAL_HEADER or header[:4] != b"PK\x03\x04":
            raise ValueError(f"{name!r:.60} is not at the place that the zip gives")
        start = record.header_offset + LOCAL_HEADER
        start += int.from_bytes(header[26:28], "little") + int.from_bytes(header[28:30], "little")
        if start + record.file_size > self.size:
            raise ValueError(f"{name!r:.60} ends after the file")
        return start, record.file_size

    def content(self, name: str) -> bytes:
        """A whole record."""
        start, length = self.place(name)
        self.file.seek(start)
        return self.file.read(length)

    def read(self, key: str, nbytes: int, dtype: torch.dtype) -> Tensor:
        """As `Storages.read`."""
        start, length = self.place(f"{self.folder}data/{key}")
        if nbytes > length:
            raise RefusedError(f"storage {key!r:.40} claims {nbytes} bytes of {length}")
        if not nbytes:
            return torch.empty(0, dtype=torch.uint8)
        if self.mapping is not None and not self.swap:
            mapped = torch.frombuffer(self.mapping, dtype=torch.uint8, count=nbytes, offset=start)
            return mapped if mapped.data_ptr() % 16 == 0 else mapped.clone()
        self.file.seek(start)
        raw = fill(self.file, nbytes)
        if self.swap:
            width = dtype.itemsize // (2 if dtype.is_complex else 1)
            raw.numpy().view(f"u{width}").byteswap(inplace=True)
        return raw


class LaterStorages(Storages):
    """Torch's files before 1.6: the storages follow the pickles, in the order of a list."""

    def __init__(self, size: int) -> None:
        super().__init__(size)
        self.widths: dict[str, int] = {}

    def read(self, key: str, nbytes: int, dtype: torch.dtype) -> Tensor:
        """As `Storages.read`; zeros until `fill` reads them."""
        self.widths[key] = dtype.itemsize
        return torch.zeros(nbytes, dtype=torch.uint8)

    def fill(self, file: IO[bytes], keys: list[Any]) -> None:
        """Read all storages from the file's position, in the order of `keys`.

        Raises ValueError if `keys` are not these storages.
        """
        if sorted(map(str, keys)) != sorted(self.raw):
            raise ValueError("the list of storages does not match the tensors")
        for key in map(str, keys):
            raw = self.raw[key]
            count = int.from_bytes(file.read(8), "little")
            if count * self.widths[key] != len(raw):
                raise ValueError(f"storage {key!r:.40} has a size that its tensors do not")
            raw.copy_(fill(file, len(raw)))


def fill(file: IO[bytes], nbytes: int) -> Tensor:
    """The next bytes of a file, as uint8 (nbytes,)."""
    raw = torch.empty(nbytes, dtype=torch.uint8)
    target: np.ndarray = raw.numpy()
    if nbytes and file.readinto(target.data) != nbytes:  # type: ignore[attr-defined]
        raise EOFError("the file ends inside a storage")
    return raw


def whole(value: Any) -> int:
    """The value if it is a valid count. Raises RefusedError otherwise."""
    if not isinstance(value, int) or not 0 <= value < 1 << 62:
        shown = str(value)[:30] if isinstance(value, int) else f"a {type(value).__name__}"
        raise RefusedError(f"{shown} as a size is not allowed")
    return value
