"""Charades (Sigurdsson et al., 2016): 157 classes, several in a video.

Charades_v1_train.csv and Charades_v1_test.csv have a row for each video with "c092 11.90
21.20;c147 …" in the column actions (class, start and end in seconds); Charades_v1_classes.txt has
a line `c092 name` for each class. The label of a video is the set of its classes.
"""

from pathlib import Path

from video_gc.data.annotations.folders import match_names
from video_gc.data.annotations.labels import nearest
from video_gc.data.annotations.tables import line_of, read_columns
from video_gc.data.annotations.text import read_lines
from video_gc.data.index import DataError, VideoIndex


def read_charades(
    file: Path, classes: Path, videos: dict[str, str], root: Path
) -> tuple[VideoIndex, list[str]]:
    """Index one of the two CSV files, multi-label, and the ids of it that are not there.

    videos: of `videos_by_name(root)`.

    Raises FileNotFoundError, or DataError naming the line.
    """
    for needed in (file, classes):
        if not needed.is_file():
            raise FileNotFoundError(f"{needed}: no such annotation file (data.annotations)")
    lines = read_lines(classes, "a text file of class names")
    codes = {line.split()[0]: number for number, line in enumerate(filter(None, lines))}
    names = [line.split(maxsplit=1)[-1] for line in lines if line]
    table = read_columns(file, {"id": "id", "actions": "actions"})
    labels: list[list[int]] = []
    for row, actions in enumerate(table["actions"].to_pylist()):
        found = [action.split()[0] for action in actions.split(";") if action.strip()]
        unknown = [code for code in found if code not in codes]
        if unknown:
            raise DataError(
                f"{file}, {line_of(file, row)}: unknown class {unknown[0]!r}"
                f"{nearest(unknown[0], list(codes))}"
            )
        labels.append(sorted({codes[code] for code in found}))
    rows, paths, missing = match_names(table["id"].to_pylist(), videos, file)
    index = VideoIndex.build(
        paths, [labels[row] for row in rows], names, root=root, multi_label=True
    )
    return index, missing
