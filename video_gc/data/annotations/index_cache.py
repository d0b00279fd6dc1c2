"""Convert a large list to an Arrow index once, then memory-map the index."""

import hashlib
import json
import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

from video_gc.data.index import DataError, VideoIndex
from video_gc.progress import download_bar
from video_gc.shipped import cache_folder

SMALL = 1 << 20
"""Smaller lists are read anew each time."""
NAME_BYTES = 190
"""Characters of the list's name used in the index's name, which may have 255 bytes."""


def converted(
    file: Path, options: dict[str, Any], root: str, convert: Callable[[], VideoIndex]
) -> VideoIndex:
    """`convert()`, or its earlier result for the same file and options.

    The index is .NAME.….arrow beside the file, or in the user's cache folder if that folder is not
    writable. It is rebuilt if the file's size or modification time changed, or if the index is
    damaged. `options` (JSON) is everything else that the conversion depends on, and `root` too if
    the `about` of the index says that it looked there.
    """
    stat = file.stat()
    if stat.st_size < SMALL:
        return convert()
    about = {"size": stat.st_size, "changed": stat.st_mtime_ns, "options": options}
    kept = _place(file, options)
    try:
        index = VideoIndex.open(kept)
        same = all(index.about.get(name) == value for name, value in about.items())
        if same and index.about.get("root") in (None, root):
            return index
    except (FileNotFoundError, DataError):
        pass
    # several processes may convert at once, each to its own name; the last rename stays
    with tempfile.TemporaryDirectory(dir=_folder(kept), prefix=".index-") as own:
        index = convert()
        os.replace(index.save(Path(own, kept.name), about | index.about), kept)
    return VideoIndex.open(kept)


@contextmanager
def opened(file: Path) -> Iterator[BinaryIO]:
    """The file, opened in binary mode; a large one under a progress bar."""
    size = file.stat().st_size
    with file.open("rb") as stream:
        if size < SMALL:
            yield stream
            return
        with download_bar() as progress:
            title = f"Converting {file.name}"
            yield progress.wrap_file(stream, size, description=title)


def _place(file: Path, options: dict[str, Any]) -> Path:
    digest = hashlib.sha256(json.dumps(options, sort_keys=True).encode()).hexdigest()[:8]
    shown = os.fsdecode(os.fsencode(file.name)[:NAME_BYTES])
    if shown != file.name:  # two long names may share a beginning
        digest = hashlib.sha256(os.fsencode(file.name) + digest.encode()).hexdigest()[:16]
    name = f".{shown}.{digest}.arrow"
    if os.access(file.parent, os.W_OK):
        return file.parent / name
    where = hashlib.sha256(str(file.resolve()).encode()).hexdigest()[:16]
    return cache_folder("indices") / f"{where}{name}"


def _folder(kept: Path) -> Path:
    kept.parent.mkdir(parents=True, exist_ok=True)
    return kept.parent
