"""Find the videos of a list or an official file in the folder of videos."""

import os
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from video_gc.data.annotations.folder_scan import is_utf8, scan
from video_gc.data.annotations.labels import nfc
from video_gc.data.index import DataError, VideoIndex
from video_gc.progress import say, track

FOLDER_AND_NAME = r"(?s)^(?P<folder>.*/)?(?P<name>[^/]+)/*$"
MANY = 200_000  # paths from which a progress bar is shown


def videos_by_name(root: Path) -> dict[str, str]:
    """File name without suffix → path relative to `root`, for lists without folders.

    Of several files with one name, the alphabetically first counts; a warning says so.

    Raises FileNotFoundError for a missing folder, DataError for one without videos.
    """
    if not root.is_dir():
        raise FileNotFoundError(f"{root}: no such folder (data.root)")
    found: dict[str, str] = {}
    doubles: dict[str, str] = {}
    for path in scan(root).videos:
        name = os.path.splitext(os.path.basename(path))[0]
        kept = found.setdefault(name, path)
        if kept != path:
            doubles[name] = path
    if not found:
        raise DataError(f"{root}: no videos below this folder (data.root)")
    if doubles:
        name = min(doubles)
        say(
            f"{root}: {len(doubles)} names have several files; the first counts, such as "
            f"{found[name]} and not {doubles[name]}",
            style="yellow",
        )
    return found


def match_names(
    names: Iterable[str], videos: dict[str, str], listed_in: Path
) -> tuple[list[int], list[str], list[str]]:
    """Rows of the listed names that exist, their paths, and the missing names.

    Raises DataError if none exists: then the folder is probably another one.
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
            f"; the list has {missing[0] if missing else 'nothing'!r}, the folder {found!r}"
        )
    return rows, paths, missing


def leave_out_missing(index: VideoIndex) -> tuple[VideoIndex, list[str]]:
    """The videos (or folders of frames) that exist, and the paths of the others.

    Reads each folder once and stats no file.
    """
    parts = pc.extract_regex(index.table["path"].combine_chunks(), FOLDER_AND_NAME)
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
    index, there = _other_forms(index, there)
    absent = np.flatnonzero(~there)
    return index.take(np.flatnonzero(there)), [str(index.path(int(row))) for row in absent]


def _other_forms(index: VideoIndex, there: np.ndarray) -> tuple[VideoIndex, np.ndarray]:
    """Find names in another Unicode form than on the disk, such as in a list from a Mac."""
    paths = index.table["path"].combine_chunks()
    absent = np.flatnonzero(~there)
    odd = absent[~pc.string_is_ascii(paths.take(absent)).to_numpy(False)]
    forms: dict[str, dict[str, str]] = {}
    spelled = {int(row): _as_on_disk(index.root, paths[int(row)].as_py(), forms) for row in odd}
    found = {row: path for row, path in spelled.items() if path is not None}
    if not found:
        return index, there
    mask = np.zeros(len(index), bool)
    mask[list(found)] = True
    paths = pc.replace_with_mask(paths, mask, pa.array(list(found.values()), paths.type))
    place = index.table.column_names.index("path")
    table = index.table.set_column(place, "path", paths)
    return (
        VideoIndex(table, index.names, root=index.root, multi_label=index.multi_label),
        there | mask,
    )


def _as_on_disk(root: str, path: str, forms: dict[str, dict[str, str]]) -> str | None:
    """The path as spelt on the disk, compared in NFC; None if it does not exist."""
    found = "/" if path.startswith("/") else ""
    for part in path.strip("/").split("/"):
        folder = os.path.join(root, found)
        if not os.path.lexists(os.path.join(folder, part)):
            if folder not in forms:
                content = (os.fsdecode(name) for name in _content(folder))
                forms[folder] = {nfc(name): name for name in content}
            part = forms[folder].get(nfc(part), "")
            if not part or not is_utf8(part):
                return None
        found = os.path.join(found, part)
    return found


def _content(folder: str) -> list[bytes]:
    """The names in a folder, as spelt on the disk."""
    try:
        return [os.fsencode(name) for name in os.listdir(folder or ".")]
    except OSError:
        return []
