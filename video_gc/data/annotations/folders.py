"""Folders of videos: a tree of class folders, and which of the listed files are there."""

import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from video_gc.data.annotations.labels import nearest
from video_gc.data.index import DataError, VideoIndex
from video_gc.progress import say, track

SUFFIXES = frozenset(
    {".3gp", ".asf", ".avi", ".flv", ".m4v", ".mkv", ".mov", ".mp4", ".mpeg", ".mpg", ".mts"}
    | {".ogv", ".ts", ".vob", ".webm", ".wmv"}
)
"""What counts as a video in a folder."""
PARTS = r"(?s)^(?P<folder>.*/)?(?P<name>[^/]+)/*$"
MANY = 200_000  # paths, from which on a progress bar is worth its line


def find_videos(folder: Path) -> list[Path]:
    """Every video file below `folder`, sorted; hidden ones are left out.

    Raises FileNotFoundError for a missing folder, DataError for one without videos.
    """
    if not folder.is_dir():
        raise FileNotFoundError(f"{folder}: no such folder")
    found = sorted(folder / name for name in walk_videos(folder))
    if not found:
        raise DataError(
            f"{folder}: no videos in this folder (training wants CLASS/video in it); "
            f"videos end in {', '.join(sorted(SUFFIXES))}"
        )
    return found


def walk_videos(folder: Path) -> Iterator[str]:
    """The videos below `folder`, relative to it; the kind of an entry comes with its name, so no
    file is asked for it. Linked folders are followed, each once.
    """
    seen = {os.path.realpath(folder)}
    waiting = [""]
    while waiting:
        below = waiting.pop()
        with os.scandir(os.path.join(folder, below)) as entries:
            for entry in entries:
                name = os.path.join(below, entry.name)
                if entry.is_dir():
                    if entry.is_symlink():
                        real = os.path.realpath(entry.path)
                        if real in seen:
                            continue
                        seen.add(real)
                    waiting.append(name)
                elif (
                    os.path.splitext(entry.name)[1].lower() in SUFFIXES
                    and not entry.name.startswith(".")
                    and entry.is_file()
                ):
                    yield name


def read_class_folders(root: Path, names: Sequence[str] | None = None) -> VideoIndex:
    """Index root/CLASS/…/file; the classes are the sorted folder names unless `names` are given.

    Raises FileNotFoundError, or DataError for a folder without videos or of an unknown class.
    """
    paths = find_videos(root)
    classes = [path.relative_to(root).parts[0] for path in paths]
    loose = [path for path in paths if path.parent == root]
    if loose:
        raise DataError(f"{loose[0]}: lies in no class folder; move it to {root}/CLASS/")
    names = sorted(set(classes)) if names is None else names
    number = {name: index for index, name in enumerate(names)}
    unknown = sorted(set(classes) - set(number))
    if unknown:
        raise DataError(
            f"{root / unknown[0]}: no such class in training{nearest(unknown[0], names)}"
        )
    relative = [path.relative_to(root) for path in paths]
    return VideoIndex.build(relative, [number[name] for name in classes], names, root=root)


def videos_by_name(root: Path) -> dict[str, str]:
    """File name without its suffix → path relative to `root`, for sets that list names alone.

    Of several files with one name the first in alphabetical order counts, and a line says so.

    Raises FileNotFoundError for a missing folder, DataError for one without videos.
    """
    if not root.is_dir():
        raise FileNotFoundError(f"{root}: no such folder (data.root)")
    found: dict[str, str] = {}
    doubles: dict[str, str] = {}
    for path in walk_videos(root):  # in the order of the disk, which is another one elsewhere
        name = os.path.splitext(os.path.basename(path))[0]
        kept = found.setdefault(name, path)
        if kept != path:
            found[name], doubles[name] = min(kept, path), max(kept, path)
    if not found:
        raise DataError(f"{root}: no videos below this folder (data.root)")
    if doubles:
        name = min(doubles)
        say(
            f"{root}: {len(doubles)} names are those of several files; the first counts, such as "
            f"{found[name]} and not {doubles[name]}",
            style="yellow",
        )
    return found


def match_names(
    names: Iterable[str], videos: dict[str, str], listed_in: Path
) -> tuple[list[int], list[str], list[str]]:
    """Which of the listed names are there: rows, their paths, and the names that are missing.

    Raises DataError where none is: then the folder is another one.
    """
    rows, paths, missing = [], [], []
    for row, name in enumerate(names):
        if name in videos:
            rows.append(row)
            paths.append(videos[name])
        else:
            missing.append(name)
    if not rows:
        found = next(iter(videos), "nothing")
        raise DataError(
            f"{listed_in}: none of its {len(missing)} videos is in the folder of videos (data.root)"
            f"; listed is {missing[0] if missing else 'nothing'!r}, found for instance {found!r}"
        )
    return rows, paths, missing


def leave_out_missing(index: VideoIndex) -> tuple[VideoIndex, list[str]]:
    """The videos (or folders of frames) that exist, and the paths of the others.

    Each folder is read once; no file is asked for.
    """
    parts = pc.extract_regex(index.table["path"].combine_chunks(), PARTS)
    folders = parts.field("folder").dictionary_encode()
    names = parts.field("name").cast(pa.large_binary())
    codes = folders.indices.fill_null(-1).to_numpy()  # an empty path
    order = np.argsort(codes, kind="stable")
    groups = np.split(order, np.flatnonzero(np.diff(codes[order])) + 1)
    there = np.zeros(len(index), bool)
    many = len(index) > MANY
    for rows in track(groups, "Looking for the videos", len(groups)) if many else groups:
        if len(rows) and codes[rows[0]] >= 0:
            folder = os.path.join(index.root, folders.dictionary[codes[rows[0]]].as_py())
            content = pa.array(_content(folder), pa.large_binary())
            there[rows] = pc.is_in(names.take(rows), value_set=content).to_numpy(False)
    absent = np.flatnonzero(~there)
    if not len(absent):
        return index, []
    return index.take(np.flatnonzero(there)), [str(index.path(int(row))) for row in absent]


def _content(folder: str) -> list[bytes]:
    """The names in a folder, as the disk holds them."""
    try:
        return [os.fsencode(name) for name in os.listdir(folder or ".")]
    except OSError:
        return []
