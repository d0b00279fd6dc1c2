"""tools/prepare.py as a beginner meets it: exit status, one clear line, lists beside the manifest."""

import shutil
from functools import partial
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from tests.conftest import counted_frames
from video_gc.data.config import DataConfig
from video_gc.data.manifest import NAME, Listed, write_manifest
from video_gc.data.prepare.check import CheckResult
from video_gc.data.prepare.summary import advice
from video_gc.data.splits import open_splits
from video_gc.decode.video_facts import STATUSES, VideoFacts
from video_gc.decode.write import write_video
from video_gc.train.inputs import fingerprints


@pytest.fixture
def prepare(tool):  # type: ignore[no-untyped-def]
    """tools/prepare.py; see `tool`."""
    return partial(tool, "prepare")


@pytest.fixture
def splits(tmp_path: Path) -> Path:
    """A folder with train and val, sound and without leaks."""
    root = tmp_path / "set"
    for number, name in enumerate(("train/run/a", "train/jump/b", "val/run/c")):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        write_video(root / f"{name}.mp4", counted_frames(9, seed=number))
    return root


@pytest.mark.parametrize("job", ["motions", "check", "resize", "fingerprint"])
def test_help_of_each_job_has_an_example(prepare, job: str) -> None:  # type: ignore[no-untyped-def]
    status, out, _ = prepare(job, "--help")
    assert status == 0
    assert f"example: video-gc prepare {job}" in out
    assert job in prepare("--help")[1]


@pytest.mark.parametrize(
    ("arguments", "status", "message"),
    [
        ([], 2, "required: JOB; see video-gc prepare --help"),
        (["chekc"], 2, "invalid choice: 'chekc'"),
        (["check"], 2, "give a folder or a list, or --data and --root"),
        (["check", "nowhere"], 2, "nowhere: no such folder"),
        (["check", "{empty}"], 1, "no videos in this folder"),
        (["check", "{splits}", "--workers", "0"], 2, "workers (0) must be at least 1"),
        (["check", "{splits}", "--workers", "x"], 2, "argument --workers: invalid int value: 'x'"),
        (["check", "{splits}", "--time-limit", "0"], 2, "time_limit (0.0) must be above 0"),
        (["check", "--data", "kinetix", "--root", "."], 2, "--data ('kinetix') must be one of"),
        (["check", "--data", "kinetics"], 2, "--data kinetics needs --root DIR"),
        (["resize", "{splits}"], 2, "required: DEST; see video-gc prepare resize --help"),
        (["resize", "nowhere", "{empty}"], 2, "nowhere: no such folder"),
        (["resize", "{splits}", "{splits}"], 2, "must not lie in"),
        (["resize", "{splits}", "{empty}", "--crf", "99"], 2, "crf (99) must be in 0…51"),
        (["fingerprint", "{splits}", "--manifest", "no.parquet"], 2, "no such manifest"),
    ],
)
def test_errors_are_one_line(  # type: ignore[no-untyped-def]
    prepare, splits: Path, tmp_path: Path, arguments, status, message
) -> None:
    (tmp_path / "empty").mkdir()
    places = {"empty": tmp_path / "empty", "splits": splits}
    found, _, err = prepare(*(argument.format(**places) for argument in arguments))
    assert message in err
    assert err.count("error:") == 1
    assert "usage:" not in err
    assert found == status


@pytest.mark.slow
def test_check_of_a_sound_folder(prepare, splits: Path) -> None:  # type: ignore[no-untyped-def]
    status, _, err = prepare("check", splits, "--workers", 1)
    assert status == 0
    assert "train: 2 videos, 2 classes" in err
    assert "Every video can be read, and no split leaks into another." in err
    table = pq.read_table(splits / ".video_gc/manifest.parquet")
    assert table["split"].to_pylist() == ["train", "train", "val"]
    assert table["label"].to_pylist() == ["jump", "run", "run"]
    assert not list(splits.glob("*.csv"))
    assert "0 decoded now" in prepare("check", splits)[2]


