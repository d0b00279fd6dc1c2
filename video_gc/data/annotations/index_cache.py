"""Big lists are converted to an Arrow index once; the next time it is memory-mapped."""

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

SMALL = 1 << 20
"""Bytes below which a list is read anew each time."""
NAME_BYTES = 190
"""Of a list's name that stand in the name of its index, which may have 255."""


def converted(
    file: Path, options: dict[str, Any], root: str, convert: Callable[[], VideoIndex]
) -> VideoIndex:
    """`convert()`, or what it gave for the same file and options before.

    The index lies beside the file as .NAME.….arrow, or in a cache folder of the user where that
    folder cannot be written. It is made again when the file has another size or time of change, or
    the index is damaged. `options` (JSON) is all that the conversion depends on beside the file,
    and `root` where the index says in its `about` that it looked there.
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
    # several processes may convert at once: each under a name of its own, and the last one stays
    with tempfile.TemporaryDirectory(dir=_folder(kept), prefix=".index-") as own:
        index = convert()
        os.replace(index.save(Path(own, kept.name), about | index.about), kept)
    return VideoIndex.open(kept)


@contextmanager
def opened(file: Path) -> Iterator[BinaryIO]:
    """The file, to be read in bytes; a big one under a progress bar."""
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
    if shown != file.name:  # two long names may begin alike
        digest = hashlib.sha256(os.fsencode(file.name) + digest.encode()).hexdigest()[:16]
    name = f".{shown}.{digest}.arrow"
    if os.access(file.parent, os.W_OK):
        return file.parent / name
    where = hashlib.sha256(str(file.resolve()).encode()).hexdigest()[:16]
    cache = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(cache).expanduser() / "video_gc" / "indices" / f"{where}{name}"


def _folder(kept: Path) -> Path:
    kept.parent.mkdir(parents=True, exist_ok=True)
    return kept.parent
