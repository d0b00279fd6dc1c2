"""Which videos are scored already: what a test that was stopped need not do again.

A folder with one file for each process: first what is tested, then a line a video, each with its
checksum. A line that was torn when the process died does not count. The files go when the results
are written, and the folder where nothing else is in it.
"""

import base64
import hashlib
import json
import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from video_gc.atomic import journal, read_journal
from video_gc.data.batches.view_batches import micro_batch_size
from video_gc.data.dataset import Trouble, VideoViews
from video_gc.evaluate.scores import VideoScore
from video_gc.outputs import Outputs
from video_gc.train.checkpoint import CheckpointContents
from video_gc.train.test_options import ViewConfig

FOLDER = "scored"
"""Its name among the results."""


def identity_of(
    models: Mapping[str, nn.Module],
    contents: CheckpointContents,
    views: VideoViews,
    config: ViewConfig,
    **more: str,
) -> dict[str, str]:
    """All that the scores of a video depend on: what → a text that differs where it does.

    config: with the precision and the backend that are used. more: what else there is.
    """
    index, every = views.index, views.clips * views.crops
    columns = [index.table["path"], index.joined_names()]
    listed = [column.to_pylist() for column in columns] + [index.names, index.segments()]
    return {
        "weights": " ".join(f"{name}:{weights_hash(model)}" for name, model in models.items()),
        "network": json.dumps(asdict(contents.model)),
        "clip": json.dumps([asdict(contents.clip), asdict(contents.normalisation)]),
        "views": f"{views.clips} × {views.crops}, {config.fuse}",
        "micro-batches": str(micro_batch_size(every, config.micro_batch)),
        "precision": f"{config.precision}, {config.backend}",
        "decoder": json.dumps(asdict(views.decoding)),
        "list of videos": _hash(repr(listed).encode()),  # a row number means the same video
        **more,
    }


def weights_hash(network: nn.Module) -> str:
    """16 hexadecimal digits that change with any weight or buffer."""
    parts = []
    for name, value in network.state_dict().items():
        parts.append(f"{name} {value.dtype} {tuple(value.shape)}\n".encode())
        content = value.detach().cpu().contiguous().reshape(-1).view(torch.uint8)
        parts.append(content.numpy().data)
    return _hash(*parts)


class Journal:
    """What one process adds to; see `open_journal`."""

    def __init__(self, write: Callable[[object], None]) -> None:
        self._write = write

    def add(self, video: VideoScore) -> None:
        """Keep a video's scores; they survive the end of the process, however it comes."""
        self.keep(_packed(video))

    def keep(self, content: Mapping[str, Any]) -> None:
        """A line with its checksum."""
        text = json.dumps(content)
        self._write([zlib.crc32(text.encode()), text])


def claim_journals(folder: Path, processes: int) -> None:
    """Note the files of so many processes as ours, before any of them writes.

    Raises FileExistsError where somebody else's has such a name.
    """
    outputs = Outputs(folder)
    for rank in range(processes):
        outputs.claim(f"{rank}.jsonl")


@contextmanager
def open_journal(folder: Path, rank: int, identity: Mapping[str, str]) -> Iterator[Journal]:
    """Yield the journal of one process, after what is tested was written to it."""
    with journal(folder / f"{rank}.jsonl", what="test", way="another --out") as write:
        kept = Journal(write)
        kept.keep(identity)
        yield kept


def read_journals(
    folder: Path, identity: Mapping[str, str]
) -> tuple[dict[int, VideoScore], list[str]]:
    """Row → what earlier starts kept of it, and what of `identity` differs from theirs.

    Where anything differs nothing of theirs counts.
    """
    found: dict[int, VideoScore] = {}
    for name in Outputs(folder).names():
        known = False  # its first line may be damaged
        for line in _sound_lines(folder / name):
            if "row" not in line:
                differs = [name for name, value in identity.items() if line.get(name) != value]
                if differs:
                    return {}, differs
                known = True
            elif known:
                found[line["row"]] = _unpacked(line)
    return found, []


def remove_journals(folder: Path) -> None:
    """Remove the journals, and the folder where nothing else is in it."""
    outputs = Outputs(folder)
    for name in outputs.names():
        outputs.remove(name)
    with suppress(OSError):  # it is not there, or holds something of somebody else's
        folder.rmdir()


def _sound_lines(file: Path) -> Iterator[dict[str, Any]]:
    for line in read_journal(file):
        match line:
            case [int(checksum), str(text)] if checksum == zlib.crc32(text.encode()):
                yield json.loads(text)


def _hash(*parts: bytes | memoryview) -> str:
    digest = hashlib.blake2b(digest_size=8)
    for part in parts:
        digest.update(part)
    return digest.hexdigest()


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
