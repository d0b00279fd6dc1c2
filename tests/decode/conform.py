"""Whether a decoder gives, frame by frame, what a plain sequential decode gives.

`python -m tests.decode.conform DECODER DEVICE FILE …` prints the outcomes as JSON: torchcodec needs
LD_LIBRARY_PATH to be set before its process starts.
"""

import io
import json
import os
import struct
import subprocess
import sys
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import torch
from torchvision.transforms.v2.functional import resize

from tests.conftest import SHARED
from tests.decode.videos import placed
from video_gc.decode.ffmpeg_env import library_path
from video_gc.decode.known_faults import kind_of, known_wrong
from video_gc.decode.open import open_video
from video_gc.decode.reader import DecodeError, VideoReader

FILES = sorted((SHARED / "videos").glob("*")) + sorted((SHARED / "clips").glob("*/*"))
"""Real files that are not part of the repository; none in a fresh clone."""
THIN = 4  # every 4th pixel is enough to tell which frame it is
NEIGHBOURS = 8
STRETCHED = 2.0
"""Grey levels, mean of a frame, between two ways of making pixels square."""
CLEARLY = 0.1  # grey levels by which another frame must be nearer to count as the one that came


@dataclass(frozen=True)
class Outcome:
    """One decoder on one file."""

    asked: int = 0
    """frames that were asked for"""
    off: int = 0
    """of those: none came, another one came, or it differs by more than the tolerance"""
    largest: float = 0.0
    """largest mean difference of a frame, grey levels"""
    length: tuple[int, int] = (0, 0)
    """frames: of the decoder, of the sequential decode"""
    late: float = 0.0
    """largest error of a frame's time, seconds"""
    error: str = ""
    """the first error, without the path"""
    known: str = ""
    """why known_faults.py takes another decoder"""
    warned: bool = False
    """asking for the decoder by name warned"""
    sources: bool = True
    """the file's bytes and the open file give the same frames as its path"""

    stretched: bool = False
    """its pixels are not square, so that the comparison scales, in another way than the reader"""

    @property
    def right(self) -> bool:
        """Every frame is the right one."""
        return not self.off and not self.error and self.length[0] == self.length[1]


class Plain:
    """All frames of a file, decoded from the start with PyAV and nothing in between."""

    def __init__(self, source: Path | bytes) -> None:
        self._source, self.stretched = source, False
        thin, times = [], []
        for frame, seconds in self._decode():
            thin.append(frame[::THIN, ::THIN].astype(np.int16))
            times.append(seconds)
        self.thin, self.times = np.stack(thin), np.array(times)

    def whole(self, indices: set[int]) -> dict[int, np.ndarray]:
        return {i: frame for i, (frame, _) in enumerate(self._decode()) if i in indices}

    def _decode(self) -> Iterator[tuple[np.ndarray, float]]:
        given = self._source
        file: Any = io.BytesIO(given) if isinstance(given, bytes) else str(given)
        with av.open(file) as container:
            stream = container.streams.best("video")
            stream.codec_context.thread_count = 1
            pixel = stream.sample_aspect_ratio
            if pixel is None or abs(pixel - 1) < 0.02:
                pixel = Fraction(1)
            self.stretched = pixel != 1
            matrix = None  # the first frame's: H.264 says it now and then
            for number, frame in enumerate(container.decode(stream)):
                if not number:
                    matrix = frame.side_data.get("DISPLAYMATRIX")
                picture = frame.to_ndarray(format="rgb24")
                seconds = np.nan if frame.pts is None else float(frame.pts * frame.time_base)
                yield _shown(picture, matrix, pixel), seconds


def _shown(picture: np.ndarray, matrix: Any, pixel: Fraction) -> np.ndarray:
    """As a player shows it: stretched, then placed by the display matrix."""
    if pixel != 1:
        size = [picture.shape[0], round(picture.shape[1] * pixel)]
        channels = torch.from_numpy(picture).permute(2, 0, 1)
        picture = resize(channels, size, antialias=True).permute(1, 2, 0).numpy()
    if not matrix:
        return picture
    a, b, _, c, d = struct.unpack("=5i", bytes(matrix)[:20])
    return placed(picture, (a >> 16, b >> 16, c >> 16, d >> 16))


