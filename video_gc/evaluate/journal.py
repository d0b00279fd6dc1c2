"""Which videos are scored already: what a test that was stopped need not do again.

A folder with one file for each process and start, which is only ever appended to: a line a video,
with a checksum before it, after a first line that says what was tested. A line that was torn when
the process died is not counted. The files go when the results are written, and the folder where
nothing else is in it.
"""

import base64
import json
import re
import zlib
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from video_gc.data.dataset import Trouble
from video_gc.evaluate.scores import VideoScore

FOLDER = "scored"
"""Its name among the results."""
NAME = re.compile(r"(\d{3,})-\d+\.journal")
"""The number of the start, and of the process."""
BEGIN = re.compile(rb"[0-9a-f]{0,8}|[0-9a-f]{8} \{?")
"""Ten bytes of one, or what was written of them when the process died."""


class Journal:
    """What one process adds to. Raises FileExistsError where it is there: another test."""

    def __init__(self, folder: Path, name: str, identity: Mapping[str, str]) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        try:
            self._stream = (folder / f"{name}.journal").open("x", encoding="ascii")
        except FileExistsError as error:
            raise FileExistsError(
                f"{folder}: another test is writing here; wait for it, or give another --out"
            ) from error
        self._write(dict(identity))

    def add(self, video: VideoScore) -> None:
        """Keep a video's scores; they survive the end of the process, however it comes."""
        self._write(_packed(video))

    def close(self) -> None:
        """No more videos."""
        self._stream.close()

    def _write(self, content: dict[str, Any]) -> None:
        text = json.dumps(content)
        self._stream.write(f"{zlib.crc32(text.encode()):08x} {text}\n")
        self._stream.flush()


def read_journals(
    folder: Path, identity: Mapping[str, str]
) -> tuple[dict[int, VideoScore], list[str]]:
    """Row → what earlier starts kept of it, and what of `identity` differs from theirs.

    Where anything differs nothing of theirs counts.
    """
    found: dict[int, VideoScore] = {}
    for _, file in _journals(folder):
        lines = _sound_lines(file)
        theirs = next(lines, None)
        if theirs is None:  # it died before its first line
            continue
        differs = [name for name, value in identity.items() if theirs.get(name) != value]
        if differs:
            return {}, differs
        for line in lines:
            found[line["row"]] = _unpacked(line)
    return found, []


def next_start(folder: Path) -> int:
    """The number of the next start: one more than the last that left a file."""
    return 1 + max((start for start, _ in _journals(folder)), default=0)


def remove_journals(folder: Path) -> None:
    """Remove the journals, and the folder where nothing else is in it."""
    for _, file in _journals(folder):
        file.unlink(missing_ok=True)
    with suppress(OSError):  # it is not there, or holds something of somebody else's
        folder.rmdir()


def _journals(folder: Path) -> list[tuple[int, Path]]:
    """(number of the start, file), sorted; what is no journal has another name or another begin."""
    found = []
    for file in sorted(folder.glob("*.journal")):
        match = NAME.fullmatch(file.name)
        if match and file.is_file():
            with file.open("rb") as stream:
                if BEGIN.fullmatch(stream.read(10)):
                    found.append((int(match[1]), file))
    return found


def _sound_lines(file: Path) -> Iterator[dict[str, Any]]:
    with file.open("rb") as stream:
        for line in stream:
            checksum, _, text = line.rstrip(b"\n").partition(b" ")
            if not line.endswith(b"\n") or checksum != b"%08x" % zlib.crc32(text):
                return
            yield json.loads(text)


def _packed(video: VideoScore) -> dict[str, Any]:
    return {
        "row": video.row,
        "views": video.views,
        "scores": _text(video.scores),
        "hits": None if video.hits is None else video.hits.tolist(),
        "each": None if video.each is None else _text(video.each),
        "troubles": [asdict(trouble) for trouble in video.troubles],
    }


def _unpacked(line: dict[str, Any]) -> VideoScore:
    return VideoScore(
        line["row"],
        line["views"],
        _array(line["scores"]),
        None if line["hits"] is None else np.array(line["hits"]),
        None if line["each"] is None else _array(line["each"]),
        [Trouble(**trouble) for trouble in line["troubles"]],
    )


def _text(array: np.ndarray) -> dict[str, Any]:
    content = np.ascontiguousarray(array, "<f4").tobytes()
    return {"shape": array.shape, "float32": base64.b64encode(content).decode()}


def _array(kept: dict[str, Any]) -> np.ndarray:
    values = np.frombuffer(base64.b64decode(kept["float32"]), "<f4")
    return values.reshape(kept["shape"])
