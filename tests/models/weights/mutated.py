"""Files of weights with some bytes changed, read under a limit of memory."""

import io
import pickle
import random
import struct
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import save

from tests.forked import limit_memory
from video_gc.models.weights.reading.read import read_with_origin


def state() -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    return {f"layer{i}.weight": torch.randn(3, 4, generator=generator) for i in range(6)}


def _torch(zipped: bool) -> bytes:
    content = io.BytesIO()
    beside = {"milestones": Counter([3]), "path": Path("a/b"), "best": np.float32(0.5)}
    torch.save(
        {"state_dict": state(), "meta": beside}, content, _use_new_zipfile_serialization=zipped
    )
    return content.getvalue()


def _arrays(protocol: int) -> bytes:
    blobs = {name: value.numpy() for name, value in state().items()}
    return pickle.dumps({"blobs": blobs}, protocol)


MAKERS: dict[str, Callable[[], bytes]] = {
    "zip": lambda: _torch(True),
    "legacy": lambda: _torch(False),
    "protocol 0": lambda: _arrays(0),
    "protocol 2": lambda: _arrays(2),
    "protocol 5": lambda: _arrays(5),
    "plain state dict": lambda: pickle.dumps(state()),
    "safetensors": lambda: save(state()),
}


def mutate(content: bytes, draw: random.Random) -> bytes:
    """Change, cut, repeat, drop or exchange some bytes; large numbers where sizes may be."""
    changed = bytearray(content)
    for _ in range(draw.choice((1, 1, 2, 5, 20))):
        place = draw.randrange(len(changed))
        kind = draw.randrange(6)
        if kind == 0:
            changed[place] = draw.randrange(256)
        elif kind == 1:
            changed[place] ^= 1 << draw.randrange(8)
        elif kind == 2:
            large = draw.choice((1 << 31, (1 << 31) - 1, 1 << 40, 1 << 62, (1 << 64) - 1, 0))
            changed[place : place + 8] = struct.pack("<Q", large)
        elif kind == 3:
            other = draw.randrange(len(changed))
            length = draw.randrange(1, 40)
            changed[place:place] = changed[other : other + length]
        elif kind == 4 and len(changed) > 100:
            del changed[place : place + draw.randrange(1, 40)]
        elif draw.random() < 0.1:
            del changed[max(place, 1) :]
    return bytes(changed)


def attack(path: str, seed: int, rounds: int, send: Callable[[Any], None]) -> None:
    """Read `rounds` mutants of each kind; send how many were read and refused.

    For a process of its own, whose memory it limits.
    """
    originals = [make() for make in MAKERS.values()]
    for original in originals:  # what is imported late is imported before the limit
        Path(path).write_bytes(original)
        found = read_with_origin(Path(path))
        assert all(torch.equal(found.state[name], value) for name, value in state().items())
    limit_memory()
    draw, read = random.Random(seed), 0
    for _ in range(rounds):
        for original in originals:
            Path(path).write_bytes(mutate(original, draw))
            message = None
            try:
                read_with_origin(Path(path))
            except ValueError as error:
                message = str(error)
            assert message is None or message.startswith(path), message
            assert "MemoryError" not in (message or ""), Path(path).read_bytes()
            read += message is None
    send((read, rounds * len(originals) - read))
