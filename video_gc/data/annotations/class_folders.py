"""A folder of class folders, or of splits (train, val, test) that hold class folders.

Splits are told from classes by name and by depth. Their spellings are those of Ultralytics (train,
val, test), Roboflow (train, valid, test), Hugging Face (train, training; validation, valid, val,
dev; test, testing, eval, evaluation) and of the crawlers of Kinetics (validate), in any case, with
what often stands beside them: train_256, val2017, TestSet, training videos.
"""

import re
import unicodedata
from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from video_gc.data.annotations.folder_scan import (
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
"""Split → the words that mean it, in small letters."""
_WORDS = {word: split for split, words in SPELLINGS.items() for word in words}
_BESIDE = r"(?:sets?|splits?|data|datasets?|videos?|clips?|images?|frames?|rgb|\d+(?:x\d+|px?)?)"
_NAME = re.compile(
    rf"(?:{_BESIDE}[-_. ]*)*({'|'.join(sorted(_WORDS, key=len, reverse=True))})"
    rf"(?:[-_. ]*{_BESIDE})*"
)
_PART = re.compile(r"[A-Z]?[^\W_A-Z\d]+|[A-Z]+|\d+")
"""A part of a name, such as Kinetics, 400 and train."""
WANTED = "DIR/CLASS/video, or DIR/train/CLASS/video (with val and test beside train)"


@dataclass(frozen=True)
class ClassFolders:
    """A folder of class folders, or of splits that hold them, as indices."""

    splits: dict[str, VideoIndex]
    """train, and val and test where there are such"""
    passed_over: PassedOver


@dataclass(frozen=True)
class Layout:
    """What the folders in a folder are."""

    splits: dict[str, str] = field(default_factory=dict)
    """train, val or test → the folder; empty where the folders are classes"""
    others: dict[str, int] = field(default_factory=dict)
    """folders beside splits that are none → their videos; "" for videos in no folder"""
    odd_class: str = ""
    """a class among others whose name is that of a split"""


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
            raise no_videos(root / top, found)
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
        raise no_videos(root, found)
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


def split_of(name: str) -> str | None:
    """train, val or test, where a folder's name means one; None for any other name."""
    seen = "".join(sign for sign in name if unicodedata.category(sign) != "Cf")  # no signs of order
    match = _NAME.fullmatch(unicodedata.normalize("NFC", seen).casefold().strip())
    return None if match is None else _WORDS[match[1]]


def find_layout(
    root: Path,
    videos: Sequence[str],
    folders: Collection[str] = (),
    classes: Collection[str] | None = None,
) -> Layout:
    """Tell splits from classes by name and by depth: a split holds CLASS/video, a class videos.

    videos: relative to `root`. folders: all that lie in it, with or without videos.
    classes: known ones, in NFC; folders that are all among them are classes whatever their names.

    Raises DataError for what can be understood in two ways, with the way out.
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
            f"{root}: {_and(full)} is named like a split, but no folder like the training split "
            f"(train, training){beside}. This wants {WANTED}"
        )
    if len(full) == 1 and others:
        raise DataError(
            f"{root}: {full[0]} is named like the {named[full[0]]} split, and beside it lies what "
            f"is no split: {shown}. Move that away or into {full[0]}/CLASS; or rename {full[0]}, "
            "if it is a class"
        )
    return Layout(splits, others)


def _check_classes(root: Path, named: list[str], others: list[str]) -> None:
    """Folders that hold videos directly are classes; is that meant by their names?"""
    if len(named) > 1 or (named and not others):
        raise DataError(
            f"{root}: {_and(named)}: named like splits, but with videos directly in them, as "
            f"classes have. This wants {WANTED}; rename them, if they really are classes"
        )


def _check_prefixed(root: Path, tops: list[str]) -> None:
    """kinetics_train and kinetics_val are splits of one set, and would be taken for two classes."""
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
                f"rename them {_and(sorted(found))}, or give class names (data.names), if they "
                "really are classes"
            )


def _check_splits_in_classes(root: Path, videos: Sequence[str], tops: list[str]) -> None:
    """CLASS/train and CLASS/test would train on the test videos."""
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
            f"{root / top}: the splits {found} lie inside a class; this wants {WANTED}. Move them, "
            f"such as to {root}/train/{top}; or give lists"
        )


def _counted(others: dict[str, int]) -> str:
    shown = [
        f"{name or 'in no folder'} ({count:,} video{'s' * (count != 1)})"
        for name, count in others.items()
    ]
    return ", ".join(shown[:8]) + (", …" if len(shown) > 8 else "")


def _and(names: Sequence[str]) -> str:
    return " and ".join(filter(None, (", ".join(names[:-1]), names[-1])))
