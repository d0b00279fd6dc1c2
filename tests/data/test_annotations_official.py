"""Official files of the data sets over folders laid out as the usual downloads are."""

import json
from pathlib import Path

import pytest

from tests.data.test_annotations import touch
from video_gc.data.annotations.kinetics import kinetics_videos, read_kinetics
from video_gc.data.annotations.official import OFFICIAL, OfficialFiles
from video_gc.data.index import DataError, VideoIndex

HEADER = "label,youtube_id,time_start,time_end,split\n"
IDS = ("0123456789a", "-_-456789-b", "A_000010_0c")


def rows(index: VideoIndex | None) -> list[tuple[str, list[str]]]:
    assert index is not None
    paths = [str(path.relative_to(index.root)) for path in index.paths]
    return [(path, index.label_names(row)) for row, path in enumerate(paths)]


def kinetics(root: Path) -> Path:
    notes = root / "annotations"
    notes.mkdir(parents=True)
    lines = [
        f"{'abseiling' if n else 'zumba'},{name},{10 * n},{10 * n + 10},train\n"
        for n, name in enumerate(IDS)
    ]
    (notes / "train.csv").write_text(HEADER + "".join(lines) + "zumba,xxxxxxxxxxx,7,17,train\n")
    (notes / "validate.csv").write_text(HEADER + f'"abseiling",{IDS[0]},90,100,validate\n')
    return notes


@pytest.mark.parametrize(
    "layout",
    [
        "{split}/{label}/{id}_{start:06d}_{end:06d}.mp4",
        "{split}/{id}_{start:06d}_{end:06d}.mp4",
        "{split}_256/{label}/{id}_{start:06d}_{end:06d}.mkv",
        "videos_{split}/{label}/{id}.mp4",
    ],
)
def test_kinetics_layouts(tmp_path: Path, layout: str) -> None:
    notes = kinetics(tmp_path)
    listed = [("train", "zumba", IDS[0], 0), ("train", "abseiling", IDS[1], 10),
              ("train", "abseiling", IDS[2], 20), ("val", "abseiling", IDS[0], 90)]  # fmt: skip
    files = [
        layout.format(split=split, label=label, id=name, start=start, end=start + 10)
        for split, label, name, start in listed
    ]
    touch(tmp_path, *files, "train/notes.txt", "train/clip.mp4")
    parts = OFFICIAL["kinetics"](OfficialFiles(tmp_path, notes))
    assert parts.train.names == ["abseiling", "zumba"]
    assert rows(parts.train) == [
        (file, [label]) for file, (_, label, _, _) in zip(files[:3], listed[:3], strict=True)
    ]
    assert rows(parts.val) == [(files[3], ["abseiling"])]
    assert parts.test is None
    assert parts.missing == {"train": ["xxxxxxxxxxx_000007_000017"], "val": []}
    assert [parts.train.group(row) for row in range(3)] == list(IDS)


def test_repaired_clips_of_kinetics_come_first(tmp_path: Path) -> None:
    notes = kinetics(tmp_path)
    name = f"{IDS[0]}_000000_000010.mp4"
    touch(tmp_path, f"train/{name}", f"replacement_for_corrupted_k400/{name}", f"val/{name}")
    videos = kinetics_videos(tmp_path)
    index, missing = read_kinetics(notes / "train.csv", videos, tmp_path)
    assert rows(index) == [(f"replacement_for_corrupted_k400/{name}", ["zumba"])]
    assert len(missing) == 3
    assert index.names == ["abseiling", "zumba"]  # also of clips that are missing


def test_a_test_split_of_kinetics_has_no_labels(tmp_path: Path) -> None:
    touch(tmp_path, f"test/{IDS[0]}_000000_000010.mp4")
    file = tmp_path / "test.csv"
    file.write_text(f"youtube_id,time_start,time_end,split\n{IDS[0]},0,10,test\n")
    index, _ = read_kinetics(file, kinetics_videos(tmp_path), tmp_path, ["abseiling"])
    assert index.labels.tolist() == [-1]


