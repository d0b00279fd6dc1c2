"""How a network runs fastest on this machine, once `video-gc benchmark predict --choose` knows it.

A small file in the user's cache folder for each trained network, clip size, kind of machine, number
of threads and version of torch. Remove ~/.cache/video_gc/fastest to forget.
"""

import hashlib
import json
import platform
from dataclasses import asdict, dataclass
from importlib.util import find_spec
from pathlib import Path

import torch
from torch import nn

from video_gc.atomic import write_text
from video_gc.deploy.choices import BACKENDS, PRECISIONS
from video_gc.deploy.contract import hash_weights
from video_gc.shipped import cache_folder

FOLDER = "fastest"
ClipShape = tuple[int, int, int]


@dataclass(frozen=True)
class Way:
    """How to run a network."""

    precision: str
    """fp32 or bf16"""
    backend: str
    """eager, compile or openvino"""
    micro_batch: int
    """clips in one call"""

    def __post_init__(self) -> None:
        known = self.precision in PRECISIONS[1:] and self.backend in BACKENDS[1:]
        if not known or not isinstance(self.micro_batch, int) or self.micro_batch < 1:
            raise ValueError(f"{self} is no way to run a network")


def remember_fastest(way: Way, model: nn.Module, clip: ClipShape, device: torch.device) -> Path:
    """Keep the fastest way of a network with clips of (T, H, W); returns the file."""
    return write_text(cache_folder(FOLDER) / _name(model, clip, device), json.dumps(asdict(way)))


def fastest(model: nn.Module, clip: ClipShape, device: torch.device) -> Way | None:
    """The way that was remembered for exactly this; None without one, or if it needs a package
    that is no longer installed.
    """
    try:
        folder = cache_folder(FOLDER)
        if not folder.is_dir():  # weights are hashed for those who have chosen something
            return None
        way = Way(**json.loads((folder / _name(model, clip, device)).read_text("utf-8")))
    except (OSError, ValueError, TypeError, RuntimeError):  # RuntimeError: a user without a home
        return None
    return None if way.backend == "openvino" and not find_spec("openvino") else way


def _name(model: nn.Module, clip: ClipShape, device: torch.device) -> str:
    of = device.type, torch.get_num_threads(), platform.machine(), _processor(), torch.__version__
    network = repr(model), hash_weights(model.state_dict())
    digest = hashlib.blake2b(repr((of, clip, network)).encode(), digest_size=12)
    return f"{digest.hexdigest()}.json"


def _processor() -> str:
    """Its name, and what it can do: virtual machines call many processors alike."""
    try:
        lines = Path("/proc/cpuinfo").read_text("utf-8").splitlines()
    except OSError:
        lines = [platform.processor()]
    told = "model name", "flags", "Features", "CPU implementer", "CPU part"
    return "\n".join(sorted({line for line in lines if line.startswith(told)}))
