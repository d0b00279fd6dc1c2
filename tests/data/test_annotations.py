import os
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from video_gc.data.annotations import listed_files
from video_gc.data.annotations.class_folders import read_class_folders
from video_gc.data.annotations.folder_scan import find_videos
from video_gc.data.annotations.listed_files import leave_out_missing, videos_by_name
from video_gc.data.annotations.lists import read_list
from video_gc.data.annotations.tables import read_table
from video_gc.data.divide import hold_out
from video_gc.data.index import DataError, VideoIndex
from video_gc.outputs import write_csv


def touch(root: Path, *names: str) -> Path:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(b"x")
    return root


def test_class_folders(tmp_path: Path) -> None:
    touch(tmp_path, "run/b.mp4", "run/a.AVI", "jump/deep/c.mkv", "jump/notes.txt", "jump/.d.mp4")
    index = read_class_folders(tmp_path)
    assert index.names == ["jump", "run"]
    assert [path.name for path in index.paths] == ["c.mkv", "a.AVI", "b.mp4"]
    assert index.labels.tolist() == [0, 1, 1]


def test_class_folders_of_a_test_set_keep_the_training_order(tmp_path: Path) -> None:
    touch(tmp_path, "run/b.mp4")
    assert read_class_folders(tmp_path, ["jump", "run"]).labels.tolist() == [1]
    with pytest.raises(DataError, match="run: no such class in training; did you mean 'runs'"):
        read_class_folders(tmp_path, ["jump", "runs"])


def test_lists_with_numbers_names_and_absolute_paths(tmp_path: Path) -> None:
    file = tmp_path / "train.txt"
    file.write_text(f"# a comment\n\na.mp4 1\nmy videos/b.mp4 0\n{tmp_path}/c.mp4 run fast\n")
    names = ["jump", "run fast"]
    index = read_list(file, names=names)
    assert index.labels.tolist() == [1, 0, 1]
    assert index.paths == [tmp_path / "a.mp4", tmp_path / "my videos/b.mp4", tmp_path / "c.mp4"]
    assert read_list(file, Path("/elsewhere"), names).paths[0] == Path("/elsewhere/a.mp4")
    assert read_list(file, Path("/elsewhere"), names).paths[2] == tmp_path / "c.mp4"


def test_a_table_of_ours_gives_names_back_that_look_like_formulas(tmp_path: Path) -> None:
    names = ["'quoted", "+1", "=x", "plain", "rock'n'roll"]
    write_csv(tmp_path / "t.csv", ["path", "label"], [(f"-{name}.mp4", name) for name in names])
    index = read_table(tmp_path / "t.csv")
    assert index.names == names
    assert [path.name for path in index.paths] == [f"-{name}.mp4" for name in names]
    (tmp_path / "theirs.csv").write_text("path,label\n'=a.mp4,'=x\n")  # they may mean it
    theirs = read_table(tmp_path / "theirs.csv")
    assert (theirs.names, theirs.paths[0].name) == (["'=x"], "'=a.mp4")


def test_numbers_need_not_be_dense(tmp_path: Path) -> None:
    file = tmp_path / "list.txt"
    file.write_text("a.mp4 2\nb.mp4\t2\n")
    train, val, _ = hold_out(read_list(file))
    assert (len(train), len(val)) == (1, 1)
    file.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(DataError, match="list.txt: not a text file"):
        read_list(file)


def test_lists_without_names(tmp_path: Path) -> None:
    file = tmp_path / "list.txt"
    file.write_text("a.mp4 2\nb.mp4 0\n")
    assert read_list(file).names == ["0", "1", "2"]
    file.write_text("a.mp4 walk\nb.mp4 jump\n")
    assert read_list(file).names == ["jump", "walk"]
    assert read_list(file).labels.tolist() == [1, 0]


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        ("0 1 1O 2 10", "list.txt, line 3: label '1O' is not a class number like the others; cor"),
        ("0 1 -2 2", "line 3: label '-2' is not a class number"),
        ("0 1 ² 2", "line 3: label '²' is not a class number"),
        (
            "0 20000000 1",
            "line 2: label 20000000 in a list of 3 videos; correct it, or give data.n",
        ),
    ],
)
def test_a_slip_in_a_list_of_numbers_renumbers_no_class(
    tmp_path: Path, labels: str, message: str
) -> None:
    file = tmp_path / "list.txt"
    file.write_text("".join(f"{n}.mp4 {label}\n" for n, label in enumerate(labels.split())))
    with pytest.raises(DataError, match=message):
        read_list(file)
    names = [*labels.split()]
    assert read_list(file, names=names).labels.tolist() == list(range(len(names)))