def test_wrong_files_of_kinetics_are_explained(tmp_path: Path) -> None:
    notes = kinetics(tmp_path)
    touch(tmp_path, f"{IDS[1]}_000010_000020.mp4")
    videos = kinetics_videos(tmp_path)
    with pytest.raises(
        DataError, match="train.csv, line 3: unknown label 'abseiling'; did you mean 'abseil'"
    ):
        read_kinetics(notes / "train.csv", videos, tmp_path, ["zumba", "abseil"])
    file = tmp_path / "own.csv"
    file.write_text("label,id,time_start,time_end\n")
    with pytest.raises(
        DataError, match="no column 'youtube_id'; its columns are label, id, time_start"
    ):
        read_kinetics(file, videos, tmp_path)
    file.write_text(HEADER + "zumba,xxxxxxxxxxx,7,17,train\n")
    with pytest.raises(
        DataError, match="own.csv: none of its 1 clips is below .*xxxxxxxxxxx_000007_000017.mp4"
    ):
        read_kinetics(file, videos, tmp_path)
    file.write_text(HEADER + f"zumba,{IDS[0]},soon,17,train\n")
    with pytest.raises(DataError, match="own.csv, line 2: 'soon' is not a time in seconds"):
        read_kinetics(file, videos, tmp_path)
    with pytest.raises(DataError, match="no train.csv in this folder"):
        OFFICIAL["kinetics"](OfficialFiles(tmp_path, tmp_path))


def ucf101(root: Path) -> Path:
    (root / "classInd.txt").write_text("1 Archery\n2 YoYo\n")
    (root / "trainlist02.txt").write_text(
        "Archery/v_Archery_g08_c01.avi 1\r\nYoYo/v_YoYo_g09_c05.avi 2\n"
    )
    (root / "testlist02.txt").write_text("YoYo/v_YoYo_g01_c02.avi\nYoYo/v_YoYo_g01_c03.avi\n")
    return touch(root, "UCF-101/Archery/v_Archery_g08_c01.avi", "UCF-101/YoYo/v_YoYo_g09_c05.avi",
                 "UCF-101/YoYo/v_YoYo_g01_c02.avi")  # fmt: skip


def test_ucf101(tmp_path: Path) -> None:
    ucf101(tmp_path)
    parts = OFFICIAL["ucf101"](OfficialFiles(tmp_path, tmp_path, split=2))
    assert rows(parts.train) == [
        ("UCF-101/Archery/v_Archery_g08_c01.avi", ["Archery"]),
        ("UCF-101/YoYo/v_YoYo_g09_c05.avi", ["YoYo"]),
    ]
    assert rows(parts.val) == [("UCF-101/YoYo/v_YoYo_g01_c02.avi", ["YoYo"])]
    assert parts.missing == {"train": [], "val": ["v_YoYo_g01_c03"]}
    assert parts.train.group(0) == "v_Archery_g08"
    with pytest.raises(
        FileNotFoundError, match="trainlist01.txt: no such file of an official split"
    ):
        OFFICIAL["ucf101"](OfficialFiles(tmp_path, tmp_path))
    (tmp_path / "testlist02.txt").write_text("YoYo/v_YoYo_g01_c02.avi\nYoyo/v_YoYo_g01_c03.avi\n")
    with pytest.raises(
        DataError, match="testlist02.txt, line 2: unknown class 'Yoyo'; did you mean 'YoYo'"
    ):
        OFFICIAL["ucf101"](OfficialFiles(tmp_path, tmp_path, split=2))


def test_hmdb51(tmp_path: Path) -> None:
    film = "April_09_brush_hair_u_nm_np1_ba_goo_0.avi"
    (tmp_path / "brush_hair_test_split1.txt").write_text(f"{film} 1 \nb_brush_hair_x_1.avi 0 \n")
    (tmp_path / "wave_test_split1.txt").write_text("c_wave_x_2.avi 2 \nd_wave_x_2.avi 2\n")
    touch(tmp_path, f"brush_hair/{film}", "brush_hair/b_brush_hair_x_1.avi", "wave/c_wave_x_2.avi")
    parts = OFFICIAL["hmdb51"](OfficialFiles(tmp_path, tmp_path))
    assert rows(parts.train) == [(f"brush_hair/{film}", ["brush_hair"])]
    assert rows(parts.val) == [("wave/c_wave_x_2.avi", ["wave"])]
    assert parts.train.group(0) == "April_09"
    assert parts.missing == {"train": [], "val": ["d_wave_x_2"]}
    (tmp_path / "wave_test_split1.txt").write_text("c_wave_x_2.avi 3\n")
    with pytest.raises(DataError, match=r"wave_test_split1.txt, line 1: expected `file 0\|1\|2`"):
        OFFICIAL["hmdb51"](OfficialFiles(tmp_path, tmp_path))
    with pytest.raises(FileNotFoundError, match="no files CLASS_test_split3.txt"):
        OFFICIAL["hmdb51"](OfficialFiles(tmp_path, tmp_path, split=3))


