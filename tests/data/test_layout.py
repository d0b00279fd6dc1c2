"""Classes or splits: what a folder of a user's own is taken for, and what is said of the rest."""

import csv
import unicodedata
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.data.test_annotations import touch
from video_gc.data.annotations.class_folders import SPELLINGS, read_class_folders, split_of
from video_gc.data.config import DataConfig
from video_gc.data.index import DataError
from video_gc.data.prepare.listing import list_sources
from video_gc.data.splits import Splits, open_splits, read_splits, write_splits

CLASSES = [f"{name}/{number}.mp4" for name in ("pull", "push") for number in range(2)]


def opened(root: Path, **options: object) -> Splits:
    return open_splits(DataConfig(kind="folder", root=str(root), **options))  # type: ignore[arg-type]


def tree(root: Path, *folders: str) -> Path:
    """The four videos of two classes in each of the folders."""
    return touch(root, *(f"{folder}/{name}" for folder in folders for name in CLASSES))


@pytest.mark.parametrize(
    ("train", "val", "test"),
    [
        ("train", "valid", "test"),  # Roboflow
        ("training", "validation", "testing"),  # Hugging Face, ActivityNet
        ("Train", "Val", "Test"),
        ("TRAIN", "VALID", "TEST"),
        ("train", "dev", "evaluation"),
        ("train2017", "val2017", "test2017"),  # COCO
        ("train_256", "validate_256", "test_256"),  # Kinetics
        ("TrainSet", "valid set", "test-videos"),
        ("training videos", "validation videos", "test videos"),
        ("1_train", "2_val", "3_test"),
    ],
)
def test_splits_are_known_by_the_names_of_other_programs(
    tmp_path: Path, train: str, val: str, test: str
) -> None:
    tree(tmp_path, train, val, test)
    splits = opened(tmp_path)
    for split, folder in (("train", train), ("val", val), ("test", test)):
        index = getattr(splits, split)
        assert index.names == ["pull", "push"]
        assert {path.parent.parent.name for path in index.paths} == {folder}
        assert len(index) == 4
    listed, _, *_ = list_sources([tmp_path])
    assert {(video.split, video.label) for video in listed} == {
        (split, label) for split in SPELLINGS for label in ("pull", "push")
    }


@given(st.sampled_from(sorted(SPELLINGS)), st.data())
def test_a_spelling_means_its_split_in_any_case(split: str, data: st.DataObject) -> None:
    word = data.draw(st.sampled_from(SPELLINGS[split]))
    typed = "".join(data.draw(st.sampled_from([c, c.upper()])) for c in word)
    beside = data.draw(st.sampled_from(["", "_256", "2017", "Set", " videos", "-data", "_320x240"]))
    assert split_of(typed + beside) == split
    assert split_of(data.draw(st.sampled_from(["video_", "my_data_", "rgb-"]))[3:] + typed) in (
        split,
        None,
    )


@pytest.mark.parametrize(
    ("train", "val"),
    [("kinetics_train", "kinetics_val"), ("Ucf101-TRAIN", "Ucf101-test"), ("MineTrain", "MineVal")],
)
def test_splits_with_the_name_of_their_set_are_no_classes(
    tmp_path: Path, train: str, val: str
) -> None:
    tree(tmp_path, train, val)
    with pytest.raises(DataError, match=f"{train} and {val} are named like splits of one data set"):
        opened(tmp_path)
    (tmp_path / "names.txt").write_text(f"{train}\n{val}\n")
    assert len(opened(tmp_path, names=str(tmp_path / "names.txt")).train.names) == 2


def test_signs_that_turn_the_order_of_reading_are_no_part_of_a_name() -> None:
    assert split_of("\u200ftrain\u200e") == "train"


@pytest.mark.parametrize(
    "name",
    [
        *("train_station", "test drive", "constrain", "contest", "valley", "device", "trains"),
        *("run", "", "testosterone", "validated", "medieval", "12", "videos", "trainval", "Übung"),
    ],
)
def test_other_words_are_no_splits(name: str) -> None:
    assert split_of(name) is None


@pytest.mark.parametrize(
    ("videos", "message"),
    [
        (["Train/0.mp4", "Test/0.mp4"], "Test and Train: named like splits, but with videos direc"),
        (["train/0.mp4", "test/0.mp4", "bus/0.mp4"], "test and train: named like splits"),
        (["train/0.mp4"], "train: named like splits, but with videos directly in them"),
        (["train/a/0.mp4", "val/a/0.mp4", "valid/a/0.mp4"], "val and valid all mean the val split"),
        (["train/a/0.mp4", "Train/b/0.mp4"], "Train and train all mean the train split"),
        (
            ["test/a/0.mp4", "val/b/0.mp4"],
            "test and val is named like a split, but there is no tra",
        ),
        (["Train/a/0.mp4", "run/0.mp4", "run/1.mp4"], r"are not splits: run \(2 videos\). Move th"),
        (["train/a/0.mp4", "1.mp4"], r"are not splits: in no folder \(1 video\)"),
        (["train/p/0.mp4", "bus/p/0.mp4"], "or rename train, if it is a class"),
        (["train/a/0.mp4", "train/b/0.mp4", "test/0.mp4"], "0.mp4: is in no class folder; move"),
        (["data/train/a/0.mp4", "data/val/a/0.mp4"], "train and val lie in data; give .*/data ins"),
        (["a/train/0.mp4", "a/test/0.mp4", "b/train/0.mp4", "b/test/0.mp4"], "a: the splits test "),
        (
            ["train/train/a/0.mp4", "val/val/a/0.mp4"],
            "train: contains splits itself; move its contents up",
        ),
        (["train/a/0.mp4", "train/b/0.mp4", "val/notes.txt"], "val: no videos in this folder"),
        (["run/0.mp4", "run/1.mp4"], "all 2 training videos are of class 'run'; give videos of"),
    ],
)
def test_what_can_be_understood_in_two_ways_is_an_error(
    tmp_path: Path, videos: list[str], message: str
) -> None:
    touch(tmp_path, *videos)
    with pytest.raises(DataError, match=message):
        opened(tmp_path)
    listed, _, *_ = list_sources([tmp_path])  # a check looks at the files all the same
    assert len(listed) == sum(name.endswith(".mp4") for name in videos)


