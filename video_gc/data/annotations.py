"""Class folders and `path label` lists → a VideoIndex of columns."""

import difflib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from video_gc.atomic import write_text

SUFFIXES = frozenset(
    {".3gp", ".asf", ".avi", ".flv", ".m4v", ".mkv", ".mov", ".mp4", ".mpeg", ".mpg", ".mts"}
    | {".ogv", ".ts", ".vob", ".webm", ".wmv"}
)
"""What counts as a video in a folder."""


class DataError(Exception):
    """Data that cannot be used, with the file or folder and the way out."""


@dataclass(frozen=True)
class VideoIndex:
    """Videos and their labels in two columns, and the name of each class."""

    paths: Sequence[Path]
    labels: np.ndarray
    """class number of each video, int64"""
    names: Sequence[str]
    """class number → name"""

    def __len__(self) -> int:
        return len(self.paths)

    def take(self, rows: np.ndarray) -> "VideoIndex":
        """Some of the videos, with the same classes."""
        return VideoIndex([self.paths[row] for row in rows], self.labels[rows], self.names)


def find_videos(folder: Path) -> list[Path]:
    """Every video file below `folder`, sorted.

    Raises FileNotFoundError for a missing folder, DataError for one without videos.
    """
    if not folder.is_dir():
        raise FileNotFoundError(f"{folder}: no such folder")
    found = sorted(path for path in folder.rglob("*") if path.suffix.lower() in SUFFIXES)
    found = [path for path in found if path.is_file() and not path.name.startswith(".")]
    if not found:
        raise DataError(
            f"{folder}: no videos in this folder (training wants CLASS/video in it); "
            f"videos end in {', '.join(sorted(SUFFIXES))}"
        )
    return found


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
            f"{root / unknown[0]}: no such class in training{_nearest(unknown[0], names)}"
        )
    return VideoIndex(paths, np.array([number[name] for name in classes]), names)


def read_list(
    file: Path, root: Path | None = None, names: Sequence[str] | None = None
) -> VideoIndex:
    """Index a file of `path label` lines; blank lines and lines after # are skipped.

    root: folder that relative paths start from; the list's own folder by default.
    names: class names, in order; then a name may hold spaces. Without them labels that are all
        integers are class numbers (and their own names), and other labels are names, sorted.

    Raises FileNotFoundError, or DataError naming the line.
    """
    if not file.is_file():
        raise FileNotFoundError(f"{file}: no such list")
    root = file.parent if root is None else root
    rows: list[tuple[int, Path, str]] = []
    known_names = frozenset(names or ())
    try:
        lines = file.read_text(encoding="utf-8").splitlines()
    except UnicodeDecodeError as error:
        raise DataError(f"{file}: not a text file of `path label` lines") from error
    for number, line in enumerate(lines, start=1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        parts = _split_line(line.strip(), known_names)
        if len(parts) != 2:
            raise DataError(f"{file}, line {number}: expected `path label`, found {line.strip()!r}")
        rows.append((number, root / parts[0], parts[1]))
    if not rows:
        raise DataError(f"{file}: the list is empty; it should hold lines `path label`")
    given = [label for _, _, label in rows]
    if names is None and all(label.isdigit() for label in given):
        names = [str(number) for number in range(max(map(int, given)) + 1)]
    names = sorted(set(given)) if names is None else names
    known = {name: number for number, name in enumerate(names)}
    labels = []
    for number, _, label in rows:
        if label in known:
            labels.append(known[label])
        elif label.isdigit() and int(label) < len(names):
            labels.append(int(label))
        else:
            raise DataError(
                f"{file}, line {number}: unknown label {label!r}{_nearest(label, names)}"
            )
    return VideoIndex([path for _, path, _ in rows], np.array(labels), names)


def write_list(index: VideoIndex, file: Path) -> Path:
    """Write `path label` lines with absolute paths and class names, for `read_list`."""
    rows = zip(index.paths, index.labels, strict=True)
    return write_text(file, "".join(f"{path.resolve()} {index.names[n]}\n" for path, n in rows))


def hold_out(index: VideoIndex, every: int = 5) -> tuple[VideoIndex, VideoIndex]:
    """Split by class: each `every`-th video (by name) is held out, the others train.

    Raises DataError for a class with a single video.
    """
    held = np.zeros(len(index), bool)
    for label, name in enumerate(index.names):
        rows = np.flatnonzero(index.labels == label)
        if not len(rows):  # a number that no video of the list has
            continue
        if len(rows) < 2:
            raise DataError(
                f"{index.paths[int(rows[0])]}: the only video of class {name!r}; add another, or "
                "give validation videos (DIR/train and DIR/val, or data.val=FILE)"
            )
        held[rows[every - 1 :: every] if len(rows) >= every else rows[-1:]] = True
    return index.take(np.flatnonzero(~held)), index.take(np.flatnonzero(held))


def _split_line(line: str, names: frozenset[str]) -> list[str]:
    """[path, label]; the label is the longest known name that ends the line, else its last word."""
    for gap in re.finditer(r"\s+", line):
        if line[gap.end() :] in names:
            return [line[: gap.start()], line[gap.end() :]]
    return line.rsplit(maxsplit=1)


def _nearest(wrong: str, names: Sequence[str]) -> str:
    nearest = difflib.get_close_matches(wrong, names, 1)
    hint = f"; did you mean {nearest[0]!r}?" if nearest else ";"
    shown = ", ".join(names[:8]) + (", …" if len(names) > 8 else "")
    return f"{hint} known: {shown}"