@pytest.mark.parametrize("prefix", ["", "something-something-v2-"])
def test_something_something(tmp_path: Path, prefix: str) -> None:
    labels = {"Pushing something": "1", "Holding something": "0"}
    (tmp_path / f"{prefix}labels.json").write_text(json.dumps(labels))
    train = [{"id": "7", "label": "pushing a box", "template": "Pushing [something]"},
             {"id": "8", "template": "Holding [something]"}]  # fmt: skip
    (tmp_path / f"{prefix}train.json").write_text(json.dumps(train))
    (tmp_path / f"{prefix}validation.json").write_text(json.dumps([{"id": "9"}]))
    touch(tmp_path, "videos/7.webm", "videos/9.webm", "videos/8.mp4")
    parts = OFFICIAL["something_something"](OfficialFiles(tmp_path, tmp_path))
    assert parts.train.names == ["Holding something", "Pushing something"]
    assert rows(parts.train) == [
        ("videos/7.webm", ["Pushing something"]), ("videos/8.mp4", ["Holding something"]),
    ]  # fmt: skip
    assert parts.val is not None
    assert parts.val.labels.tolist() == [-1]
    train[1]["template"] = "Holdin [something]"
    (tmp_path / f"{prefix}train.json").write_text(json.dumps(train))
    with pytest.raises(
        DataError,
        match="train.json, entry 2: unknown class 'Holdin something'; did you mean 'Holding",
    ):
        OFFICIAL["something_something"](OfficialFiles(tmp_path, tmp_path))
    (tmp_path / f"{prefix}train.json").write_text("{")
    with pytest.raises(DataError, match="train.json: not JSON"):
        OFFICIAL["something_something"](OfficialFiles(tmp_path, tmp_path))


CHARADES = "id,subject,script,actions,length\n"


def charades(root: Path) -> Path:
    (root / "Charades_v1_classes.txt").write_text(
        "c000 Holding clothes\nc001 Sitting\nc002 Eating\n"
    )
    (root / "Charades_v1_train.csv").write_text(
        CHARADES
        + '46GP8,HR43,"A person, cooking.",c002 11.90 21.20;c000 0.00 12.60;c002 1 2,24.8\n'
        'N11GT,0KZ7,"He said\n""no"".",,18.3\n'
    )
    (root / "Charades_v1_test.csv").write_text(
        CHARADES + "YSKX3,A,b,c001 1 2,3\nGONE1,A,b,c001 1 2,3\n"
    )
    return touch(
        root, "Charades_v1_480/46GP8.mp4", "Charades_v1_480/N11GT.mp4", "Charades_v1_480/YSKX3.mp4"
    )


def test_charades(tmp_path: Path) -> None:
    charades(tmp_path)
    parts = OFFICIAL["charades"](OfficialFiles(tmp_path, tmp_path))
    assert parts.train.multi_label
    assert rows(parts.train) == [
        ("Charades_v1_480/46GP8.mp4", ["Holding clothes", "Eating"]), ("Charades_v1_480/N11GT.mp4", []),
    ]  # fmt: skip
    assert parts.train.target(0).tolist() == [1, 0, 1]  # type: ignore[union-attr]
    assert rows(parts.val) == [("Charades_v1_480/YSKX3.mp4", ["Sitting"])]
    assert parts.missing == {"train": [], "val": ["GONE1"]}
    (tmp_path / "Charades_v1_test.csv").write_text(
        CHARADES + 'a,b,"c\nd",c001 1 2,3\nb,c,d,c009 1 2,3\n'
    )
    with pytest.raises(
        DataError, match="Charades_v1_test.csv, line 4: unknown class 'c009'; did you mean 'c00"
    ):
        OFFICIAL["charades"](OfficialFiles(tmp_path, tmp_path))


@pytest.mark.parametrize("kind", ["ucf101", "charades"])
def test_another_folder_of_videos_is_noticed(tmp_path: Path, kind: str) -> None:
    {"ucf101": ucf101, "charades": charades}[kind](tmp_path)
    other = touch(tmp_path / "other", "z/0.mp4")
    with pytest.raises(DataError, match=r"none of its 2 videos is in .*data.root.*the folder '0'"):
        OFFICIAL[kind](OfficialFiles(other, tmp_path, split=2))
    with pytest.raises(DataError, match="no videos below this folder"):
        OFFICIAL[kind](OfficialFiles(touch(tmp_path / "empty", "a.txt"), tmp_path, split=2))
