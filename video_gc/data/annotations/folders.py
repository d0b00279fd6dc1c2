"""Folders of videos: a tree of class folders, and which of the listed files are there."""

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from video_gc.data.annotations.labels import nearest, nfc
from video_gc.data.annotations.layout import Layout, find_layout
from video_gc.data.annotations.scan import (
    NOT_UNDERSTOOD,
    NOT_UTF8,
    SUFFIXES,
    PassedOver,
    Scan,
    is_utf8,
    scan,
)
from video_gc.data.index import DataError, VideoIndex
from video_gc.progress import say, track

PARTS = r"(?s)^(?P<folder>.*/)?(?P<name>[^/]+)/*$"
MANY = 200_000  # paths, from which on a progress bar is worth its line


@dataclass(frozen=True)
class ClassFolders:
    """A folder of class folders, or of splits that hold them, as indices."""

    splits: dict[str, VideoIndex]
    """train, and val and test where there are such"""
    passed_over: PassedOver


def find_videos(folder: Path, *, utf8: bool = False) -> list[Path]:
    """Every video file below `folder`, sorted; says what is passed over.

    utf8: leave out names that are not UTF-8, which no index holds.

    Raises FileNotFoundError for a missing folder, DataError for one without videos.
    """
    found = scan(folder)
    names = found.videos if utf8 else [*found.videos, *found.unnamed]
    if not utf8:
        found.passed_over.paths.pop(NOT_UTF8, None)
    found.passed_over.say(folder)
    if not names:
        raise _no_videos(folder, found)
    return sorted(folder / name for name in names)


def open_class_folders(root: Path, names: Sequence[str] | None = None) -> ClassFolders:
    """Index root/CLASS/…/file, or root/train/CLASS/…/file with val and test beside it.

    names: class names, in order; else the sorted folder names, in NFC, of the training videos.
    Says what is passed over and what is not understood.

    Raises FileNotFoundError, or DataError for a folder without videos, of an unknown class, or
    whose layout can be understood in two ways.
    """
    found, layout = _look_into(root, names)
    if not layout.splits:
        return ClassFolders({"train": class_index(root, found.videos, names)}, found.passed_over)
    splits: dict[str, VideoIndex] = {}
    for split, top in sorted(layout.splits.items(), key=lambda item: item[0] != "train"):
        below = [name[len(top) + 1 :] for name in found.videos if name.startswith(f"{top}/")]
        if not below:
            raise _no_videos(root / top, found)
        if find_layout(root / top, below, classes=_known(names)).splits:
            raise DataError(f"{root / top}: holds splits itself; move what is in it up")
        given = names if split == "train" else splits["train"].names
        splits[split] = class_index(root / top, below, given)
    return ClassFolders(splits, found.passed_over)


def read_class_folders(root: Path, names: Sequence[str] | None = None) -> VideoIndex:
    """Index root/CLASS/…/file; the classes are the sorted folder names unless `names` are given.

    Says what is passed over.

    Raises FileNotFoundError, or DataError for a folder without videos, of an unknown class, or
    that holds splits.
    """
    found, layout = _look_into(root, names)
    if layout.splits:
        some = layout.splits.get("val", next(iter(layout.splits.values())))
        raise DataError(f"{root}: holds splits; give one of them, such as --data {root / some}")
    return class_index(root, found.videos, names)


def class_index(
    root: Path, videos: Sequence[str], names: Sequence[str] | None = None
) -> VideoIndex:
    """Index CLASS/…/file, relative to `root`; see `open_class_folders`.

    Raises DataError for a video in no class folder or of an unknown class.
    """
    loose = [name for name in videos if "/" not in name]
    if loose:
        also = f", like {len(loose) - 1:,} others" if len(loose) > 1 else ""
        raise DataError(
            f"{root / loose[0]}: lies in no class folder{also}; move it to {root}/CLASS/"
        )
    classes = [name.partition("/")[0] for name in videos]
    forms = {name: nfc(name) for name in sorted(set(classes))}
    names = sorted(set(forms.values())) if names is None else names
    number = {nfc(name): index for index, name in enumerate(names)}
    for name, form in forms.items():
        if form not in number:
            raise DataError(f"{root / name}: no such class in training{nearest(form, names)}")
    alike: dict[str, str] = {}
    for form in dict.fromkeys(forms.values()):
        twin = alike.setdefault(" ".join(form.casefold().split()), form)
        if twin != form:
            say(
                f"{root}: the classes {twin!r} and {form!r} differ in capitals or spaces only; if "
                "they are one, move their videos together",
                style="yellow",
            )
    labels = [number[forms[name]] for name in classes]
    return VideoIndex.build(videos, labels, names, root=root)


def _look_into(root: Path, names: Sequence[str] | None) -> tuple[Scan, Layout]:
    """What lies in a folder and how it is laid out; says what is left out."""
    found = scan(root)
    if not found.videos:
        raise _no_videos(root, found)
    layout = find_layout(root, found.videos, found.folders, _known(names))
    for name, count in layout.others.items():
        shown = f"{name or '.'} ({count:,} video{'s' * (count != 1)})"
        found.passed_over.add(NOT_UNDERSTOOD, shown)
    found.passed_over.say(root)
    if layout.odd_class:
        say(
            f"{root / layout.odd_class}: is taken for a class like its neighbours, though it is "
            "named like a split",
            style="yellow",
        )
    return found, layout


def _known(names: Sequence[str] | None) -> set[str] | None:
    return None if names is None else {nfc(name) for name in names}


def _no_videos(folder: Path, found: Scan) -> DataError:
    what = f"passed over: {found.passed_over}; " if len(found.passed_over) else ""
    return DataError(
        f"{folder}: no videos in this folder (training wants CLASS/video in it); {what}videos end "
        f"in .mp4, .mkv, .avi, .mov, .webm or one of {len(SUFFIXES) - 5} other suffixes "
        "(docs/data.md)"
    )


def videos_by_name(root: Path) -> dict[str, str]:
    """File name without its suffix → path relative to `root`, for sets that list names alone.

    Of several files with one name the first in alphabetical order counts, and a line says so.

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
    index, there = _other_forms(index, there)
    absent = np.flatnonzero(~there)
    return index.take(np.flatnonzero(there)), [str(index.path(int(row))) for row in absent]


def _other_forms(index: VideoIndex, there: np.ndarray) -> tuple[VideoIndex, np.ndarray]:
    """Find what is written in another Unicode form than on the disk: a list of a Mac."""
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
    """The path as the disk spells it, compared in NFC; None where it is not there."""
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
    """The names in a folder, as the disk holds them."""
    try:
        return [os.fsencode(name) for name in os.listdir(folder or ".")]
    except OSError:
        return []
