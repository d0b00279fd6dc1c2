"""The two mappings behind `data.kind`: lists of one's own, and sets with official files."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from video_gc.data.annotations.charades import read_charades
from video_gc.data.annotations.folders import videos_by_name
from video_gc.data.annotations.kinetics import FILES, kinetics_videos, read_kinetics
from video_gc.data.annotations.lists import read_list, read_mmaction2, read_pyslowfast
from video_gc.data.annotations.scan import PassedOver
from video_gc.data.annotations.something_something import read_something_something
from video_gc.data.annotations.tables import read_table
from video_gc.data.annotations.ucf101_hmdb51 import read_hmdb51, read_ucf101
from video_gc.data.index import DataError, VideoIndex

LISTS = ("list", "table", "pyslowfast", "mmaction2")
"""Kinds that read the files data.train, data.val and data.test."""


@dataclass(frozen=True)
class Parts:
    """What annotations say: the training videos, the others where there are any."""

    train: VideoIndex
    val: VideoIndex | None = None
    test: VideoIndex | None = None
    missing: dict[str, list[str]] = field(default_factory=dict)
    """train, val or test → listed videos that are not there"""
    passed_over: PassedOver = field(default_factory=PassedOver)
    """what lies in the folders and is no video of them"""


def kind_of_list(file: Path) -> str:
    """What a list is likely to be, after its name."""
    return "table" if file.suffix.lower() in (".csv", ".tsv", ".parquet") else "list"


def read_listed(
    file: Path,
    *,
    kind: str,
    root: Path | None = None,
    names: Sequence[str] | None = None,
    multi_label: bool = False,
    columns: Mapping[str, str] | None = None,
) -> VideoIndex:
    """Index a file of one of the LISTS.

    columns: the options of `read_table` that only a table has.

    Raises FileNotFoundError, or DataError naming the line.
    """
    if kind == "list":
        return read_list(file, root, names, multi_label=multi_label)
    if kind == "pyslowfast":
        return read_pyslowfast(file, root, names)
    if kind == "mmaction2":
        return read_mmaction2(file, root, names, multi_label=multi_label)
    return read_table(file, root, names, multi_label=multi_label, **(columns or {}))


@dataclass(frozen=True)
class OfficialFiles:
    """Where a data set with official files lies."""

    root: Path
    """folder of the videos"""
    annotations: Path
    """folder of the official files"""
    files: Mapping[str, str | None] = field(default_factory=dict)
    """files of train, val and test that are given by name (kinetics)"""
    names: list[str] | None = None
    """class names in order (kinetics)"""
    split: int = 1
    """which of the three splits (ucf101, hmdb51)"""


def annotations_of(root: Path) -> Path:
    """Where official files lie when nobody says: ROOT/annotations if there is one, else ROOT."""
    beside = root / "annotations"
    return beside if beside.is_dir() else root


def open_kinetics(where: OfficialFiles) -> Parts:
    """train.csv and val.csv (or validate.csv); a test.csv only where it is given."""
    videos = kinetics_videos(where.root)
    given = {part: where.files.get(part) for part in FILES}
    train = given["train"] or _first(where.annotations, FILES["train"])
    val = given["val"] or _first(where.annotations, FILES["val"], needed=False)
    index, absent = read_kinetics(Path(train), videos, where.root, where.names)
    missing = {"train": absent}
    others: dict[str, VideoIndex] = {}
    for part, file in (("val", val), ("test", given["test"])):
        if file:
            found, missing[part] = read_kinetics(Path(file), videos, where.root, index.names)
            others[part] = found
    return Parts(index, others.get("val"), others.get("test"), missing)


def open_ucf101(where: OfficialFiles) -> Parts:
    """A training and a test list; the test videos also choose, as in the papers."""
    return _two_lists(where, read_ucf101)


def open_hmdb51(where: OfficialFiles) -> Parts:
    """A training and a test list; the test videos also choose, as in the papers."""
    return _two_lists(where, read_hmdb51)


def open_something_something(where: OfficialFiles) -> Parts:
    """train.json and validation.json; test.json has no labels."""
    videos = videos_by_name(where.root)
    labels, *parts = (
        Path(_first(where.annotations, (f"{name}.json", f"something-something-v2-{name}.json")))
        for name in ("labels", "train", "validation")
    )
    (train, missing), (val, absent) = (
        read_something_something(file, labels, videos, where.root) for file in parts
    )
    return Parts(train, val, missing={"train": missing, "val": absent})


def open_charades(where: OfficialFiles) -> Parts:
    """Charades_v1_train.csv, and Charades_v1_test.csv to validate, as in the papers."""
    videos = videos_by_name(where.root)
    classes = where.annotations / "Charades_v1_classes.txt"
    (train, missing), (val, absent) = (
        read_charades(where.annotations / f"Charades_v1_{part}.csv", classes, videos, where.root)
        for part in ("train", "test")
    )
    return Parts(train, val, missing={"train": missing, "val": absent})


OFFICIAL: dict[str, Callable[[OfficialFiles], Parts]] = {
    "kinetics": open_kinetics,
    "ucf101": open_ucf101,
    "hmdb51": open_hmdb51,
    "something_something": open_something_something,
    "charades": open_charades,
}
"""Kinds with official files."""


def _two_lists(where: OfficialFiles, read: Callable[..., tuple[VideoIndex, list[str]]]) -> Parts:
    videos = videos_by_name(where.root)
    (train, missing), (test, absent) = (
        read(where.annotations, where.split, part, videos, where.root) for part in ("train", "test")
    )
    return Parts(train, test, missing={"train": missing, "val": absent})


def _first(folder: Path, names: Sequence[str], *, needed: bool = True) -> str:
    """The first of the files that exists; "" where none does and none is needed."""
    for name in names:
        if (folder / name).is_file():
            return str(folder / name)
    if not needed:
        return ""
    if not folder.is_dir():
        raise FileNotFoundError(f"{folder}: no such folder (data.annotations)")
    raise DataError(f"{folder}: no {' or '.join(names)} in this folder (data.annotations)")
