"""Something-Something V2: labels.json, train.json, validation.json, test.json (no labels).

A video's class is its "template" without the square brackets; videos are ID.webm.
"""

import json
from pathlib import Path
from typing import Any

from video_gc.data.annotations.folders import match_names
from video_gc.data.annotations.labels import nearest
from video_gc.data.index import DataError, VideoIndex


def read_something_something(
    file: Path, labels: Path, videos: dict[str, str], root: Path
) -> tuple[VideoIndex, list[str]]:
    """Index one of the JSON files, and the ids of it that are not there.

    labels: labels.json, {class: number}. videos: of `videos_by_name(root)`. Entries without a
    template (test.json) get the class number -1.

    Raises FileNotFoundError, or DataError naming the entry.
    """
    numbers = {str(name): int(number) for name, number in _json(labels, dict).items()}
    names = sorted(numbers, key=lambda name: numbers[name])
    if [numbers[name] for name in names] != list(range(len(names))):
        raise DataError(f"{labels}: the classes must be numbered from 0 to {len(names) - 1}")
    ids, classes = [], []
    for count, entry in enumerate(_json(file, list), start=1):
        if not isinstance(entry, dict) or "id" not in entry:
            there = ", ".join(entry) if isinstance(entry, dict) else repr(entry)
            raise DataError(f"{file}, entry {count}: no 'id' in it; there is {there}")
        template = str(entry.get("template", "")).replace("[", "").replace("]", "")
        if template and template not in numbers:
            raise DataError(
                f"{file}, entry {count}: unknown class {template!r}{nearest(template, names)}"
            )
        ids.append(str(entry["id"]))
        classes.append(numbers.get(template, -1))
    rows, paths, missing = match_names(ids, videos, file)
    return VideoIndex.build(paths, [classes[row] for row in rows], names, root=root), missing


def _json(file: Path, kind: type) -> Any:
    if not file.is_file():
        raise FileNotFoundError(f"{file}: no such annotation file (data.annotations)")
    try:
        content = json.loads(file.read_bytes())
    except ValueError as error:
        raise DataError(f"{file}: no JSON ({error})") from error
    if not isinstance(content, kind):
        raise DataError(f"{file}: holds a {type(content).__name__}, not a {kind.__name__}")
    return content
