"""Data sets with official files: their lists of training and validation videos.

UCF101 (Soomro et al., 2012): classInd.txt, trainlist01.txt, testlist01.txt, …; each of the 25
groups of a class is cut from one video and lies on one side of a split. HMDB51 (Kuehne et al.,
2011): CLASS_test_split1.txt, … with 1 (train), 2 (test) or 0 (unused) after each file name.
Something-Something V2: labels.json, train.json, validation.json; a video's class is its "template"
without the square brackets, videos are ID.webm. Charades (Sigurdsson et al., 2016): a row per video
with "c092 11.90 21.20;c147 …" in the column actions (class, start and end in seconds), and a line
`c092 name` for each of the 157 classes; a video's label is the set of its classes. Kinetics: see
kinetics.py.
"""

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

from video_gc.data.annotations.folder_scan import PassedOver
from video_gc.data.annotations.kinetics import FILES, kinetics_videos, read_kinetics
from video_gc.data.annotations.labels import nearest
from video_gc.data.annotations.listed_files import match_names, videos_by_name
from video_gc.data.annotations.tables import line_of, read_columns
from video_gc.data.annotations.text_files import read_lines
from video_gc.data.index import DataError, VideoIndex

Found = tuple[VideoIndex, list[str]]
"""The existing videos, and the listed names of the others."""


@dataclass(frozen=True)
class AnnotatedSplits:
    """The content of annotations: the training videos, and the others if listed."""

    train: VideoIndex
    val: VideoIndex | None = None
    test: VideoIndex | None = None
    missing: dict[str, list[str]] = field(default_factory=dict)
    """train, val or test → listed videos that do not exist"""
    passed_over: PassedOver = field(default_factory=PassedOver)
    """contents of the folders that are not videos of the splits"""


@dataclass(frozen=True)
class OfficialFiles:
    """Locations of a data set with official files."""

    root: Path
    """folder of the videos"""
    annotations: Path
    """folder of the official files"""
    files: Mapping[str, str | None] = field(default_factory=dict)
    """files of train, val and test, if given by name (kinetics)"""
    names: list[str] | None = None
    """class names in order (kinetics)"""
    split: int = 1
    """which of the three splits (ucf101, hmdb51)"""


def annotations_of(root: Path) -> Path:
    """Default folder of the official files: ROOT/annotations if it exists, else ROOT."""
    beside = root / "annotations"
    return beside if beside.is_dir() else root


def open_kinetics(where: OfficialFiles) -> AnnotatedSplits:
    """train.csv and val.csv (or validate.csv); a test.csv only if given."""
    videos = kinetics_videos(where.root)
    given = {split: where.files.get(split) for split in FILES}
    train = given["train"] or _first(where.annotations, FILES["train"])
    given["val"] = given["val"] or _first(where.annotations, FILES["val"], needed=False)
    index, absent = read_kinetics(Path(train), videos, where.root, where.names)
    missing = {"train": absent}
    others: dict[str, VideoIndex] = {}
    for split in ("val", "test"):
        if file := given[split]:
            found, missing[split] = read_kinetics(Path(file), videos, where.root, index.names)
            others[split] = found
    return AnnotatedSplits(index, others.get("val"), others.get("test"), missing)


def open_ucf101(where: OfficialFiles) -> AnnotatedSplits:
    """A training and a test list; the test videos also choose the checkpoint, as in the papers.

    A video's source is its group, such as v_Archery_g01.
    """
    names = [line.split(maxsplit=1)[-1] for line in _lines(where.annotations / "classInd.txt")]
    names = [name for name in names if name]
    number = {name: index for index, name in enumerate(names)}

    def read(split: str, videos: dict[str, str]) -> Found:
        file = where.annotations / f"{split}list{where.split:02d}.txt"
        stems, labels = [], []
        for count, line in enumerate(_lines(file), start=1):
            if not line:
                continue
            path = PurePosixPath(line.split()[0])
            label = path.parent.name
            if label not in number:
                raise DataError(
                    f"{file}, line {count}: unknown class {label!r}{nearest(label, names)}"
                )
            stems.append(path.stem)
            labels.append(number[label])
        groups = [re.sub(r"_c\d+$", "", stem) for stem in stems]
        return _index(where.root, file, stems, labels, names, videos, groups)

    return _two_splits(where, read, ("train", "test"))


def open_hmdb51(where: OfficialFiles) -> AnnotatedSplits:
    """A training and a test list; the test videos also choose the checkpoint, as in the papers.

    A video's source is the film at the beginning of its name.
    """
    ending = f"_test_split{where.split}.txt"

    def read(split: str, videos: dict[str, str]) -> Found:
        files = sorted(where.annotations.glob(f"*{ending}"))
        if not files:
            raise FileNotFoundError(
                f"{where.annotations}: no files CLASS{ending} (data.annotations)"
            )
        names = [file.name.removesuffix(ending) for file in files]
        stems, labels = [], []
        for number, file in enumerate(files):
            for count, line in enumerate(_lines(file), start=1):
                words = line.rsplit(maxsplit=1)
                if words and (len(words) != 2 or words[1] not in ("0", "1", "2")):
                    raise DataError(f"{file}, line {count}: expected `file 0|1|2`, found {line!r}")
                if words and words[1] == {"train": "1", "test": "2"}[split]:
                    stems.append(PurePosixPath(words[0]).stem)
                    labels.append(number)
        films = [
            stem.split(f"_{names[label]}_")[0] for stem, label in zip(stems, labels, strict=True)
        ]
        return _index(where.root, where.annotations, stems, labels, names, videos, films)

    return _two_splits(where, read, ("train", "test"))


