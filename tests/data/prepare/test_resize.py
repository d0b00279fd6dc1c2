"""A folder of videos made small: every file, once, complete or not at all."""

import csv
import json
import os
from pathlib import Path

import pytest

from tests.conftest import counted_frames
from tests.data.prepare.crashing import dies_on_b_resizing, plants_at_b
from video_gc.atomic import journal
from video_gc.data.annotations.folder_scan import find_videos
from video_gc.data.prepare import resize
from video_gc.data.prepare.copies import MADE
from video_gc.data.prepare.resize import ResizeConfig, clip_time, resize_videos
from video_gc.decode.open import open_video
from video_gc.decode.video_facts import examine
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
        facts = examine(file)
        assert (facts.frames, facts.height, facts.width) == (20, 32, 42)
        assert facts.keyframe_max <= 8
    [failure] = csv.DictReader((target / "resize-failed.csv").read_text().splitlines())
    assert Path(failure["path"]) == source / "jump" / "d.mp4"
    assert "cannot be read as a video" in failure["cause"]
    sizes = sum(path.stat().st_size for path in find_videos(target))
    assert result.after.bytes == sizes
    assert result.before.clip_ms is not None
    assert result.after.clip_ms is not None


def test_slow_files_do_not_hold_it_up(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(resize, "SECONDS", -1)  # as if they had passed
    result = resize_videos(source, tmp_path / "small", SMALL)
    assert (result.done, result.before.clip_ms, result.after.clip_ms) == (4, None, None)
    assert result.before.bytes > 0


def test_a_note_of_a_stranger_is_passed_over(source: Path, tmp_path: Path) -> None:
    target = tmp_path / "small"
    target.mkdir()
    (target / MADE).write_text('[["run/a.mp4"]]\n[1]\n{"a": 1}\n[]\nnull\n')
    assert resize_videos(source, target, SMALL).done == 4


def test_a_second_run_does_what_is_left(source: Path, tmp_path: Path) -> None:
    target = tmp_path / "small"
    resize_videos(source, target, SMALL)
    idle = resize_videos(source, target, SMALL)
    assert (idle.done, idle.before.clip_ms, idle.after.clip_ms) == (0, None, None)
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
    assert examine(target / "run" / "b.mp4").frames == 7
    assert resize_videos(source, target, SMALL).done == 0


def test_a_process_that_is_killed_leaves_no_half_file(source: Path, tmp_path: Path) -> None:
    target = tmp_path / "small"
    result = resize_videos(source, target, SMALL, work=dies_on_b_resizing)
    assert (result.done, result.failed) == (3, 2)
    assert "b.mp4" not in {path.name for path in find_videos(target)}
    assert not list(target.rglob("*.part*"))
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


def contents(root: Path) -> dict[str, bytes]:
    files = (path for path in root.rglob("*") if path.is_file())
    return {path.relative_to(root).as_posix(): path.read_bytes() for path in files}


def test_files_of_somebody_elses_in_the_target_are_kept_and_named(
    source: Path, tmp_path: Path
) -> None:
    target = tmp_path / "small"
    for name in ("run/a.mp4", "jump/high/c.mp4"):
        (target / name).parent.mkdir(parents=True, exist_ok=True)
        (target / name).write_text("mine")
    (target / "run" / "notes.txt").write_text("mine")
    before = contents(target)
    with pytest.raises(FileExistsError, match=r"c.mp4 and 1 more: exists, .* so it is kept"):
        resize_videos(source, target, SMALL)
    assert contents(target) == before
    for name in ("run/a.mp4", "jump/high/c.mp4"):
        (target / name).unlink()
    assert resize_videos(source, target, SMALL).done == 4
    assert (target / "run" / "notes.txt").read_text() == "mine"
    (target / "run" / "b.mp4").write_text("mine now")
    (target / "run" / "a.mp4").unlink()
    (target / "run" / "a.mp4").symlink_to("a.mkv.mp4")
    with pytest.raises(FileExistsError, match=r"a.mp4 and 1 more: exists"):
        resize_videos(source, target, SMALL)
    assert (target / "run" / "b.mp4").read_text() == "mine now"


@pytest.mark.parametrize("name", ["resize.json", "resize-failed.csv"])
def test_notes_of_somebody_elses_are_kept(source: Path, tmp_path: Path, name: str) -> None:
    target = tmp_path / "small"
    target.mkdir()
    for mine in ("mine", "[1]", '{"short_side": 3}'):
        (target / name).write_text(mine)
        with pytest.raises(FileExistsError, match=f"{name}: exists"):
            resize_videos(source, target, SMALL)
        assert contents(target) == {name: mine.encode()}


LINKS = {
    "a class folder": lambda source, target: (target / "run").symlink_to(source / "run"),
    "a relative link": lambda source, target: (target / "run").symlink_to("../source/run"),
    "one class in another": lambda source, target: (target / "run").symlink_to(source / "jump"),
    "a folder below": lambda source, target: (
        (target / "jump").mkdir(),
        (target / "jump" / "high").symlink_to(source / "jump" / "high"),
    ),
    "the folder itself": lambda source, target: (target.rmdir(), target.symlink_to(source)),
    "a class folder around it": lambda source, target: (
        target.rmdir(),
        target.symlink_to(source / "run"),
    ),
}


@pytest.mark.parametrize("link", LINKS)
def test_links_that_lead_back_to_the_originals(source: Path, tmp_path: Path, link: str) -> None:
    target = tmp_path / "small"
    target.mkdir()
    LINKS[link](source, target)
    before = contents(source)
    with pytest.raises(ValueError, match="must not lie in"):
        resize_videos(source, target, SMALL)
    assert contents(source) == before


def test_originals_that_are_linked_into_the_source_are_not_written_either(
    source: Path, tmp_path: Path
) -> None:
    """A source of links to folders or to files, and a target with a link to where they lead."""
    for kind in ("folders", "files"):
        links, target = tmp_path / f"links-{kind}", tmp_path / f"small-{kind}"
        links.mkdir()
        target.mkdir()
        if kind == "folders":
            (links / "run").symlink_to(source / "run")
        else:
            (links / "run").mkdir()
            for file in (source / "run").iterdir():
                (links / "run" / file.name).symlink_to(file)
        (target / "run").symlink_to(source / "run")
        before = contents(source)
        with pytest.raises(ValueError, match="must not lie in"):
            resize_videos(links, target, SMALL)
        assert contents(source) == before
        (target / "run").unlink()
        assert resize_videos(links, target, SMALL).done == 3
        assert contents(source) == before


def test_links_that_lead_elsewhere_and_hard_links(source: Path, tmp_path: Path) -> None:
    """A class on another disk is fine; a hard link to an original is somebody else's file."""
    target, disk = tmp_path / "small", tmp_path / "disk"
    target.mkdir()
    disk.mkdir()
    (target / "run").symlink_to(disk)
    assert resize_videos(source, target, SMALL).done == 4
    assert {path.name for path in disk.glob("*.mp4")} == {"a.mp4", "a.mkv.mp4", "b.mp4"}
    before = contents(source)
    (disk / "b.mp4").unlink()
    os.link(source / "run" / "b.mp4", disk / "b.mp4")
    with pytest.raises(FileExistsError, match=r"b.mp4: exists"):
        resize_videos(source, target, SMALL)
    assert contents(source) == before


def test_a_file_that_comes_while_its_copy_is_made_is_kept(source: Path, tmp_path: Path) -> None:
    target = tmp_path / "small"
    result = resize_videos(source, target, SMALL, work=plants_at_b)
    assert (result.done, result.failed) == (3, 2)
    assert (target / "run" / "b.mp4").read_text() == "mine"
    assert "already exists, and is kept" in (target / "resize-failed.csv").read_text()


def test_killed_after_a_copy_was_complete(source: Path, tmp_path: Path) -> None:
    """The note knows of a copy before it is there, so that the next run takes it for its own."""
    target = tmp_path / "small"
    resize_videos(source, target, SMALL)
    lines = [json.loads(line) for line in (target / MADE).read_text().splitlines() if line]
    torn = [line for line in lines if line[0] != "run/b.mp4" or len(line) == 1]
    assert len(torn) == len(lines) - 1
    (target / MADE).write_text("".join(json.dumps(line) + "\n" for line in torn))
    assert resize_videos(source, target, SMALL).done == 1


def test_two_at_once(source: Path, tmp_path: Path) -> None:
    target = tmp_path / "small"
    with journal(target / MADE, what="resize", way="another folder"):  # the first one
        with pytest.raises(BlockingIOError, match="another resize is writing to it; wait for it"):
            resize_videos(source, target, SMALL)
        assert not list(target.rglob("*.mp4"))
    assert resize_videos(source, target, SMALL).done == 4


def test_hard_names_and_files_that_vanish(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root, target = tmp_path / "source", tmp_path / "small"
    names = [b"caf\xe9.mp4", b"caf\xe8.mkv", "é".encode() * 125 + b".mkv", b"x" * 252 + b".ts"]
    names += [b"a.mp4", b"a.mkv", b"a.mkv.mp4"]
    for number, name in enumerate(names):
        write_video(root / "new.mkv", counted_frames(9 + number))
        (root / "new.mkv").rename(root / os.fsdecode(name))
    result = resize_videos(root, target, SMALL)
    assert (result.done, result.failed) == (7, 0)
    frames = sorted(examine(file).frames for file in find_videos(target))
    assert frames == [9, 10, 11, 12, 13, 14, 15]  # none of them over another
    assert resize_videos(root, target, SMALL).done == 0

    listed = [*find_videos(root), root / "gone.mp4"]
    monkeypatch.setattr(resize, "find_videos", lambda _: listed)
    os.utime(root / "a.mp4", ns=(10**19, 10**19))  # in 2286
    result = resize_videos(root, target, SMALL)
    assert (result.done, result.kept, result.failed) == (1, 6, 1)
    assert "gone.mp4,No such file" in (target / "resize-failed.csv").read_text()