def test_names_may_hold_numbers_and_numbers_may_be_far_apart(tmp_path: Path) -> None:
    file = tmp_path / "list.txt"
    file.write_text("a.mp4 walk\nb.mp4 jump\nc.mp4 360\nd.mp4 -1\n")
    assert read_list(file).names == ["360", "jump", "walk"]
    file.write_text("a.mp4 699\nb.mp4 -1\n")
    assert len(read_list(file).names) == 700
    (tmp_path / "t.csv").write_text("path,label\na.mp4,3;1\nb.mp4,1\nc.mp4,0|l\n")
    with pytest.raises(DataError, match="t.csv, line 4: label 'l' is not a class number"):
        read_table(tmp_path / "t.csv", multi_label=True)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a.mp4 run\nb.mp4\n", "list.txt, line 2: expected `path label`, found 'b.mp4'"),
        ("a.mp4 run\nb.mp4 jmp\n", "list.txt, line 2: unknown label 'jmp'; did you mean 'jump'"),
        ("a.mp4 7\n", "list.txt, line 1: unknown label '7'"),
        ("\n# nothing\n", "list.txt: the list is empty"),
    ],
)
def test_a_bad_line_is_named(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "list.txt").write_text(text)
    with pytest.raises(DataError, match=message):
        read_list(tmp_path / "list.txt", names=["jump", "run"])


def test_folders_that_cannot_be_used(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="none: no such folder"):
        find_videos(tmp_path / "none")
    with pytest.raises(DataError, match="no videos in this folder .expected CLASS/video"):
        find_videos(tmp_path)
    touch(tmp_path, "loose.mp4")
    with pytest.raises(DataError, match=r"loose.mp4: is in no class folder; move it to"):
        read_class_folders(tmp_path)
    with pytest.raises(FileNotFoundError, match="no such list"):
        read_list(tmp_path / "none.txt")


def test_linked_folders_are_followed_once(tmp_path: Path) -> None:
    touch(tmp_path / "elsewhere", "a.mp4")
    touch(tmp_path / "root", "run/b.mp4")
    (tmp_path / "root/jump").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "root/run/loop").symlink_to(tmp_path / "root")
    (tmp_path / "root/run/gone.mp4").symlink_to(tmp_path / "nowhere.mp4")
    found = find_videos(tmp_path / "root")
    assert [str(path.relative_to(tmp_path)) for path in found] == [
        "root/jump/a.mp4",
        "root/run/b.mp4",
    ]


def test_hold_out_keeps_every_fifth_of_each_class_in_its_order() -> None:
    labels = np.random.default_rng(0).integers(-1, 4, 200)
    index = VideoIndex.build([f"{n}.mp4" for n in range(200)], labels, list("abcd"))
    classes = [np.flatnonzero(labels == number) for number in range(4)]
    expected = sorted(row for rows in classes for row in rows[4::5])
    train, val, test = hold_out(index)
    assert [int(path.stem) for path in val.paths] == expected
    assert (len(train) + len(val), len(test)) == (200, 0)
    train, val, test = hold_out(index, test=True)
    assert [int(path.stem) for path in test.paths] == expected
    others = [np.delete(rows, np.s_[4::5])[4::5] for rows in classes]
    assert [int(path.stem) for path in val.paths] == sorted(np.concatenate(others))
    assert len(train) + len(val) + len(test) == 200


def test_each_folder_is_read_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    names = [f"{folder:03d}/{video}.mp4" for video in range(3) for folder in range(300)]
    touch(tmp_path, *names[:-1])
    read: Counter[str] = Counter()
    listdir = os.listdir

    def counted(folder: str) -> list[str]:
        read[folder] += 1
        return listdir(folder)

    monkeypatch.setattr(listed_files.os, "listdir", counted)
    index, missing = leave_out_missing(
        VideoIndex.build([*names, "gone/a.mp4", "000/"], [0] * 902, ["a"], root=tmp_path)
    )
    assert missing == [str(tmp_path / "299/2.mp4"), str(tmp_path / "gone/a.mp4")]
    assert len(index) == 900
    assert len(read) == 302
    assert set(read.values()) == {1}


def test_of_two_files_with_one_name_the_first_in_the_alphabet_counts(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    touch(tmp_path, "small/v.mp4", "large/v.avi", "middle/v.avi", "large/w.avi")
    assert videos_by_name(tmp_path) == {"v": "large/v.avi", "w": "large/w.avi"}
    said = capsys.readouterr().err
    assert "1 names have several files; the first counts, such as large/v.avi" in said