def test_check_adds_one_hidden_folder_and_no_scan_speaks_of_it(prepare, splits: Path) -> None:  # type: ignore[no-untyped-def]
    before = {path.name for path in splits.iterdir()}
    assert prepare("check", splits, "--workers", 1)[0] == 0
    assert {path.name for path in splits.iterdir()} - before == {".video_gc"}
    assert "passed over" not in prepare("fingerprint", splits)[2]


@pytest.mark.parametrize(("side", "advised"), [(256, False), (360, True)])
def test_copies_are_advised_only_where_they_are_smaller(
    tmp_path: Path, side: int, advised: bool
) -> None:
    facts = VideoFacts(keyframe_mean=250.0, width=2 * side, height=side)
    manifest = write_manifest([(Listed(tmp_path / "a.mp4"), facts)], tmp_path, tmp_path / NAME)
    lines = advice(CheckResult(manifest, 1, 0, dict.fromkeys(STATUSES, 0) | {"ok": 1}, [], [], []))
    assert any("video-gc prepare resize" in line for line in lines) == advised


def test_check_lists_what_is_wrong(prepare, splits: Path, damaged, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    out = tmp_path / "out" / "m.parquet"
    status, _, err = prepare("check", damaged["text"].parent, "--out", out, "--workers", 1)
    assert status == 1
    assert "Damaged videos: 4" in err
    assert len((tmp_path / "out" / "m-damaged.csv").read_text().splitlines()) == 5

    shutil.copy(splits / "train" / "run" / "a.mp4", splits / "val" / "run" / "z.mp4")
    status, _, err = prepare("check", splits, "--workers", 1)
    assert status == 1
    assert "Leaks between splits: 1" in err
    assert "Duplicated videos: 1" in err
    listed = (splits / ".video_gc/manifest-leaks.csv").read_text().splitlines()
    assert listed[1:] == ["train/run/a.mp4,val/run/z.mp4,train/val,same content"]
    (splits / "val" / "run" / "z.mp4").unlink()
    assert prepare("check", splits, "--workers", 1)[0] == 0
    assert not (splits / ".video_gc/manifest-leaks.csv").exists()


def test_check_of_official_lists_names_what_is_missing(  # type: ignore[no-untyped-def]
    prepare, splits: Path
) -> None:
    clip = "AbC-_678901_000010_000020"
    videos = splits / "train" / "run"
    (videos / "a.mp4").rename(videos / f"{clip}.mp4")
    rows = ["label,youtube_id,time_start,time_end,split", "run,AbC-_678901,10,20,train"]
    (splits / "train.csv").write_text("\n".join([*rows, "run,Gone_678901,5,15,train", ""]))
    status, _, err = prepare("check", "--data", "kinetics", "--root", splits, "--workers", 1)
    assert status == 1
    assert "Missing videos: 1" in err
    assert "Gone_678901_000005_000015" in (splits / ".video_gc/manifest-missing.csv").read_text()
    again = prepare("check", "--data", "kinetics", "--root", splits, "--workers", 1)
    assert "Missing videos: 1" in again[2]
    out = prepare("fingerprint", "--data", "kinetics", "--root", splits)[1]
    assert out.startswith("train\tcontents:")
    assert out.endswith("\t1 video\n")


def test_a_missing_clip_leaks_nowhere(prepare, splits: Path) -> None:  # type: ignore[no-untyped-def]
    """It has a sibling of the same source: the group of UCF101."""
    videos = splits / "train" / "run"
    (videos / "a.mp4").rename(videos / "v_Run_g08_c01.mp4")
    (splits / "val" / "run" / "c.mp4").rename(videos / "v_Run_g09_c01.mp4")
    (splits / "classInd.txt").write_text("1 Run\n")
    (splits / "trainlist01.txt").write_text("Run/v_Run_g08_c01.avi 1\nRun/v_Run_g08_c02.avi 1\n")
    (splits / "testlist01.txt").write_text("Run/v_Run_g09_c01.avi\n")
    status, _, err = prepare("check", "--data", "ucf101", "--root", splits, "--workers", 1)
    assert status == 1
    assert "Missing videos: 1" in err
    assert "Leaks" not in err
    assert "train: 1 video, 1 class, 1 group val: 1 video, 1 class, 1 group" in err
    assert "all:" not in err
    table = pq.read_table(
        splits / ".video_gc/manifest.parquet", columns=["path", "split", "status"]
    )
    assert ("v_Run_g08_c02", "train", "missing") in [tuple(r.values()) for r in table.to_pylist()]
    options = ("--data", "ucf101", "--root", splits, "--split")
    assert "trainlist02.txt: no such file" in prepare("check", *options, 2)[2]
    assert "--split (4) must be 1, 2 or 3" in prepare("check", *options, 4)[2]


def test_lists_of_every_kind_and_their_fingerprint(  # type: ignore[no-untyped-def]
    prepare, splits: Path, tmp_path: Path
) -> None:
    """The line that `fingerprint` prints is what a checkpoint of the same config holds."""
    (splits / "names.txt").write_text("jump\nrun\n")
    (splits / "train.csv").write_text("clip,action\ntrain/run/a.mp4,1\ntrain/jump/b.mp4,0\n")
    (splits / "pys.csv").write_text("train/run/a.mp4 1\ntrain/jump/b.mp4 0\n")
    columns = ("--path-column", "clip", "--label-column", "action")
    names = ("--names", splits / "names.txt")
    status, _, err = prepare("check", splits / "train.csv", *columns, *names, "--workers", 1)
    assert status == 0, err
    assert (splits / ".video_gc/manifest.parquet").is_file()
    config = DataConfig(
        kind="table", train=str(splits / "train.csv"), val=str(splits / "train.csv"),
        names=str(splits / "names.txt"), path_column="clip", label_column="action",
    )  # fmt: skip
    expected = fingerprints(open_splits(config), config)["train"]
    assert expected.startswith("contents:")
    out = prepare("fingerprint", splits / "train.csv", *columns, *names)[1]
    assert out == f"train\t{expected}\t2 videos\n"
    out = prepare("fingerprint", splits / "pys.csv", "--kind", "pyslowfast", *names)[1]
    assert out == f"pys\t{expected}\t2 videos\n"
    without = prepare("fingerprint", splits / "pys.csv", "--kind", "pyslowfast")[1]
    assert expected not in without
    status, _, err = prepare("check", splits / "train.csv")
    assert status == 1
    assert "its columns are clip, action; name the right one with --path-column NAME" in err
    assert "--kind ('csv') must be one of list," in prepare("check", splits, "--kind", "csv")[2]


@pytest.mark.slow
def test_resize_prints_sizes_and_speed(prepare, splits: Path, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    call = ("resize", splits, tmp_path / "small", "--short-side", 32, "--workers", 1)
    status, _, err = prepare(*call)
    assert status == 0
    assert "3 videos written" in err
    assert "before after" in err
    assert "ms for a random 8×8 clip" in err
    assert "0 videos written" in prepare(*call)[2]
    (splits / "val" / "run" / "bad.mp4").write_text("no video")
    assert prepare(*call)[0] == 1


def test_fingerprint_says_which_kind_it_is(prepare, splits: Path, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    status, out, _ = prepare("fingerprint", splits)
    assert status == 0
    assert [line.split("\t")[0] for line in out.splitlines()] == ["train", "val"]
    assert "contents:" not in out
    prepare("check", splits, "--workers", 1)
    known = prepare("fingerprint", splits)[1]
    assert known.count("contents:") == 2
    moved = shutil.copytree(splits, tmp_path / "elsewhere")
    assert prepare("fingerprint", moved)[1] == known
