"""Read a file of weights into names and tensors, without running anything in it.

One reader for torch's files of every version, for pickles (Caffe2), for safetensors and for our
checkpoints. It does not use torch.load(weights_only=True), which runs no code but trusts sizes and
keys in a file (docs/weights.md, Safety), and in files from before torch 1.6 writes patches to an
address from the file.
"""

import io
import json
import os
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from safetensors import safe_open
from torch.serialization import MAGIC_NUMBER, PROTOCOL_VERSION

from video_gc.models.weights.reading.constructors import AllowedNames
from video_gc.models.weights.reading.placeholders import RefusedError, plain
from video_gc.models.weights.reading.storages import LaterStorages, ZipStorages
from video_gc.models.weights.reading.unpickle import Unpickler
from video_gc.models.weights.states import KINDS, State, find_weights

OWN = "video_gc"
"""Key of the description in our checkpoints."""
OTHERS = {
    b"\x1f\x8b": "is compressed with gzip; unpack it",
    b"\x89HDF": "is an HDF5 file; save it with torch or as safetensors",
    b"version https://git-lfs": "is a pointer of Git LFS; fetch the file itself with git lfs pull",
    b"<": "is a web page, such as one that says why a download failed",
}
"""First bytes of files that are often mistaken for weights → what they are."""


@dataclass(frozen=True)
class WeightFile:
    """The content of a file of weights."""

    state: State
    ours: bool
    """whether it is a checkpoint of one of our runs"""
    extra: dict[str, Any]
    """values beside the weights, such as PySlowFast's `cfg` and MMAction2's `meta`: dictionaries by
    string, lists, strings, numbers and None, which also stands for any other object"""
    kind: str = "raw"
    """kind of these weights: raw (as trained) or ema (averaged)"""
    kinds: tuple[str, ...] = ("raw",)
    """all kinds in the file"""


def read_weights(path: Path) -> State:
    """The tensors of a checkpoint of any supported origin, under their names in the file.

    Wrappers such as `module.`, `model.` and `_orig_mod.` are removed. Raises as
    `read_with_origin`.
    """
    return read_with_origin(path).state


def read_with_origin(path: Path, kind: str | None = None) -> WeightFile:
    """As `read_weights`, with the origin of the weights and the values beside them.

    kind: raw (as trained) or ema (averaged); default: ema if the file has it.

    Raises ValueError for a file without weights, of several networks, without weights of this kind,
    or with anything but tensors, arrays and data, naming it.
    """
    content = read_file(path)
    try:
        found = find_weights(content)
        if kind is not None and kind not in found.states:
            raise ValueError(f"no {kind} weights, only {', '.join(found.states)}")
    except Exception as error:
        raise ValueError(f"{path}: holds no weights that can be used: {error}") from error
    kinds = tuple(name for name in KINDS if name in found.states)
    taken = kind or kinds[0]
    own = isinstance(content, dict) and OWN in content
    return WeightFile(found.states[taken], own, plain(found.extra), taken, kinds)


def read_file(path: str | os.PathLike[str], *, mapped: bool = False) -> Any:
    """The content of a file of weights or a checkpoint: dictionaries, lists, numbers and tensors.

    Tensors are on the CPU, without gradients. Objects of other packages are Placeholders.

    mapped: read a tensor from the file at its first use, for callers that need few of them.

    Raises ValueError naming the file if it is damaged, has another format or anything else in it;
    OSError if it cannot be opened.
    """
    name = os.fspath(path)
    if not stat.S_ISREG(os.stat(path).st_mode):  # opening a pipe would block
        raise ValueError(f"{name}: holds no weights; it is not a regular file")
    with open(path, "rb") as file:
        try:
            return _read(file, os.fstat(file.fileno()).st_size, mapped)
        except RefusedError as error:
            reason = str(error)
        except Exception as error:  # a damaged file can raise any
            reason = f"damaged or incomplete, or not a file of weights: {type(error).__name__}"
    raise ValueError(f"{name}: holds no weights that can be read safely ({reason})")


def _read(file: IO[bytes], size: int, mapped: bool) -> Any:
    first = file.read(512)
    file.seek(0)
    if first.startswith(b"PK\x03\x04"):
        return _read_zip(file, size, mapped)
    if first[257:262] == b"ustar":
        raise RefusedError(
            "a tar, as torch before 0.1.9 wrote; if you trust it, convert it with "
            "python -c \"import torch; torch.save(torch.load('OLD', weights_only=False), 'NEW')\""
        )
    if int.from_bytes(first[:8], "little") < size and first[8:9] == b"{":
        return _read_safetensors(file.name)
    for beginning, what in OTHERS.items():
        if first.startswith(beginning):
            raise RefusedError(f"it {what}")
    return _read_pickles(file, size, inner=True)


def _read_zip(file: IO[bytes], size: int, mapped: bool) -> Any:
    storages = ZipStorages(file, size, mapped=mapped)
    if f"{storages.folder}constants.pkl" in storages.records:
        raise RefusedError("it is a TorchScript program, which can run code; save its state_dict")
    content = storages.content(f"{storages.folder}data.pkl")
    names = AllowedNames(storages, len(content), _no_inner)
    return Unpickler(io.BytesIO(content), len(content), names, storages).load()


def _read_pickles(file: IO[bytes], size: int, *, inner: bool) -> Any:
    """inner: whether there may be files inside, as in a plain pickle."""
    storages = LaterStorages(size)
    names = AllowedNames(storages, size, _inner if inner else _no_inner)

    def load() -> Any:
        return Unpickler(file, size, names, storages).load()

    content = load()
    if not isinstance(content, int) or content != MAGIC_NUMBER:  # a plain pickle, as Caffe2's
        if storages.raw:
            raise RefusedError("tensors without the storages that torch writes after them")
        return content
    if load() != PROTOCOL_VERSION:
        raise RefusedError("an unknown version of torch's format")
    load()  # about the machine that wrote it; numbers have one byte order anyway
    content = load()
    storages.fill(file, load())
    return content


def _inner(content: bytes) -> Any:
    return _read_pickles(io.BytesIO(content), len(content), inner=False)


def _no_inner(_content: bytes) -> Any:
    raise RefusedError("a file inside a torch file is not allowed")


def _read_safetensors(name: str) -> dict[str, Any]:
    """In the form of our checkpoints: the tensors as `state_dict`, beside the header's values."""
    with safe_open(name, "pt") as opened:
        described: dict[str, Any] = dict(opened.metadata() or {})
        if OWN in described:
            described[OWN] = json.loads(described[OWN])
        state = {key: opened.get_tensor(key) for key in opened.keys()}  # noqa: SIM118
    return described | {"state_dict": state}
