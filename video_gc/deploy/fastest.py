"""How a network runs fastest on this machine, once `video-gc benchmark predict --choose` knows it.

A small file in the user's cache folder for each trained network, clip size, kind of machine, number
of threads, version of torch and of OpenVINO; beside it a network in int8. Remove
~/.cache/video_gc/fastest to forget.
"""

import hashlib
import json
import platform
import shutil
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import torch
from torch import nn

from video_gc.atomic import atomic_path, write_text
from video_gc.deploy.choices import BACKENDS, PRECISIONS
from video_gc.deploy.contract import hash_weights
from video_gc.deploy.model_file import files_hash
from video_gc.extras import installed
from video_gc.shipped import cache_folder

FOLDER = "fastest"
INT8 = "int8"
ClipShape = tuple[int, int, int]


@dataclass(frozen=True)
class Way:
    """How to run a network."""

    precision: str
    """fp32, bf16 or int8"""
    backend: str
    """eager, compile or openvino"""
    micro_batch: int
    """clips in one call"""
    file: Path | None = None
    """int8: OpenVINO's model, an .xml with its .bin beside it"""

    def __post_init__(self) -> None:
        int8 = (self.precision, self.backend) == (INT8, "openvino")
        known = self.precision in PRECISIONS[1:] and self.backend in BACKENDS[1:]
        number = isinstance(self.micro_batch, int) and self.micro_batch > 0
        if not number or not (isinstance(self.file, Path) if int8 else known and not self.file):
            raise ValueError(f"{self} is no way to run a network")


def remember_fastest(way: Way, model: nn.Module, clip: ClipShape, device: torch.device) -> Path:
    """Keep the fastest way of a network with clips of (T, H, W), and its file, if it has one.

    Returns the file that says so.
    """
    folder, name = cache_folder(FOLDER), _name(model, clip, device)
    kept = asdict(way)
    if way.file:  # under a name of its own: a process that runs keeps the one that it has
        kept["file"] = f"{name}_{files_hash(way.file)}.xml"
        for suffix in (".bin", ".xml"):
            with atomic_path((folder / kept["file"]).with_suffix(suffix)) as part:
                shutil.copyfile(way.file.with_suffix(suffix), part)
    said = write_text(folder / f"{name}.json", json.dumps(kept))
    for other in folder.glob(f"{name}_*"):
        if other.stem != Path(kept["file"] or "").stem:
            other.unlink(missing_ok=True)
    return said


def fastest(model: nn.Module, clip: ClipShape, device: torch.device) -> Way | None:
    """The way that was remembered for exactly this; None without one, or if it needs a package
    or file that is no longer there.
    """
    try:
        folder = cache_folder(FOLDER)
        if not folder.is_dir():  # weights are hashed for those who have chosen something
            return None
        kept = json.loads((folder / f"{_name(model, clip, device)}.json").read_text("utf-8"))
        file = folder / kept["file"] if kept.get("file") else None
        way = Way(**kept | {"file": file})
    except (OSError, ValueError, TypeError, AttributeError, RuntimeError):
        return None  # AttributeError: not an object; RuntimeError: a user without a home
    if way.backend == "openvino" and not installed("openvino"):
        return None
    parts = (way.file, way.file.with_suffix(".bin")) if way.file else ()
    return way if all(part.is_file() for part in parts) else None


def _name(model: nn.Module, clip: ClipShape, device: torch.device) -> str:
    machine = device.type, torch.get_num_threads(), platform.machine(), _processor()
    of = *machine, torch.__version__, _openvino()
    network = repr(model), hash_weights(model.state_dict())
    digest = hashlib.blake2b(repr((of, clip, network)).encode(), digest_size=12)
    return digest.hexdigest()


def _openvino() -> str:
    """Its version, empty if it is not installed."""
    try:
        return version("openvino")
    except PackageNotFoundError:
        return ""


def _processor() -> str:
    """Its name, and what it can do: virtual machines call many processors alike."""
    try:
        lines = Path("/proc/cpuinfo").read_text("utf-8").splitlines()
    except OSError:
        lines = [platform.processor()]
    told = "model name", "flags", "Features", "CPU implementer", "CPU part"
    return "\n".join(sorted({line for line in lines if line.startswith(told)}))