def open_something_something(where: OfficialFiles) -> AnnotatedSplits:
    """train.json and validation.json; test.json has no labels."""

    def place(name: str) -> Path:
        files = (f"{name}.json", f"something-something-v2-{name}.json")
        return Path(_first(where.annotations, files))

    def read(split: str, videos: dict[str, str]) -> Found:
        labels, file = place("labels"), place(split)
        numbers = {str(name): int(number) for name, number in _json(labels, dict).items()}
        names = sorted(numbers, key=lambda name: numbers[name])
        if [numbers[name] for name in names] != list(range(len(names))):
            raise DataError(f"{labels}: the classes must be numbered from 0 to {len(names) - 1}")
        ids, classes = [], []
        for count, entry in enumerate(_json(file, list), start=1):
            if not isinstance(entry, dict) or "id" not in entry:
                there = ", ".join(entry) if isinstance(entry, dict) else repr(entry)
                raise DataError(f"{file}, entry {count}: no 'id' in it; found {there}")
            template = str(entry.get("template", "")).replace("[", "").replace("]", "")
            if template and template not in numbers:
                raise DataError(
                    f"{file}, entry {count}: unknown class {template!r}{nearest(template, names)}"
                )
            ids.append(str(entry["id"]))
            classes.append(numbers.get(template, -1))
        return _index(where.root, file, ids, classes, names, videos)

    return _two_splits(where, read, ("train", "validation"))


def open_charades(where: OfficialFiles) -> AnnotatedSplits:
    """Charades_v1_train.csv, and Charades_v1_test.csv for validation, as in the papers."""
    classes = where.annotations / "Charades_v1_classes.txt"

    def read(split: str, videos: dict[str, str]) -> Found:
        file = where.annotations / f"Charades_v1_{split}.csv"
        if not file.is_file():
            raise FileNotFoundError(f"{file}: no such annotation file (data.annotations)")
        lines = [line for line in _lines(classes) if line]
        codes = {line.split()[0]: number for number, line in enumerate(lines)}
        names = [line.split(maxsplit=1)[-1] for line in lines]
        table = read_columns(file, {"id": "id", "actions": "actions"})
        labels: list[list[int]] = []
        for row, actions in enumerate(table["actions"].to_pylist()):
            found = [action.split()[0] for action in actions.split(";") if action.strip()]
            unknown = next((code for code in found if code not in codes), None)
            if unknown is not None:
                raise DataError(
                    f"{file}, {line_of(file, row)}: unknown class {unknown!r}"
                    f"{nearest(unknown, list(codes))}"
                )
            labels.append(sorted({codes[code] for code in found}))
        return _index(where.root, file, table["id"].to_pylist(), labels, names, videos)

    return _two_splits(where, read, ("train", "test"))


OFFICIAL: dict[str, Callable[[OfficialFiles], AnnotatedSplits]] = {
    "kinetics": open_kinetics,
    "ucf101": open_ucf101,
    "hmdb51": open_hmdb51,
    "something_something": open_something_something,
    "charades": open_charades,
}
"""Kinds with official files; each raises FileNotFoundError, or DataError with the line."""


def _two_splits(
    where: OfficialFiles, read: Callable[[str, dict[str, str]], Found], splits: tuple[str, str]
) -> AnnotatedSplits:
    """splits: names of the files of the training and validation videos."""
    videos = videos_by_name(where.root)
    (train, missing), (val, absent) = (read(split, videos) for split in splits)
    return AnnotatedSplits(train, val, missing={"train": missing, "val": absent})


def _index(
    root: Path,
    listed_in: Path,
    listed: Sequence[str],
    labels: Sequence[Any],
    names: Sequence[str],
    videos: dict[str, str],
    sources: Sequence[str] | None = None,
) -> Found:
    """The listed videos that exist, and the names of the others."""
    rows, paths, missing = match_names(listed, videos, listed_in)
    return VideoIndex.build(
        paths,
        [labels[row] for row in rows],
        names,
        root=root,
        multi_label=any(isinstance(label, list) for label in labels),
        group=None if sources is None else [sources[row] for row in rows],
    ), missing


def _first(folder: Path, names: Sequence[str], *, needed: bool = True) -> str:
    """The first existing file; "" if none exists and none is needed."""
    for name in names:
        if (folder / name).is_file():
            return str(folder / name)
    if not needed:
        return ""
    if not folder.is_dir():
        raise FileNotFoundError(f"{folder}: no such folder (data.annotations)")
    raise DataError(f"{folder}: no {' or '.join(names)} in this folder (data.annotations)")


def _lines(file: Path) -> list[str]:
    if not file.is_file():
        raise FileNotFoundError(f"{file}: no such file of an official split (data.annotations)")
    return read_lines(file, "a text file of an official split")


def _json(file: Path, kind: type) -> Any:
    if not file.is_file():
        raise FileNotFoundError(f"{file}: no such annotation file (data.annotations)")
    try:
        content = json.loads(file.read_bytes())
    except ValueError as error:
        raise DataError(f"{file}: not JSON ({error})") from error
    if not isinstance(content, kind):
        raise DataError(f"{file}: contains a {type(content).__name__}, not a {kind.__name__}")
    return content
