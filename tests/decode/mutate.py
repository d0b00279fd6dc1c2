"""Damage on purpose, repeatable by a seed, and what of it a reader reports."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import av
import numpy as np

from video_gc.decode.open import open_video
from video_gc.decode.reader import DecodeError

OFF = 3.0
"""mean difference in grey levels that makes a frame wrong"""
SIZE = (48, 64)
PACKET = {".ts": 188, ".m2ts": 192, ".mpg": 2048}
"""bytes of what these containers consist of"""


def packets(path: Path) -> list[tuple[int, int]]:
    """(place in the file, size) of each compressed picture."""
    with av.open(str(path)) as container:
        demuxed = list(container.demux(container.streams.video[0]))
    return [(packet.pos, packet.size) for packet in demuxed if packet.size and packet.pos]


def flip(path: Path, seed: int, count: int = 20) -> bytes:
    """Some bytes inside the pictures are changed."""
    random, content, places = _begin(path, seed)
    for _ in range(count):
        start, size = places[random.integers(len(places))]
        at = start + 16 + int(random.integers(max(size - 16, 1)))
        if at < len(content):
            content[at] ^= int(random.integers(1, 256))
    return bytes(content)


def zero(path: Path, seed: int) -> bytes:
    """A block of bytes anywhere among the pictures is zeroed."""
    random, content, places = _begin(path, seed)
    first, last = _span(places)
    length = min(int(random.choice([64, 512, 2048])), (last - first) // 4)
    at = int(random.integers(first, last - length))
    content[at : at + length] = bytes(length)
    return bytes(content)


def swap(path: Path, seed: int) -> bytes:
    """Two blocks of bytes change places."""
    random, content, places = _begin(path, seed)
    first, last = _span(places)
    length = min(int(random.choice([64, 512, 2048])), (last - first) // 8)
    chosen = random.choice((last - first) // length, 2, replace=False)
    a, b = (slice(at, at + length) for at in first + length * chosen)
    content[a], content[b] = content[b], content[a]
    return bytes(content)


def cut(path: Path, seed: int) -> bytes:
    """Packets of the container are taken out."""
    random, content, places = _begin(path, seed)
    if size := PACKET.get(path.suffix):
        length = size * (int(random.integers(1, 15)) if size < 2048 else 1)
        at = size * int(random.integers(places[0][0] // size + 1, (len(content) - length) // size))
    else:
        number = int(random.integers(1, len(places) - 1))
        at = places[number][0]
        length = places[number + 1][0] - at
    del content[at : at + length]
    return bytes(content)


@dataclass
class Found:
    """What was reported of how many mutated files."""

    wrong: int = 0
    reported: int = 0
    displaced: int = 0
    """wrong frames that are another one of the clean file"""
    displaced_reported: int = 0
    refused: int = 0
    """files that are an error as a whole"""


def measure(path: Path, mutate: Callable[[Path, int], bytes], seeds: range) -> Found:
    """Mutate the file once for each seed, and compare with the clean one by index."""
    clean, _ = read_all(path.read_bytes())
    found = Found()
    for seed in seeds:
        try:
            frames, damaged = read_all(mutate(path, seed))
        except DecodeError:
            found.refused += 1
            continue
        for index, frame in enumerate(frames):
            off = np.abs(clean.astype(int) - frame).mean((1, 2, 3))
            if index < len(clean) and off[index] <= OFF:
                continue
            found.wrong += 1
            found.reported += index in damaged
            if off.min() < 1:
                found.displaced += 1
                found.displaced_reported += index in damaged
    return found


def read_all(content: bytes) -> tuple[np.ndarray, dict[int, str]]:
    """Every frame, small, and what was reported."""
    with open_video(content, "pyav", damage="report", time_limit=20) as reader:
        return reader.read(range(len(reader)), size=SIZE), dict(reader.damaged)


def _begin(path: Path, seed: int) -> tuple[np.random.Generator, bytearray, list[tuple[int, int]]]:
    return np.random.default_rng(seed), bytearray(path.read_bytes()), packets(path)


def _span(places: list[tuple[int, int]]) -> tuple[int, int]:
    return min(at for at, _ in places), max(at + size for at, size in places)
