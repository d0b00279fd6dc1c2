"""A file of weights → names and tensors; nothing in the file can run.

One reader for torch's files of every age, for pickles (Caffe2) and for safetensors, checkpoints of
ours included. torch.load(weights_only=True) has no part in it: it runs no code, but believes sizes
and hashes keys that a file chooses (docs/weights.md, Safety), and for files from before torch 1.6
it writes patches to where a file says.
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
"""Under which name a checkpoint of ours has its description."""
OTHERS = {
    b"\x1f\x8b": "is compressed with gzip; unpack it",
    b"\x89HDF": "is an HDF5 file; save it with torch or as safetensors",
    b"version https://git-lfs": "is a pointer of Git LFS; fetch the file itself with git lfs pull",
    b"<": "is a web page, such as one that says why a download failed",
}
"""How files begin that are often taken for weights → what they are."""


@dataclass(frozen=True)
class WeightFile:
    """What a file of weights holds."""

    state: State
    ours: bool
    """whether it is a checkpoint of a run of ours"""
    extra: dict[str, Any]
    """what lies beside the weights, such as PySlowFast's `cfg` and MMAction2's `meta`: dictionaries
    by string, lists, strings, numbers and None, which also stands for any other object"""
    kind: str = "raw"
    """raw (as trained) or ema (averaged): which weights these are"""
    kinds: tuple[str, ...] = ("raw",)
    """all that the file has"""


def read_weights(path: Path) -> State:
    """The tensors of a checkpoint of any supported origin, under the names they have there.

    Without what wraps the names: `module.`, `model.`, `_orig_mod.` and such. Raises as
    `read_with_origin`.
    """
    return read_with_origin(path).state


def read_with_origin(path: Path, kind: str | None = None) -> WeightFile:
    """As `read_weights`, with where the weights come from and what lies beside them.

    kind: raw (as trained) or ema (averaged); by default the averaged ones where there are any.

    Raises ValueError for a file without weights, of several networks, or without weights of this
    kind, and for one that asks for anything beside tensors, arrays and data, naming it.
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
    """All that a file of weights or a checkpoint holds: dictionaries, lists, numbers and tensors.

    Tensors are on the CPU, without gradients. Objects of other packages are Placeholders.

    mapped: read a tensor from the file at its first use, for callers that want few of them.

    Raises ValueError naming the file for one that is damaged, that is none of these, or that asks
    for anything else; OSError where it cannot be opened.
    """
    name = os.fspath(path)
    if not stat.S_ISREG(os.stat(path).st_mode):  # opening a pipe would block
        raise ValueError(f"{name}: holds no weights; it is no regular file")
    with open(path, "rb") as file:
        try:
            return _read(file, os.fstat(file.fileno()).st_size, mapped)
        except RefusedError as error:
            reason = str(error)
        except Exception as error:  # a damaged file can raise any
            reason = f"damaged or incomplete, or no file of weights: {type(error).__name__}"
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
    """inner: whether there may be files inside, as in a pickle alone."""
    storages = LaterStorages(size)
    names = AllowedNames(storages, size, _inner if inner else _no_inner)

    def load() -> Any:
        return Unpickler(file, size, names, storages).load()

    content = load()
    if not isinstance(content, int) or content != MAGIC_NUMBER:  # a pickle alone, as Caffe2's
        if storages.raw:
            raise RefusedError("tensors without the storages that torch writes behind them")
        return content
    if load() != PROTOCOL_VERSION:
        raise RefusedError("a version of torch's format that is not known")
    load()  # of the machine that wrote it; the numbers' bytes are in one order anyway
    content = load()
    storages.fill(file, load())
    return content


def _inner(content: bytes) -> Any:
    return _read_pickles(io.BytesIO(content), len(content), inner=False)


def _no_inner(_content: bytes) -> Any:
    raise RefusedError("a file inside a file of torch's is not allowed")


def _read_safetensors(name: str) -> dict[str, Any]:
    """As a checkpoint of ours: the tensors as `state_dict`, beside them what the header says."""
    with safe_open(name, "pt") as opened:
        described: dict[str, Any] = dict(opened.metadata() or {})
        if OWN in described:
            described[OWN] = json.loads(described[OWN])
        state = {key: opened.get_tensor(key) for key in opened.keys()}  # noqa: SIM118
    return described | {"state_dict": state}
