"""A folder of class folders, or of splits (train, val, test) that contain class folders.

Splits are told from classes by name and depth. The known spellings are those of Ultralytics (train,
val, test), Roboflow (train, valid, test), Hugging Face (train, training; validation, valid, val,
dev; test, testing, eval, evaluation) and of Kinetics' crawlers (validate), in any case, and with
common additions: train_256, val2017, TestSet, training videos.
"""

import os
import re
import unicodedata
from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from video_gc.data.annotations.folder_scan import (
    NO_VIDEOS,
    NOT_UNDERSTOOD,
    PassedOver,
    Scan,
    no_videos,
    scan,
)
from video_gc.data.annotations.labels import nearest, nfc
from video_gc.data.index import DataError, VideoIndex
from video_gc.progress import say

SPELLINGS = {
    "train": ("train", "training"),
    "val": ("val", "valid", "validate", "validation", "dev"),
    "test": ("test", "testing", "eval", "evaluate", "evaluation"),
}
"""Split → its spellings, in lower case."""
_WORDS = {word: split for split, words in SPELLINGS.items() for word in words}
_BESIDE = r"(?:sets?|splits?|data|datasets?|videos?|clips?|images?|frames?|rgb|\d+(?:x\d+|px?)?)"
_NAME = re.compile(
    rf"(?:{_BESIDE}[-_. ]*)*({'|'.join(sorted(_WORDS, key=len, reverse=True))})"
    rf"(?:[-_. ]*{_BESIDE})*"
)
_PART = re.compile(r"[A-Z]?[^\W_A-Z\d]+|[A-Z]+|\d+")
"""A part of a name: Kinetics, 400 and train in Kinetics400_train."""
WANTED = "DIR/CLASS/video, or DIR/train/CLASS/video (with val and test beside train)"


@dataclass(frozen=True)
class ClassFolders:
    """The indices of a folder of class folders or splits."""

    splits: dict[str, VideoIndex]
    """train, and val and test if they exist"""
    passed_over: PassedOver


@dataclass(frozen=True)
class Layout:
    """The roles of the folders in a folder."""

    splits: dict[str, str] = field(default_factory=dict)
    """train, val or test → its folder; empty if the folders are classes"""
    others: dict[str, int] = field(default_factory=dict)
    """other folders beside splits → their number of videos; "" for videos in no folder"""
    odd_class: str = ""
    """a class with the name of a split, among other classes"""


def open_class_folders(root: Path, names: Sequence[str] | None = None) -> ClassFolders:
    """Index root/CLASS/…/file, or root/train/CLASS/…/file with val and test beside train.

    names: class names in order; by default the sorted folder names of the training videos, in NFC.
    Prints what is skipped or not understood.

    Raises FileNotFoundError, or DataError for a folder without videos, with an unknown class or
    with an ambiguous layout.
    """
    found, layout = _look_into(root, names)
    if not layout.splits:
        return ClassFolders({"train": class_index(root, found.videos, names)}, found.passed_over)
    splits: dict[str, VideoIndex] = {}
    for split, top in sorted(layout.splits.items(), key=lambda item: item[0] != "train"):
        below = [name[len(top) + 1 :] for name in found.videos if name.startswith(f"{top}/")]
        if not below:
            raise no_videos(root / top, found)
        if find_layout(root / top, below, classes=_known(names)).splits:
            raise DataError(f"{root / top}: contains splits itself; move its contents up")
        given = names if split == "train" else splits["train"].names
        splits[split] = class_index(root / top, below, given)
    return ClassFolders(splits, found.passed_over)


def read_class_folders(root: Path, names: Sequence[str] | None = None) -> VideoIndex:
    """Index root/CLASS/…/file; the classes are the sorted folder names unless `names` are given.

    Prints what is skipped.

    Raises FileNotFoundError, or DataError for a folder without videos, with an unknown class or
    with splits.
    """
    found, layout = _look_into(root, names)
    if layout.splits:
        some = layout.splits.get("val", next(iter(layout.splits.values())))
        raise DataError(f"{root}: contains splits; give one, for example --data {root / some}")
    return class_index(root, found.videos, names)


def class_index(
    root: Path, videos: Sequence[str], names: Sequence[str] | None = None
) -> VideoIndex:
    """Index CLASS/…/file, relative to `root`; see `open_class_folders`.

    Raises DataError for a video outside class folders or of an unknown class.
    """
    loose = [name for name in videos if "/" not in name]
    if loose:
        also = f", nor are {len(loose) - 1:,} others" if len(loose) > 1 else ""
        raise DataError(f"{root / loose[0]}: is in no class folder{also}; move it to {root}/CLASS/")
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
    """Read a folder and find its layout; prints what is left out."""
    found = scan(root)
    if not found.videos:
        raise no_videos(root, found)
    layout = find_layout(root, found.videos, found.folders, _known(names))
    for name, count in layout.others.items():
        shown = f"{name or '.'} ({count:,} video{'s' * (count != 1)})"
        found.passed_over.add(NOT_UNDERSTOOD, shown)
    found.passed_over.say(root)
    splits = layout.splits.values()
    for name in found.passed_over.paths.get(NO_VIDEOS, []):
        if os.path.dirname(name) in (splits or ("",)) and name not in splits:
            say(f"{root / name}: an empty class: no video is in this folder", style="yellow")
    if layout.odd_class:
        say(
            f"{root / layout.odd_class}: counts as a class like its neighbours, but has the name "
            "of a split",
            style="yellow",
        )
    return found, layout


