"""The videos already scored, so that a stopped test can be resumed.

A folder has one file for each process: first the identity of the test, then a line per video with
its checksum. An incomplete line is ignored. The files are removed when the results are written, and
so is the folder if it is empty.
"""

import hashlib
import json
import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from torch import nn

from video_gc.atomic import journal, read_journal
from video_gc.data.batches.loader import micro_batch_size
from video_gc.data.dataset import VideoProblem, VideoViews
from video_gc.deploy.contract import digest_weights
from video_gc.deploy.inference_network import FastNetwork
from video_gc.evaluate.scores import VideoScore
from video_gc.outputs import Outputs
from video_gc.train.checkpoint import CheckpointContents
from video_gc.train.view_options import ViewConfig

FOLDER = "scored"
"""Its name in the folder of the results."""


def identity_of(
    models: Mapping[str, nn.Module | FastNetwork],
    contents: CheckpointContents,
    views: VideoViews,
    config: ViewConfig,
    device: str,
    **more: str,
) -> dict[str, str]:
    """Everything that the scores of a video depend on: name → a text that changes with it.

    more: further names and texts.
    """
    index, every = views.index, views.clips * views.crops
    in_call = config.views_in_call(views.clip, device)
    paths, labels = index.table["path"].to_pylist(), index.joined_names().to_pylist()
    listed = repr([paths, labels, index.names, index.segments()])
    return {
        "weights": " ".join(f"{name}:{weights_hash(model)}" for name, model in models.items()),
        "network": repr(contents.model),
        "clip": repr([contents.clip, contents.normalisation]),
        "views": f"{views.clips} × {views.crops}, {config.fuse}",
        "micro-batches": str(micro_batch_size(every, in_call)),
        "decoder": repr(views.decoding),
        "list of videos": hashlib.blake2b(listed.encode(), digest_size=8).hexdigest(),
        "device": device,
        **more,
    }


def weights_hash(network: nn.Module | FastNetwork) -> str:
    """16 hexadecimal digits that change with any weight or buffer, or with an exported file."""
    if isinstance(network, FastNetwork):
        return network.file_hash
    digest = hashlib.blake2b(digest_size=8)
    digest_weights(digest, network.state_dict().items())
    return digest.hexdigest()


class Journal:
    """The journal of one process; see `open_journal`."""

    def __init__(self, write: Callable[[object], None], identity: Mapping[str, str]) -> None:
        self._write = write
        self._keep(identity)

    def add(self, video: VideoScore) -> None:
        """Append a video's scores; they survive if the process is killed."""
        self._keep(asdict(video))

    def _keep(self, content: Mapping[str, Any]) -> None:
        text = json.dumps(content, default=np.ndarray.tolist)  # keeps every digit of a float32
        self._write([zlib.crc32(text.encode()), text])


def claim_journals(folder: Path, processes: int) -> None:
    """Note the files of so many processes as ours, before any process writes.

    Raises FileExistsError if a file that is not ours has such a name.
    """
    outputs = Outputs(folder)
    for rank in range(processes):
        outputs.claim(f"{rank}.jsonl")


@contextmanager
def open_journal(folder: Path, rank: int, identity: Mapping[str, str]) -> Iterator[Journal]:
    """Yield the journal of one process, with the identity of the test written."""
    with journal(folder / f"{rank}.jsonl", what="test", way="another --out") as write:
        yield Journal(write, identity)


def read_journals(
    folder: Path, identity: Mapping[str, str]
) -> tuple[dict[int, VideoScore], list[str]]:
    """Row → its scores from earlier starts, and the names in `identity` that differ from theirs.

    If anything differs, there are no scores.
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
                found[line["row"]] = _video_score(line)
    return found, []


def remove_journals(folder: Path) -> None:
    """Remove the journals, and the folder if it is empty."""
    outputs = Outputs(folder)
    for name in outputs.names():
        outputs.remove(name)
    with suppress(OSError):  # missing, or holds other files
        folder.rmdir()


def _sound_lines(file: Path) -> Iterator[dict[str, Any]]:
    for line in read_journal(file):
        match line:
            case [int(checksum), str(text)] if checksum == zlib.crc32(text.encode()):
                yield json.loads(text)


def _video_score(line: dict[str, Any]) -> VideoScore:
    """The inverse of `Journal.add`."""
    arrays = {"scores": np.float32, "hits": np.int64, "each": np.float32}
    given = {name: np.array(line[name], kind) for name, kind in arrays.items() if line[name]}
    return VideoScore(
        line["row"],
        line["views"],
        **given,
        problems=[VideoProblem(**each) for each in line["problems"]],
    )
