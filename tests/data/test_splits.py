"""From a config to three splits: every kind, what is missing, what a manifest leaves out."""

import json
from pathlib import Path

import numpy as np
import pytest

from tests.data.test_annotations import touch
from tests.data.test_annotations_official import charades, kinetics, ucf101
from video_gc.data import splits as module
from video_gc.data.annotations import needed_labels
from video_gc.data.annotations.official import OFFICIAL
from video_gc.data.annotations.text_files import read_names
from video_gc.data.config import OFFICIAL_KINDS, DataConfig
from video_gc.data.index import DataError, VideoIndex
from video_gc.data.manifest import NAME, Listed, write_manifest
from video_gc.data.splits import (
    NO_TEST,
    Splits,
    data_manifest,
    open_splits,
    read_splits,
    write_splits,
)
from video_gc.decode.video_facts import VideoFacts


@pytest.fixture
def said(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    lines: list[str] = []
    for each in (module, needed_labels):
        monkeypatch.setattr(each, "say", lambda text, style=None: lines.append(text))
    return lines


def splits_of(splits: Splits) -> tuple[VideoIndex, VideoIndex, VideoIndex]:
    return splits.train, splits.val, splits.test


def test_folders(tmp_path: Path) -> None:
    touch(
        tmp_path,
        *(f"{s}/{c}/{s}{i}.mp4" for s in ("train", "val", "test") for c in "ab" for i in range(3)),
    )
    splits = open_splits(DataConfig(kind="folder", root=str(tmp_path)))
    for name in ("train", "val", "test"):
        assert {p.name[:-5] for p in getattr(splits, name).paths} == {name}


def lists(root: Path) -> tuple[str, str]:
    touch(root, *(f"train/{c}/train{i}.mp4" for c in "ab" for i in range(3)), "val/b/val0.mp4")
    (root / "train.txt").write_text(
        "".join(f"train/a/train{i}.mp4 a\ntrain/b/train{i}.mp4 b\n" for i in range(3))
    )
    (root / "val.txt").write_text("val/b/val0.mp4 b\n")
    return str(root / "train.txt"), str(root / "val.txt")


def test_lists(tmp_path: Path) -> None:
    train, val = lists(tmp_path)
    splits = open_splits(DataConfig(kind="list", train=train, val=val))
    assert splits.val.labels.tolist() == [1]
    assert splits.test is splits.val
    splits = open_splits(DataConfig(kind="list", train=train))
    assert [len(part) for part in (splits.train, splits.val, splits.test)] == [2, 2, 2]
    with pytest.raises(FileNotFoundError, match="no such file of class names"):
        open_splits(DataConfig(kind="list", train="x", names="nowhere.txt"))


@pytest.mark.parametrize("kind", ["table", "pyslowfast", "mmaction2"])
def test_other_kinds_of_lists(tmp_path: Path, kind: str) -> None:
    touch(tmp_path, "a.mp4", "b.mp4")
    head = "clip,action\n" if kind == "table" else ""
    gap = "," if kind == "table" else " "
    (tmp_path / "l.csv").write_text(f"{head}a.mp4{gap}1\nb.mp4{gap}0\n")
    file = str(tmp_path / "l.csv")
    splits = open_splits(
        DataConfig(kind=kind, train=file, val=file, path_column="clip", label_column="action")
    )
    assert splits.train.paths == [tmp_path / "a.mp4", tmp_path / "b.mp4"]
    assert splits.val.labels.tolist() == [1, 0]


def test_a_folder_without_splits_is_divided_in_three(tmp_path: Path, said: list[str]) -> None:
    many = [f"{c}/{i}.mp4" for c in "ab" for i in range(10)]
    touch(tmp_path, *many, "c/0.mp4", "c/1.mp4", "d/0.mp4")
    (tmp_path / "e").mkdir()
    splits = open_splits(DataConfig(kind="folder", root=str(tmp_path)))
    counts = [np.bincount(part.labels, minlength=4).tolist() for part in splits_of(splits)]
    assert counts == [[7, 7, 1, 1], [1, 1, 1, 0], [2, 2, 0, 0]]
    assert said[0].startswith(
        "No validation and test videos given: 4 videos to test, 3 videos for validation, 16 videos "
        "for training, from each class in turn. If neighbouring files show the same scene, name"
    )
    assert said[1:] == [
        "No validation video is of class 'd': the epoch is chosen without it; add videos, of other "
        "groups if they have groups",
        "No test video is of 2 classes such as 'c', 'd': accuracy does not count it; add videos, "
        "of other groups if they have groups",
    ]


def test_too_few_videos_for_three_parts_are_two(tmp_path: Path, said: list[str]) -> None:
    touch(tmp_path, *(f"{c}/{i}.mp4" for c in "ab" for i in range(2)))
    splits = open_splits(DataConfig(kind="folder", root=str(tmp_path)))
    assert [len(part) for part in splits_of(splits)] == [2, 2, 2]
    assert splits.test is splits.val
    assert said[-1] == NO_TEST
    config = DataConfig(kind="folder", root=str(tmp_path), group=r"(\d)")
    assert [len(part) for part in splits_of(open_splits(config))] == [2, 2, 2]


def test_given_test_videos_are_kept_and_a_missing_class_is_named(
    tmp_path: Path, said: list[str]
) -> None:
    touch(tmp_path, *(f"train/{c}/{i}.mp4" for c in "ab" for i in range(5)), "test/b/0.mp4")
    splits = open_splits(DataConfig(kind="folder", root=str(tmp_path)))
    assert [len(part) for part in splits_of(splits)] == [8, 2, 1]
    assert said[0].startswith("No validation videos given: 2 videos for validation, 8 videos for")
    assert said[1].startswith("No test video is of class 'a': accuracy does not count it; add")
    assert len(said) == 2


def test_missing_videos_are_counted_named_and_listed(tmp_path: Path, said: list[str]) -> None:
    train, val = lists(tmp_path)
    (tmp_path / "train/a/train1.mp4").unlink()
    (tmp_path / "frames").mkdir()
    Path(val).write_text("val/b/val0.mp4 b\nval/b/none.mp4 b\nframes a\nnowhere/c.mp4 a\n")
    splits = open_splits(DataConfig(kind="list", train=train, val=val))
    assert (len(splits.train), len(splits.val)) == (5, 2)
    names = ["train/a/train1.mp4", "val/b/none.mp4", "nowhere/c.mp4"]
    missing = [str(tmp_path / name) for name in names]
    assert splits.missing == missing
    assert said == [f"3 of 10 listed videos are missing: {', '.join(missing)}", NO_TEST]
    write_splits(splits, tmp_path / "splits")
    assert (tmp_path / "splits/missing.txt").read_text().splitlines() == missing
    assert said[-1].startswith("The 3 missing videos are listed in")


def test_official_sets(tmp_path: Path, said: list[str]) -> None:
    for kind in ("kinetics", "ucf101", "charades"):
        (tmp_path / kind).mkdir()
    touch(
        tmp_path / "kinetics",
        "train/0123456789a_000000_000010.mp4",
        "train/A_000010_0c_000020_000030.mp4",
        "val/0123456789a_000090_000100.mp4",
    )
    kinetics(tmp_path / "kinetics")
    splits = open_splits(DataConfig(kind="kinetics", root=str(tmp_path / "kinetics")))
    assert (len(splits.train), len(splits.val), len(splits.missing)) == (2, 1, 2)
    ucf101(tmp_path / "ucf101")
    splits = open_splits(DataConfig(kind="ucf101", root=str(tmp_path / "ucf101"), split=2))
    assert (len(splits.train), len(splits.val)) == (2, 1)
    charades(tmp_path / "charades")
    splits = open_splits(DataConfig(kind="charades", root=str(tmp_path / "charades")))
    assert splits.val.multi_label
    missing = [line.split(" listed")[0] for line in said if "are missing" in line]
    assert missing == ["2 of 5", "1 of 4", "1 of 4"]
    assert NO_TEST not in said


def test_videos_without_labels_cannot_be_scored(tmp_path: Path) -> None:
    root = touch(tmp_path, "1.webm", "2.webm")
    (root / "labels.json").write_text('{"Holding something": "0"}')
    (root / "train.json").write_text(json.dumps([{"id": 1, "template": "Holding [something]"}]))
    (root / "validation.json").write_text('[{"id": 2}]')
    with pytest.raises(DataError, match="2.webm: has no label, like 1 of 1 validation videos"):
        open_splits(DataConfig(kind="something_something", root=str(root)))
    (root / "l.txt").write_text("1.webm 0\n2.webm -1\n")
    with pytest.raises(DataError, match="2.webm: has no label, like 1 of 2 training videos"):
        open_splits(DataConfig(kind="list", train=str(root / "l.txt")))


def test_a_manifest_leaves_out_what_is_damaged(
    tmp_path: Path, said: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    train, _ = lists(tmp_path)
    asked = []

    def apply(index: VideoIndex, file: Path) -> tuple[VideoIndex, list[tuple[Path, str]]]:
        asked.append(file)
        return index.take(range(1, len(index))), [(index.path(0), "moov atom not found")]

    monkeypatch.setattr(module, "apply_manifest", apply)
    config = DataConfig(kind="list", train=train, val=train, root=str(tmp_path))
    assert len(open_splits(config).train) == 6
    (tmp_path / NAME).parent.mkdir()
    (tmp_path / NAME).write_bytes(b"x")
    splits = open_splits(config)
    assert (len(splits.train), len(splits.val)) == (5, 5)
    assert asked == [tmp_path / NAME] * 2
    left_out = next(line for line in said if line.startswith("1 of 6 videos are left out by"))
    assert "train0.mp4 (moov atom not found)" in left_out
    open_splits(DataConfig(kind="list", train=train, val=train, manifest="other.parquet"))
    assert asked[2] == Path("other.parquet")


def test_a_manifest_beside_a_list_counts_and_for_kept_splits_too(
    tmp_path: Path, said: list[str]
) -> None:
    train, val = lists(tmp_path)
    config = DataConfig(kind="list", train=train, val=val)
    kept = write_splits(open_splits(config), tmp_path / "splits")
    assert data_manifest(config) is None
    facts = [VideoFacts(), VideoFacts(status="damaged", cause="cut off")]
    videos = [Listed(tmp_path / f"train/{c}/train0.mp4") for c in "ab"]
    file = tmp_path / NAME
    write_manifest(list(zip(videos, facts, strict=True)), tmp_path, file)
    assert data_manifest(config) == file
    assert data_manifest(DataConfig(kind="list", train=train, root=str(tmp_path / "val"))) is None
    opened = open_splits(config)
    for splits in (opened, read_splits(tmp_path / "splits", file)):
        assert splits.left_out == {"train": 1, "val": 0, "test": 0}
        assert set(kept.train.paths) - set(splits.train.paths) == {tmp_path / "train/b/train0.mp4"}
    left_out = [line for line in said if "left out" in line]
    assert left_out == [left_out[0]] * 2
    assert left_out[0].startswith(f"1 of 6 videos are left out by {file}, such as")
    assert len(read_splits(tmp_path / "splits", file, only=("test",)).train) == 6
    write_splits(opened, tmp_path / "again")  # what was left out at the start is not forgotten
    assert read_splits(tmp_path / "again", file).left_out["train"] == 1


def test_the_manifest_of_the_generated_set(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(touch(tmp_path, f"data/motions/alike/{NAME}"))
    assert data_manifest(DataConfig()) == Path("data/motions/alike") / NAME


def test_missing_videos_of_each_part_are_counted(tmp_path: Path) -> None:
    ucf101(tmp_path)
    splits = open_splits(DataConfig(kind="ucf101", root=str(tmp_path), split=2))
    assert splits.left_out == {"train": 0, "val": 1, "test": 1}


def test_class_names(tmp_path: Path) -> None:
    file = tmp_path / "names.txt"
    file.write_bytes("\ufeffrun\r\n\nkäse essen\n".encode())
    assert read_names(file) == ["run", "käse essen"]
    file.write_text("run\njump\n run \n")
    with pytest.raises(DataError, match="names.txt, line 3: class 'run' is in line 1 too"):
        read_names(file)
    file.write_bytes(b"k\xe4se")
    with pytest.raises(
        DataError,
        match=r"names.txt, line 1: not a text file of class names .data.names. in UTF-8 .byte 0xe4",
    ):
        read_names(file)


def test_splits_are_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    one = VideoIndex.build(
        ["a.mp4"], [[1, 0]], ["x y", "z"], root="data", multi_label=True, start=[1.0]
    )
    two = VideoIndex.build(["/b.mp4"], [[]], ["x y", "z"], multi_label=True)
    kept = write_splits(Splits(one, two, two), tmp_path / "splits")
    assert kept.train.file == str(tmp_path / "splits/train.arrow")
    monkeypatch.chdir("/")
    for splits in (kept, read_splits(tmp_path / "splits")):
        assert splits.train.paths == [tmp_path / "data/a.mp4"]
        assert splits.train.label_names(0) == ["z", "x y"]
        assert splits.train.segment(0) == (1.0, float("inf"))
        assert splits.test.paths == [Path("/b.mp4")]


def test_each_official_kind_has_a_reader() -> None:
    assert tuple(OFFICIAL) == OFFICIAL_KINDS


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"kind": "kinetic"},
            r"data.kind \('kinetic'\) must be one of motions, folder, list, table",
        ),
        ({"kind": "charades"}, "data.root is missing"),
        ({"kind": "table"}, "data.train is missing: give a table .CSV, TSV, Parquet., data.train="),
        ({"kind": "pyslowfast"}, "data.train is missing: give a list in the format of pyslowfast"),
        ({"split": 4}, r"data.split \(4\) must be 1, 2 or 3"),
        ({"multi_label": True}, "videos of kind motions have one label"),
        ({"decoder": "ffmpeg"}, r"data.decoder \('ffmpeg'\) must be one of auto, pyav"),
        ({"decode_device": "tpu"}, "must be one of cpu, cuda"),
        ({"transfer": "bgr"}, "must be one of rgb, yuv"),
        ({"flip": 2}, "data.flip"),
        ({"workers": -1}, "data.workers"),
    ],
)
def test_options_are_checked(options: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        DataConfig(**options)