def test_known_classes_may_be_named_like_splits(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    touch(tmp_path, *(f"{name}/{n}.mp4" for name in ("bus", "train") for n in range(2)))
    assert opened(tmp_path).train.names == ["bus", "train"]
    assert "train: counts as a class like its neighbours, but" in capsys.readouterr().err
    (tmp_path / "names.txt").write_text("train\ntest\n")
    touch(tmp_path / "set", *(f"{name}/{n}.mp4" for name in ("test", "train") for n in range(2)))
    splits = opened(tmp_path / "set", names=str(tmp_path / "names.txt"))
    assert splits.train.names == ["train", "test"]
    assert len(splits.train) == len(splits.val) == 2


def test_what_is_not_understood_is_counted_named_and_listed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root = tree(tmp_path / "set", "train", "Valid", "Validierung", "train/.Trash-1000/files")
    touch(
        root,
        *("train/push/.ipynb_checkpoints/0.mp4", "__MACOSX/push/._0.mp4", "train/push/._0.mp4"),
        *("lost+found/0.mp4", "System Volume Information/x.mp4", "$RECYCLE.BIN/y.mp4"),
        *("train/push/a.TXT", "train/push/b.txt", "train/pull/c.jpg", "README", "notes/d.txt"),
    )
    splits = opened(root)
    assert len(splits.train) == len(splits.val) == 4
    (line,) = [line for line in capsys.readouterr().err.splitlines() if "passed over" in line]
    assert "1 folder that is no split (Validierung (4 videos))" in line
    assert "1 folder without videos (notes)" in line
    assert "5 files of another kind (.txt 3, no suffix 1, .jpg 1)" in line
    assert "6 hidden or system folders ($RECYCLE.BIN, System Volume Information, __MACOSX" in line
    assert "1 hidden file (train/push/._0.mp4)" in line
    write_splits(splits, tmp_path / "run")
    with (tmp_path / "run/passed_over.csv").open(newline="") as stream:
        kinds = [row["kind"] for row in csv.DictReader(stream)]
    assert len(kinds) == 1 + 1 + 5 + 6 + 1
    assert len(read_splits(tmp_path / "run").train) == 4


def test_classes_are_compared_in_one_unicode_form(tmp_path: Path) -> None:
    composed, apart = (unicodedata.normalize(form, "café") for form in ("NFC", "NFD"))
    touch(tmp_path, f"train/{composed}/0.mp4", f"train/{apart}/1.mp4", "train/tea/2.mp4")
    touch(tmp_path, f"val/{apart}/3.mp4")
    splits = opened(tmp_path)
    assert splits.train.names == [composed, "tea"]
    assert sorted(splits.train.labels.tolist()) == [0, 0, 1]
    assert splits.val.labels.tolist() == [0]
    # a checkpoint of an older version may know the class in the other form
    assert read_class_folders(tmp_path / "val", ["tea", apart]).labels.tolist() == [1]
    listed, _, *_ = list_sources([tmp_path])
    assert {video.label for video in listed} == {composed, "tea"}


def test_classes_that_differ_in_capitals_are_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    touch(tmp_path, "Run/0.mp4", "run/0.mp4", "jump/0.mp4")
    assert read_class_folders(tmp_path).names == ["Run", "jump", "run"]
    assert (
        "the classes 'Run' and 'run' differ in capitals or spaces only" in capsys.readouterr().err
    )


def test_classes_without_videos_are_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    touch(tmp_path, *(f"{n}.mp4" for n in range(4)))
    file = tmp_path / "l.txt"
    file.write_text("0.mp4 3\n1.mp4 3\n2.mp4 1900\n3.mp4 1900\n")
    splits = open_splits(DataConfig(kind="list", train=str(file)))
    assert len(splits.train.names) == 1901
    said = capsys.readouterr().err
    assert "1,899 of 1,901 classes have no training video, such as 0, 1, 2;" in said
    file.write_text("0.mp4 3\n1.mp4 3\n")
    with pytest.raises(DataError, match="all 2 training videos are of class '3'"):
        open_splits(DataConfig(kind="list", train=str(file)))


def test_an_empty_class_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    tree(tmp_path, "train", "val")
    (tmp_path / "val" / "pull" / "0.mp4").rename(tmp_path / "val" / "push" / "2.mp4")
    (tmp_path / "val" / "pull" / "1.mp4").unlink()
    (tmp_path / "train" / "lift").mkdir()
    assert opened(tmp_path).train.names == ["pull", "push"]
    said = " ".join(capsys.readouterr().err.split())
    for folder in ("train/lift", "val/pull"):
        assert f"{folder}: an empty class: no video is in this folder" in said
    assert "No validation video is of class 'pull'" in said
