"""What a check finds in files, how it goes on after an interruption, and what its manifest does."""

import csv
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.conftest import counted_frames, slow
from tests.data.prepare.crashing import dies_on_b
from tests.data.test_index import refused
from video_gc.data.index import DataError, VideoIndex
from video_gc.data.manifest import (
    NAME,
    Listed,
    absolute_paths,
    apply_manifest,
    choose_manifest,
    read_manifest,
    unusable,
    write_manifest,
)
from video_gc.data.prepare import check as check_module
from video_gc.data.prepare.check import CheckResult, check_videos
from video_gc.data.prepare.listing import list_sources
from video_gc.decode.video_facts import VideoFacts, examine
from video_gc.decode.write import write_video


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Three sound videos of one class."""
    folder = tmp_path / "set"
    for number, name in enumerate("abc"):
        (folder / "run").mkdir(parents=True, exist_ok=True)
        write_video(folder / "run" / f"{name}.mp4", counted_frames(9, seed=number))
    return folder


def check(root: Path, **options: object) -> CheckResult:
    listed, folder, *_ = list_sources([root])
    return check_videos(listed, folder, root / NAME, **options)  # type: ignore[arg-type]


def index_of(root: Path, *names: str) -> VideoIndex:
    return VideoIndex.build([root / "run" / name for name in names], [0] * len(names), ["run"])


def test_facts_of_a_sound_file(tmp_path: Path) -> None:
    file = write_video(tmp_path / "a.mp4", counted_frames(40), fps=20, keyframe_interval=12)
    facts = examine(file)
    assert facts.status == "ok"
    assert (facts.frames, facts.height, facts.width, facts.codec) == (40, 48, 64, "h264")
    assert facts.rate == pytest.approx(20)
    assert facts.duration == pytest.approx(2.0)
    assert (facts.keyframe_mean, facts.keyframe_max) == (10, 12)  # at 0, 12, 24, 36 of 40
    assert facts.bytes == file.stat().st_size
    assert examine(file).frames == 40


def test_hashes_tell_copies_from_others(tmp_path: Path) -> None:
    import av

    one = write_video(tmp_path / "one.mp4", counted_frames(12))
    other = write_video(tmp_path / "other.mp4", counted_frames(12, seed=1))
    copy = Path(shutil.copy(one, tmp_path / "copy.mp4"))
    with av.open(one) as source, av.open(tmp_path / "remuxed.mkv", "w") as target:
        stream = target.add_stream_from_template(source.streams.video[0])
        for packet in source.demux(video=0):
            if packet.size:
                packet.stream = stream
                target.mux(packet)
    facts = {file.stem: examine(file) for file in (one, other, copy, tmp_path / "remuxed.mkv")}
    assert facts["one"].content == facts["copy"].content
    assert facts["one"].content != facts["remuxed"].content
    assert facts["one"].pictures == facts["remuxed"].pictures != facts["other"].pictures


def test_damage_is_found_and_counted(tmp_path: Path, damaged: dict[str, Path]) -> None:
    frames = np.random.default_rng(0).integers(0, 255, (40, 48, 64, 3), np.uint8)
    content = bytearray(write_video(tmp_path / "whole.mp4", frames).read_bytes())
    middle = len(content) // 2
    content[middle : middle + 20_000] = bytes(20_000)  # several pictures
    (tmp_path / "hole.mp4").write_bytes(content)
    found = examine(tmp_path / "hole.mp4")
    assert found.status == "damaged"
    assert "of 40 frames, the first is" in found.cause
    causes = {name: examine(path) for name, path in damaged.items()}
    assert causes["audio-only"].status == "no-video"
    assert {causes[name].status for name in ("zero-byte", "truncated", "text")} == {"damaged"}
    assert examine(tmp_path / "nowhere.mp4").status == "missing"


def test_the_manifest_moves_with_its_folder(root: Path, tmp_path: Path) -> None:
    (root / "run" / "b.mp4").write_bytes(b"no video")
    result = check(root)
    assert not result.sound
    assert result.statuses == {"ok": 2, "damaged": 1, "missing": 0, "no-video": 0, "short": 0}
    moved = root.rename(tmp_path / "elsewhere")
    rows = pq.read_table(moved / NAME).to_pylist()
    assert [(row["path"], row["label"], row["status"]) for row in rows] == [
        ("run/a.mp4", "run", "ok"),
        ("run/b.mp4", "run", "damaged"),
        ("run/c.mp4", "run", "ok"),
    ]
    index, left_out = apply_manifest(index_of(moved, "a.mp4", "b.mp4", "new.mp4"), moved / NAME)
    assert [path.name for path in index.paths] == ["a.mp4", "new.mp4"]  # an unknown one stays
    [(path, why)] = left_out
    assert path == moved / "run" / "b.mp4"
    assert why.startswith("damaged: cannot be read as a video")
    with pytest.raises(DataError, match="none of 1 videos is ok; damaged: cannot be read"):
        apply_manifest(index_of(moved, "b.mp4"), moved / NAME)


def test_relative_paths_and_roots_of_an_index(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (root / "run" / "b.mp4").write_bytes(b"no video")
    check(root)
    monkeypatch.chdir(root.parent)
    for paths, base in ((["run/b.mp4", "run/c.mp4"], "set"), (["./run/../run/b.mp4"] * 2, "set")):
        index = VideoIndex.build([*paths, "run/a.mp4"], [0] * 3, ["run"], root=base)
        assert len(apply_manifest(index, Path("set") / NAME)[1]) == paths.count(paths[0])


def test_files_that_changed_since_are_said_once(
    root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    check(root)
    index = index_of(root, "a.mp4", "b.mp4")
    capsys.readouterr()
    apply_manifest(index, root / NAME)
    assert capsys.readouterr().err == ""
    write_video(root / "run" / "b.mp4", counted_frames(20))
    apply_manifest(index, root / NAME)
    said = capsys.readouterr().err
    assert "1 of 3 checked files have changed since it was written (such as run/b.mp4)" in said
    assert said.count("\n") == 1


def test_a_second_run_looks_at_changed_files_only(root: Path) -> None:
    assert check(root).decoded == 3
    assert check(root).decoded == 0
    write_video(root / "run" / "b.mp4", counted_frames(1))
    (root / "run" / "c.mp4").unlink()
    write_video(root / "run" / "d.mp4", counted_frames(9, seed=9))
    again = check(root)
    assert again.decoded == 2
    assert [row["status"] for row in again.manifest.rows()] == ["ok", "short", "ok"]
    assert check(root, min_frames=1).statuses["short"] == 0


def test_an_interruption_loses_nothing_that_was_finished(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(work, jobs, **_options) -> Iterator:  # type: ignore[no-untyped-def,type-arg]
        for job in jobs[:2]:
            yield job, work(job)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(check_module, "call_each", interrupted)
        with pytest.raises(KeyboardInterrupt):
            check(root)
    assert not (root / NAME).exists()
    [journal] = root.glob(".video_gc/.*.journal.jsonl")
    journal.write_text(journal.read_text() + '{"path": "run/c.mp4", "sta')  # torn
    result = check(root)
    assert result.decoded == 1
    assert result.sound
    assert not journal.exists()
    assert check(root).decoded == 0


def test_a_decoder_that_crashes_is_a_damaged_file(root: Path) -> None:
    result = check(root, workers=2, work=dies_on_b)
    assert result.statuses["ok"] == 2
    rows = list(csv.DictReader((root / ".video_gc/manifest-damaged.csv").read_text().splitlines()))
    assert rows == [
        {"path": "run/b.mp4", "status": "damaged", "cause": "decoder crashed (SIGSEGV)"}
    ]


def test_lists_name_missing_files(root: Path, tmp_path: Path) -> None:
    (tmp_path / "train.txt").write_text("set/run/a.mp4 run\nset/run/gone.mp4 run\n")
    listed, base, *_ = list_sources([tmp_path / "train.txt"])
    result = check_videos(listed, base, tmp_path / "out" / "m.parquet")
    assert result.statuses["missing"] == 1
    assert (tmp_path / "out" / "m-missing.csv").read_text().split() == ["path", "set/run/gone.mp4"]
    assert {row["split"] for row in result.manifest.rows()} == {"train"}
    assert os.path.samefile(read_manifest(tmp_path / "out" / "m.parquet").root, tmp_path)


def test_which_manifest_is_used(root: Path) -> None:
    assert choose_manifest(None, None) is choose_manifest(None, str(root)) is None
    (root / NAME).parent.mkdir()
    (root / NAME).touch()
    assert choose_manifest(None, str(root)) == root / NAME
    assert choose_manifest("other.parquet", str(root)) == Path("other.parquet")
    lists = [root.parent / "train.txt", root / "val.txt"]
    assert choose_manifest(None, None, lists) == root / NAME
    assert choose_manifest(None, str(root.parent), lists) is None


@given(
    st.lists(st.text("ab./", min_size=1), max_size=5),
    st.sampled_from(["", "/", "r", "/r/s/", "../r", "//x"]),
)
def test_absolute_paths_of_a_column(paths: list[str], root: str) -> None:
    found = absolute_paths(pa.chunked_array([paths], pa.large_string()), root).to_pylist()
    expected = [os.path.abspath(os.path.join(os.path.abspath(root), path)) for path in paths]
    assert [path.lstrip("/") for path in found] == [path.lstrip("/") for path in expected]


def test_a_foreign_file_is_no_manifest(root: Path) -> None:
    (root / NAME).parent.mkdir()
    (root / NAME).write_text("hello")
    with pytest.raises(DataError, match="not a manifest of video-gc prepare check"):
        read_manifest(root / NAME)
    with pytest.raises(FileNotFoundError, match="no such manifest"):
        read_manifest(root / "other.parquet")


@pytest.mark.parametrize("tries", [100, slow(5000, id="fuzz")])
def test_a_damaged_manifest_is_an_error_and_never_the_end_of_the_process(
    tmp_path: Path, tries: int
) -> None:
    rows = [
        (Listed(tmp_path / f"{n}.mp4", "run"), VideoFacts(status="ok" if n % 3 else "damaged"))
        for n in range(50)
    ]
    write_manifest(rows, tmp_path, tmp_path / NAME)
    assert len(unusable(tmp_path / NAME)) == 17
    assert 3 / 4 * tries < refused(tmp_path / NAME, tries) <= tries


@pytest.mark.parametrize(
    "harm", ["footer", "middle", "cut", "text", "empty", "utf8", "null", "type"]
)
def test_a_damaged_manifest_is_made_afresh(
    tmp_path: Path, harm: str, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / NAME
    write_manifest(
        [(Listed(tmp_path / f"{n}.mp4"), VideoFacts()) for n in range(3)], tmp_path, file
    )
    content = bytearray(file.read_bytes())
    if harm == "footer":  # what Thrift cannot read is another error than what Arrow cannot
        content[-600:-8] = bytes(592)
    elif harm == "middle":
        content[4 : len(content) // 2] = b"x" * (len(content) // 2 - 4)
    elif harm == "cut":
        content = content[: len(content) // 2]
    elif harm == "text":
        content = bytearray(b"no Parquet")
    elif harm == "empty":
        content = bytearray()
    file.write_bytes(content)
    if harm in ("utf8", "null", "type"):
        table = pq.read_table(file)
        column = {
            "utf8": pa.array([b"\xff"] * 3).view(pa.string()),
            "null": pa.array([None] * 3, pa.string()),
            "type": pa.array([1, 2, 3]),
        }[harm]
        place = table.column_names.index("cause")
        pq.write_table(table.set_column(place, "cause", column), file)
    with pytest.raises(DataError, match="not a manifest of video-gc prepare check"):
        list(read_manifest(file).rows())
    with pytest.raises(DataError, match="run the check again: it starts afresh"):
        apply_manifest(index_of(tmp_path, "a.mp4"), file)
    if harm in ("text", "empty"):  # perhaps somebody else's, where no check noted it as its own
        with pytest.raises(DataError, match="is not a manifest; give --out another name"):
            check_module._read_earlier(file, noted=False)
    assert check_module._read_earlier(file, noted=True) is None
    assert "damaged; it is made anew, so every file is decoded" in capsys.readouterr().err