def requests(count: int) -> list[list[int]]:
    """What is asked for: first, last, single frames, strided clips, unsorted with repetitions."""
    random = np.random.default_rng(count)
    singles = [[int(i)] for i in random.integers(0, count, 6)]
    start = int(random.integers(0, max(count - 32, 1)))
    strided = [min(start + 4 * step, count - 1) for step in range(8)]
    row = [min(count // 3 + step, count - 1) for step in range(8)]
    middle = count // 2
    return [[count - 1], [0], *singles, strided, row, [count - 1, middle, 0, middle, 3 % count]]


def outcome(path: Path, decoder: str, device: str = "cpu", tolerance: float = 0.0) -> Outcome:
    """Compare a decoder's frames with a sequential decode's.

    tolerance: mean difference, in grey levels, that a conversion of colours may make.
    """
    expected = Plain(path)
    if expected.stretched:
        tolerance = max(tolerance, STRETCHED)
    count = len(expected.thin)
    known = known_wrong(decoder, kind_of(path)) or ""
    clips = requests(count)
    whole = expected.whole({index for clip in clips for index in clip})
    asked, off, largest, error, length, late = sum(map(len, clips)), 0, 0.0, "", 0, 0.0
    sources = True
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            with open_video(path, decoder, device, time_limit=30) as reader:
                length, late = len(reader), _late(reader, expected.times)
                for clip in clips:
                    try:
                        frames = reader.read(clip)
                    except (DecodeError, IndexError) as failure:
                        off, error = off + len(clip), error or _reason(failure)
                        continue
                    for index, frame in zip(clip, frames, strict=True):
                        difference = _difference(frame, whole[index])
                        wrong = _another(frame, index, expected.thin) or difference > tolerance
                        off, largest = off + wrong, max(largest, difference)
                if not error:
                    sources = _same_from_sources(path, decoder, device, clips[-1], frames)
        except DecodeError as failure:
            off, error = asked, _reason(failure)
    warned = any(decoder in str(warning.message) for warning in caught)
    return Outcome(
        asked,
        int(off),
        round(float(largest), 3),
        (length, count),
        late,
        error,
        known,
        warned,
        sources,
        expected.stretched,
    )


def outcomes(
    paths: Sequence[Path], decoder: str, device: str = "cpu", tolerance: float = 2.0
) -> dict[str, Outcome]:
    """The same for many files in one process of its own that finds FFmpeg's libraries."""
    try:
        environment = os.environ | {"LD_LIBRARY_PATH": library_path()}
    except FileNotFoundError:  # the system's then
        environment = dict(os.environ)
    command = [sys.executable, "-m", "tests.decode.conform", decoder, device, str(tolerance)]
    done = subprocess.run(
        [*command, *map(str, paths)],
        env=environment,
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
    )
    if done.returncode:
        raise RuntimeError(done.stderr[-2000:])
    found = json.loads(done.stdout.splitlines()[-1])
    return {
        name: Outcome(**{**values, "length": tuple(values["length"])})
        for name, values in found.items()
    }


def _same_from_sources(
    path: Path, decoder: str, device: str, clip: list[int], frames: np.ndarray
) -> bool:
    same = []
    with path.open("rb") as file:
        for source in (path.read_bytes(), file):
            with open_video(source, decoder, device, time_limit=30) as reader:
                same.append(np.array_equal(reader.read(clip), frames))
    return all(same)


def _late(reader: VideoReader, times: np.ndarray) -> float:
    found = reader.times
    if len(found) != len(times) or np.isnan(times).any():
        return 0.0  # the length says it already; without stamps there is nothing to compare
    return round(float(np.abs(found - (times - times[0])).max()), 4)


def _difference(frame: np.ndarray, other: np.ndarray) -> float:
    if frame.shape != other.shape:
        return 255.0
    return float(np.abs(frame.astype(np.int16) - other).mean())


def _another(frame: np.ndarray, index: int, thin: np.ndarray) -> bool:
    """Whether the frame is nearer to one of the neighbours than to the one that was asked for."""
    small = frame[::THIN, ::THIN]
    if small.shape != thin.shape[1:]:
        return True
    start = max(index - NEIGHBOURS, 0)
    distances = np.abs(thin[start : index + NEIGHBOURS + 1] - small).mean((1, 2, 3))
    return bool(distances[index - start] > distances.min() + CLEARLY)


def _reason(error: Exception) -> str:
    return getattr(error, "reason", None) or str(error).split(": ", 1)[-1]


if __name__ == "__main__":
    _decoder, _device, _tolerance, *_paths = sys.argv[1:]
    print(
        json.dumps(
            {p: asdict(outcome(Path(p), _decoder, _device, float(_tolerance))) for p in _paths}
        )
    )
