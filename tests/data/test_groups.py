"""Groups of videos: from a table's column or a path's pattern, into splits and folds."""

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.data.test_annotations import touch
from video_gc.data import splits as module
from video_gc.data.annotations import needed_labels
from video_gc.data.annotations.groups import found_groups
from video_gc.data.annotations.tables import read_table
from video_gc.data.config import DataConfig
from video_gc.data.index import DataError, VideoIndex
from video_gc.data.splits import Splits, open_splits

UCF = r"_g(\d+)_"


@pytest.fixture
def said(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    lines: list[str] = []
    for each in (module, needed_labels):
        monkeypatch.setattr(each, "say", lambda text, style=None: lines.append(text))
    return lines


def groups(index: VideoIndex) -> list[str | None]:
    return [index.group(row) for row in range(len(index))]


def clips(root: Path, matches: int = 6) -> Path:
    """Two classes, `matches` matches with two clips of each class."""
    names = [f"{c}/v_g{g:02}_c{n}.mp4" for c in "ab" for g in range(matches) for n in range(2)]
    return touch(root, *names)


@pytest.mark.parametrize(
    ("pattern", "path", "group"),
    [
        (UCF, "Archery/v_Archery_g07_c01.avi", "07"),
        (r"^.+/v_.+_g\d+", "Archery/v_Archery_g07_c01.avi", "Archery/v_Archery_g07"),
        (r"(?:match(\d+)|day(\d+))", "a/day12_3.mp4", "12"),
        (r"p\d", "a/p3.mp4", "p3"),
        (r"p(\d)?", "a/p.mp4", "p"),
        (UCF, "Archery/clip.avi", None),
        (r"\d*", "a/b.mp4", None),  # an empty match is none
        (r"(\d?)\d\.mp4", "a/7.mp4", None),  # not "7.mp4", a match that only this clip is in
    ],
)
def test_the_pattern_names_the_group(pattern: str, path: str, group: str | None) -> None:
    assert found_groups([path], pattern) == [group]


@pytest.mark.parametrize("form", ["csv", "tsv", "parquet"])
def test_a_tables_column_is_read(tmp_path: Path, form: str) -> None:
    rows = {"path": ["a.mp4", "b.mp4"], "label": ["x", "y"], "group": [7, 8]}
    file = tmp_path / f"list.{form}"
    if form == "parquet":
        pq.write_table(pa.table(rows), file)
    else:
        gap = "," if form == "csv" else "\t"
        lines = [gap.join(map(str, line)) for line in zip(*rows.values(), strict=True)]
        file.write_text("\n".join([gap.join(rows), *lines]))
    assert groups(read_table(file)) == ["7", "8"]


def test_a_table_with_numbered_columns_has_no_groups(tmp_path: Path) -> None:
    (tmp_path / "l.csv").write_text("a.mp4,group\n")
    index = read_table(tmp_path / "l.csv", columns={"path": "0", "label": "1"})
    assert index.table.column_names == ["path", "label"]
    (tmp_path / "l.csv").write_text("path,group\na.mp4,x\n")  # here it holds the labels
    assert read_table(tmp_path / "l.csv", columns={"label": "group"}).names == ["x"]


def test_the_pattern_wins_over_the_column(tmp_path: Path) -> None:
    root = clips(tmp_path)
    names = [path.relative_to(root).as_posix() for path in sorted(root.glob("*/*"))]
    rows = [f"{name},{name[0]},{'' if row == 3 else name[0]}" for row, name in enumerate(names)]
    file = tmp_path / "l.csv"
    file.write_text("\n".join(["path,label,group", *rows]))
    config = {"kind": "table", "train": str(file)}
    with pytest.raises(DataError, match=r"v_g01_c1.mp4: the column 'group' is empty, like in 1 of"):
        open_splits(DataConfig(**config))
    splits = open_splits(DataConfig(**config, group=UCF))
    assert set.union(*parts(splits)) == {f"{g:02}" for g in range(6)}


def test_a_path_without_a_group_is_an_error_with_the_way_out(tmp_path: Path) -> None:
    touch(clips(tmp_path), "a/other.mp4", "b/other.mp4")
    message = (
        r"a/other.mp4: the pattern '_g\(\\\\d\+\)_' \(data.group=PATTERN\) finds no group in "
        "'a/other.mp4', like 2 of 26 videos; correct the pattern, rename the file, or give a table"
    )
    with pytest.raises(DataError, match=message):
        open_splits(DataConfig(kind="folder", root=str(tmp_path), group=UCF))
    with pytest.raises(ValueError, match=r"data.group \('\('\) is not a regular expression"):
        DataConfig(group="(")
    with pytest.raises(ValueError, match=r"data.split_seed \(-1\) must not be negative"):
        DataConfig(split_seed=-1)


def parts(splits: Splits) -> list[set[str | None]]:
    return [set(groups(index)) for index in (splits.train, splits.val, splits.test)]


def test_a_folder_is_divided_by_groups(tmp_path: Path, said: list[str]) -> None:
    config = DataConfig(kind="folder", root=str(clips(tmp_path)), group=UCF)
    found = parts(open_splits(config))
    assert len(set.union(*found)) == sum(map(len, found))
    assert list(map(len, found)) == [4, 1, 1]
    assert said == [
        "No validation and test videos given: 4 videos (1 group) to test, 4 videos (1 group) for "
        "validation, 16 videos (4 groups) for training; no group is divided."
    ]


def test_a_list_is_divided_by_groups(tmp_path: Path) -> None:
    root = clips(tmp_path)
    names = [path.relative_to(root).as_posix() for path in sorted(root.glob("*/*"))]
    (root / "l.txt").write_text("".join(f"{name} {name[0]}\n" for name in names))
    train, val, _ = parts(open_splits(DataConfig(kind="list", train=f"{root}/l.txt", group=UCF)))
    assert not train & val


def test_folds_of_a_folder(tmp_path: Path, said: list[str]) -> None:
    config = DataConfig(kind="folder", root=str(clips(tmp_path)), group=UCF)
    found = [parts(open_splits(config, f"{number}/3")) for number in range(3)]
    for train, val, test in found:
        assert len(train) + len(val) + len(test) == len(train | val | test) == 6
    tested = [test for _, _, test in found]
    assert set.union(*tested) == {f"{g:02}" for g in range(6)}
    assert list(map(len, tested)) == [2, 2, 2]
    assert said[0] == (
        "Fold 0/3: 8 videos (2 groups) to test, 4 videos (1 group) for validation, "
        "12 videos (3 groups) for training"
    )


def test_folds_need_data_without_splits(tmp_path: Path) -> None:
    touch(tmp_path, *(f"{s}/{c}/{n}.mp4" for s in ("train", "test") for c in "ab" for n in "123"))
    with pytest.raises(DataError, match=r"fold \(0/3\): .* has test videos of its own, and folds"):
        open_splits(DataConfig(kind="folder", root=str(tmp_path)), "0/3")


def test_a_group_in_two_given_splits_is_told(tmp_path: Path, said: list[str]) -> None:
    lists = {"train": ("m1", "m2", "m3", "m4"), "val": ("m5", "m3"), "test": ("m6", "m2", "m5")}
    for name, own in lists.items():
        videos = [f"{name}/{c}_{group}_.mp4" for group in own for c in "ab"]
        touch(tmp_path, *videos)
        lines = [f"{video} {Path(video).name[0]}\n" for video in videos]
        (tmp_path / f"{name}.txt").write_text("".join(lines))
    files = {name: str(tmp_path / f"{name}.txt") for name in lists}
    open_splits(DataConfig(kind="list", **files))  # no groups are known
    assert said == []
    open_splits(DataConfig(kind="list", **files, group=r"_(m\d)_"))
    assert said == [
        "group 'm3' has training and validation videos (3 groups lie in two splits): clips of one "
        "group look alike, so scores will be too high; put all videos of a group in one split"
    ]
    said.clear()
    files |= {"train": files["val"], "val": files["test"]}
    open_splits(DataConfig(kind="list", **files, group=r"_(m\d)_"))
    assert "group 'm5' has training and validation videos (1 groups" in said[0]
    said.clear()
    (tmp_path / "alone.txt").write_text("train/a_m1_.mp4 a\ntrain/b_m4_.mp4 b\n")
    files["train"] = str(tmp_path / "alone.txt")  # the test videos are the validation videos
    open_splits(DataConfig(kind="list", **files, group=r"_(m\d)_"))
    assert said == []