def _known(names: Sequence[str] | None) -> set[str] | None:
    return None if names is None else {nfc(name) for name in names}


def split_of(name: str) -> str | None:
    """train, val or test, if a folder's name means one; None for any other name."""
    seen = "".join(sign for sign in name if unicodedata.category(sign) != "Cf")  # invisible marks
    match = _NAME.fullmatch(unicodedata.normalize("NFC", seen).casefold().strip())
    return None if match is None else _WORDS[match[1]]


def find_layout(
    root: Path,
    videos: Sequence[str],
    folders: Collection[str] = (),
    classes: Collection[str] | None = None,
) -> Layout:
    """Tell splits from classes by name and depth: splits contain CLASS/video, classes videos.

    videos: relative to `root`. folders: all folders in it, with or without videos.
    classes: known classes, in NFC; if all folders are known classes, their names do not matter.

    Raises DataError for an ambiguous layout; the message says how to resolve it.
    """
    count: Counter[str] = Counter()
    deep: set[str] = set()
    for path in videos:
        top, slash, rest = path.partition("/")
        count[top if slash else ""] += 1
        if "/" in rest:
            deep.add(top)
    tops = sorted(name for name in count if name)
    if classes is not None and {unicodedata.normalize("NFC", top) for top in tops} <= {*classes}:
        return Layout()
    named = {top: split for top in {*tops, *folders} if (split := split_of(top))}
    full = sorted(top for top in named if top in count)
    others = {name: count[name] for name in sorted(count) if name not in named}
    if not deep & set(full):
        _check_classes(root, full, list(filter(None, others)))
        _check_prefixed(root, tops)
        _check_splits_in_classes(root, videos, tops)
        return Layout(odd_class="".join(full))
    doubles = [top for top in sorted(named) if list(named.values()).count(named[top]) > 1]
    if doubles:
        raise DataError(
            f"{root}: the folders {_and(doubles)} all mean the {named[doubles[0]]} split; keep one "
            "of them, or move their videos together"
        )
    splits = {split: top for top, split in sorted(named.items())}
    shown = _counted(others)
    if "train" not in splits:
        beside = f"; beside it: {shown}" if others else ""
        raise DataError(
            f"{root}: {_and(full)} is named like a split, but there is no training folder "
            f"(train, training){beside}. Expected {WANTED}"
        )
    if len(full) == 1 and others:
        raise DataError(
            f"{root}: {full[0]} is named like the {named[full[0]]} split, but these "
            f"are not splits: {shown}. Move them away or into {full[0]}/CLASS; or rename "
            f"{full[0]}, if it is a class"
        )
    return Layout(splits, others)


def _check_classes(root: Path, named: list[str], others: list[str]) -> None:
    """Folders with videos in them are classes; refuse names that mean splits."""
    if len(named) > 1 or (named and not others):
        raise DataError(
            f"{root}: {_and(named)}: named like splits, but with videos directly in them, "
            f"as in classes. Expected {WANTED}; rename them if they are classes"
        )


def _check_prefixed(root: Path, tops: list[str]) -> None:
    """Refuse kinetics_train and kinetics_val: splits of one set, which would become classes."""
    sets: dict[tuple[str, ...], dict[str, str]] = {}
    for top in tops:
        parts = tuple(_PART.findall(top))
        for at, part in enumerate(parts):
            if split := split_of(part):
                sets.setdefault(parts[:at] + parts[at + 1 :], {})[split] = top
    for found in sets.values():
        if len(found) > 1:
            raise DataError(
                f"{root}: {_and(sorted(found.values()))} are named like splits of one data set; "
                f"rename them {_and(sorted(found))}, or give class names (data.names) if they "
                "are classes"
            )


def _check_splits_in_classes(root: Path, videos: Sequence[str], tops: list[str]) -> None:
    """Refuse CLASS/train and CLASS/test: training would include the test videos."""
    inside: dict[str, dict[str, str]] = {}
    for path in videos:
        parts = path.split("/", 2)
        if len(parts) == 3 and (split := split_of(parts[1])):
            inside.setdefault(parts[0], {})[split] = parts[1]
    for top in sorted(inside):
        if len(inside[top]) < 2:
            continue
        found = _and(sorted(inside[top].values()))
        if len(tops) == 1:
            raise DataError(f"{root}: the splits {found} lie in {top}; give {root / top} instead")
        raise DataError(
            f"{root / top}: the splits {found} lie inside a class; expected {WANTED}. Move them, "
            f"for example to {root}/train/{top}, or give lists"
        )


def _counted(others: dict[str, int]) -> str:
    shown = [
        f"{name or 'in no folder'} ({count:,} video{'s' * (count != 1)})"
        for name, count in others.items()
    ]
    return ", ".join(shown[:8]) + (", …" if len(shown) > 8 else "")


def _and(names: Sequence[str]) -> str:
    return " and ".join(filter(None, (", ".join(names[:-1]), names[-1])))
