"""Find duplicated files, and leaks between training and test videos."""

import re
from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import PurePath

Row = dict[str, object]
"""A row of a manifest."""

KINETICS = re.compile(r"(?P<source>[\w-]{11})_\d{6}_\d{6}")  # YouTube id, start and end in s
UCF = re.compile(r"(?P<source>v_.+_g\d+)_c\d+")  # clips of one group are cut from one video


@dataclass(frozen=True)
class Pair:
    """Two rows that show the same, and the evidence."""

    first: str
    second: str
    splits: str
    """such as train/val"""
    how: str


def source_id(path: str, given: object = None) -> str | None:
    """A video's group: `given`, or what it was cut from by its name; None if unknown.

    Known names are ID_000010_000020 (Kinetics: an 11-character YouTube id, start and end in
    seconds) and v_CLASS_g01_c01 (UCF101: the group).
    """
    if given:
        return str(given)
    stem = PurePath(path).stem
    for pattern in (KINETICS, UCF):
        if match := pattern.fullmatch(stem):
            return match["source"]
    return None


def find_duplicates(rows: Iterable[Row]) -> list[Pair]:
    """Different files with the same content or the same pictures, paired with the first of them."""
    once = {str(row["path"]): row for row in rows}  # one file in two splits is no duplicate
    return _pairs(list(once.values()), _CONTENT, across=False)


def find_leaks(rows: Iterable[Row]) -> list[Pair]:
    """Videos in more than one split: the same file, content, pictures or group.

    Each video is paired with the first one of each other split. A pair is listed once, with the
    strongest evidence. Videos without a split are ignored.
    """
    rows = [row for row in rows if row["split"]]
    evidence = [("same file", lambda row: row["path"]), *_CONTENT, ("same group", _source)]
    return _pairs(rows, evidence, across=True)


Evidence = list[tuple[str, Callable[[Row], object]]]


def _source(row: Row) -> object:
    return source_id(str(row["path"]), row["source"])


_CONTENT: Evidence = [
    ("same content", lambda row: row["content"]),
    ("same pictures", lambda row: row["pictures"]),
]


def _pairs(rows: list[Row], evidence: Evidence, *, across: bool) -> list[Pair]:
    """Pairs of rows with one key; across: only those of different splits."""
    found: dict[tuple[int, int], Pair] = {}
    for how, key_of in evidence:
        groups: dict[object, list[int]] = defaultdict(list)
        for number, row in enumerate(rows):
            if key := key_of(row):
                groups[key].append(number)
        for group in groups.values():
            firsts: dict[object, int] = {}  # of each split, or overall
            for number in group:
                part = rows[number]["split"] if across else None
                for other, first in firsts.items():
                    if not (across and other == part) and (first, number) not in found:
                        found[first, number] = _pair(rows[first], rows[number], how)
                firsts.setdefault(part, number)
    return [found[key] for key in sorted(found)]


def _pair(first: Row, second: Row, how: str) -> Pair:
    splits = [str(row["split"]) or "all" for row in (first, second)]
    return Pair(str(first["path"]), str(second["path"]), "/".join(splits), how)
