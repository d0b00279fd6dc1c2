"""UCF101 and HMDB51: the three official splits.

UCF101 (Soomro et al., 2012): classInd.txt, trainlist01.txt, testlist01.txt, …; the 25 groups of a
class are cut from one video each and lie on one side of a split. HMDB51 (Kuehne et al., 2011):
CLASS_test_split1.txt, … with 1 (train), 2 (test) or 0 (not used) behind each file name.
"""

import re
from pathlib import Path, PurePosixPath

from video_gc.data.annotations.folders import match_names
from video_gc.data.annotations.labels import nearest
from video_gc.data.annotations.text import read_lines
from video_gc.data.index import DataError, VideoIndex


def read_ucf101(
    annotations: Path, split: int, part: str, videos: dict[str, str], root: Path
) -> tuple[VideoIndex, list[str]]:
    """The train or test videos of split 1, 2 or 3, and the listed names that are not there.

    videos: of `videos_by_name(root)`. A video's source is its group, such as v_Archery_g01.

    Raises FileNotFoundError, or DataError naming the line.
    """
    classes = _lines(annotations / "classInd.txt")
    names = [line.split(maxsplit=1)[-1] for line in classes if line]
    number = {name: index for index, name in enumerate(names)}
    file = annotations / f"{part}list{split:02d}.txt"
    stems, labels = [], []
    for count, line in enumerate(_lines(file), start=1):
        if not line:
            continue
        path = PurePosixPath(line.split()[0])
        if path.parent.name not in number:
            raise DataError(
                f"{file}, line {count}: unknown class {path.parent.name!r}"
                f"{nearest(path.parent.name, names)}"
            )
        stems.append(path.stem)
        labels.append(number[path.parent.name])
    rows, paths, missing = match_names(stems, videos, file)
    groups = [re.sub(r"_c\d+$", "", stems[row]) for row in rows]
    index = VideoIndex.build(paths, [labels[r] for r in rows], names, root=root, source_id=groups)
    return index, missing


def read_hmdb51(
    annotations: Path, split: int, part: str, videos: dict[str, str], root: Path
) -> tuple[VideoIndex, list[str]]:
    """The train or test videos of split 1, 2 or 3, and the listed names that are not there.

    A video's source is the film that its name begins with. Raises as `read_ucf101`.
    """
    ending = f"_test_split{split}.txt"
    files = sorted(annotations.glob(f"*{ending}"))
    if not files:
        raise FileNotFoundError(f"{annotations}: no files CLASS{ending} (data.annotations)")
    names = [file.name.removesuffix(ending) for file in files]
    wanted = {"train": "1", "test": "2"}[part]
    stems, labels = [], []
    for number, file in enumerate(files):
        for count, line in enumerate(_lines(file), start=1):
            words = line.rsplit(maxsplit=1)
            if words and (len(words) != 2 or words[1] not in ("0", "1", "2")):
                raise DataError(f"{file}, line {count}: expected `file 0|1|2`, found {line!r}")
            if words and words[1] == wanted:
                stems.append(PurePosixPath(words[0]).stem)
                labels.append(number)
    rows, paths, missing = match_names(stems, videos, annotations)
    sources = [stems[row].split(f"_{names[labels[row]]}_")[0] for row in rows]
    index = VideoIndex.build(paths, [labels[r] for r in rows], names, root=root, source_id=sources)
    return index, missing


def _lines(file: Path) -> list[str]:
    if not file.is_file():
        raise FileNotFoundError(f"{file}: no such file of an official split (data.annotations)")
    return read_lines(file, "a text file of an official split")
