"""A folder of videos made small: every file, once, complete or not at all."""

import csv
import os
from pathlib import Path

import pytest

from tests.conftest import counted_frames
from tests.data.prepare.crashing import dies_on_b_resizing
from video_gc.data.annotations import find_videos
from video_gc.data.prepare.resize import MADE, ResizeConfig, clip_time, resize_videos
from video_gc.decode.open import open_video
from video_gc.decode.probe import probe
from video_gc.decode.write import write_video

SMALL = ResizeConfig(short_side=32, keyframe_interval=8)


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """Videos in two classes, one of them damaged, two of one stem."""
    root = tmp_path / "source"
    for number, name in enumerate(("run/a.mp4", "run/a.mkv", "run/b.mp4", "jump/high/c.mp4")):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        write_video(root / name, counted_frames(20, seed=number))
    (root / "jump" / "d.mp4").write_bytes(b"no video")
    return root


def test_the_tree_its_frames_and_its_failures(source: Path, tmp_path: Path) -> None:
    target = tmp_path / "small"
    result = resize_videos(source, target, SMALL, workers=2)
    assert (result.done, result.kept, result.failed, result.renamed) == (4, 0, 1, 1)
    files = {path.relative_to(target).as_posix() for path in find_videos(target)}
    assert files == {"run/a.mp4", "run/a.mkv.mp4", "run/b.mp4", "jump/high/c.mp4"}
    for file in find_videos(target):
        facts = probe(file)
        assert (facts.frames, facts.height, facts.width) == (20, 32, 42)
        assert facts.keyframe_max <= 8
    [failure] = csv.DictReader((target / "resize-failed.csv").open())
    assert Path(failure["path"]) == source / "jump" / "d.mp4"
    assert "cannot be read as a video" in failure["cause"]
    sizes = sum(path.stat().st_size for path in find_videos(target))
    assert result.after.bytes == sizes
    assert result.before.clip_ms is not None
    assert result.after.clip_ms is not None


def test_a_second_run_does_what_is_left(source: Path, tmp_path: Path) -> None:
    target = tmp_path / "small"
    resize_videos(source, target, SMALL)
    before = {path: path.stat().st_mtime_ns for path in find_videos(target)}
    write_video(source / "jump" / "d.mp4", counted_frames(5))  # fetched again
    write_video(source / "run" / "b.mp4", counted_frames(6))
    again = resize_videos(source, target, SMALL)
    assert (again.done, again.kept, again.failed) == (2, 3, 0)
    assert not (target / "resize-failed.csv").exists()
    same = {path for path, time in before.items() if path.stat().st_mtime_ns == time}
    assert {path.name for path in set(before) - same} == {"b.mp4"}
    with open_video(target / "run" / "b.mp4") as reader:
        assert len(reader) == 6


def test_a_source_that_was_replaced_by_an_older_file_is_noticed(
    source: Path, tmp_path: Path
) -> None:
    target = tmp_path / "small"
    resize_videos(source, target, SMALL)
    old = write_video(tmp_path / "old.mp4", counted_frames(7))
    os.utime(old, (1, 1))
    old.replace(source / "run" / "b.mp4")
    (source / "jump" / "high" / "c.mp4").rename(source / "jump" / "high" / "c.mkv")  # same name now
    with (target / MADE).open("a") as stream:
        stream.write('["run/a.mp4", "run/a.m')  # the power went
    again = resize_videos(source, target, SMALL)
    assert (again.done, again.kept) == (2, 2)
    assert probe(target / "run" / "b.mp4").frames == 7
    assert resize_videos(source, target, SMALL).done == 0


def test_a_process_that_is_killed_leaves_no_half_file(source: Path, tmp_path: Path) -> None:
    target = tmp_path / "small"
    result = resize_videos(source, target, SMALL, work=dies_on_b_resizing)
    assert (result.done, result.failed) == (3, 2)
    assert "b.mp4" not in {path.name for path in find_videos(target)}
    assert resize_videos(source, target, SMALL).done == 1


def test_folders_and_settings_that_do_not_go_together(source: Path, tmp_path: Path) -> None:
    for target in (source, source / "small", tmp_path):
        with pytest.raises(ValueError, match="must not lie in"):
            resize_videos(source, target, SMALL)
    resize_videos(source, tmp_path / "small", SMALL)
    with pytest.raises(ValueError, match="was made with short_side 32, keyframe_interval 8, crf"):
        resize_videos(source, tmp_path / "small", ResizeConfig(short_side=48))
    with pytest.raises(ValueError, match=r"crf \(60\) must be in 0…51"):
        ResizeConfig(crf=60)


def test_the_speed_is_measured_on_short_videos_too(tmp_path: Path) -> None:
    assert clip_time(write_video(tmp_path / "a.mp4", counted_frames(3))) > 0
