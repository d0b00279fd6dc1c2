"""What counts as a video, which links are followed, and that nothing vanishes without a word."""

import os
from collections import Counter
from pathlib import Path

import av
import numpy as np
import pytest

from tests.conftest import counted_frames
from tests.data.test_annotations import touch
from video_gc.data.annotations.class_folders import read_class_folders
from video_gc.data.annotations.folder_scan import SUFFIXES, find_videos, is_video, scan
from video_gc.data.index import DataError, VideoIndex
from video_gc.data.manifest import NAME
from video_gc.data.prepare.listing import list_sources
from video_gc.decode.open import open_video

CONTAINERS = {  # suffix → the format's name for FFmpeg where the suffix tells none, and a codec
    ".m2ts": ("mpegts", "mpeg2video"),
    ".mts": ("mpegts", "mpeg2video"),
    ".tod": ("mpeg", "mpeg2video"),
    ".mod": ("mpeg", "mpeg2video"),
    ".vob": ("vob", "mpeg2video"),
    ".mpe": ("mpeg", "mpeg1video"),
    ".mxf": ("mxf", "mpeg2video"),
    ".gif": ("gif", "gif"),
    ".f4v": ("f4v", "libx264"),
    ".3g2": ("3g2", "mpeg4"),
    ".qt": ("mov", "mpeg4"),
    ".divx": ("avi", "mpeg4"),
    ".mk3d": ("matroska", "mpeg4"),
    ".nut": ("nut", "mpeg4"),
    ".rm": ("rm", "rv20"),
    ".amv": ("amv", "amv"),
    ".y4m": ("yuv4mpegpipe", "rawvideo"),
    ".ivf": ("ivf", "libvpx-vp9"),
    ".mjpeg": ("mjpeg", "mjpeg"),
    ".m1v": ("mpeg1video", "mpeg1video"),
    ".m2v": ("mpeg2video", "mpeg2video"),
    ".264": ("h264", "libx264"),
}


def write(path: Path, container: str, codec: str) -> Path | None:
    """Eight frames; None where this FFmpeg cannot write them so."""
    try:
        with av.open(str(path), "w", format=container) as file:
            stream = file.add_stream(codec, rate=25)
            stream.width, stream.height = 64, 48  # type: ignore[union-attr]
            formats = stream.codec.video_formats or []  # type: ignore[union-attr]
            if "yuv420p" not in [each.name for each in formats]:
                stream.pix_fmt = formats[0].name if formats else "yuv420p"  # type: ignore[union-attr]
            for picture in counted_frames(8):
                frame = av.VideoFrame.from_ndarray(picture)
                file.mux(stream.encode(frame))  # type: ignore[union-attr]
            file.mux(stream.encode(None))  # type: ignore[union-attr]
    except (av.FFmpegError, av.codec.codec.UnknownCodecError, ValueError):
        path.unlink(missing_ok=True)
        return None
    return path


def test_what_a_container_of_video_is_called_is_a_video(tmp_path: Path) -> None:
    written = {
        suffix: file
        for suffix, (container, codec) in CONTAINERS.items()
        if (file := write(tmp_path / f"clip{suffix.upper()}", container, codec))
    }
    assert {".m2ts", ".mxf", ".gif", ".f4v", ".3g2", ".divx"} <= set(written)
    assert find_videos(tmp_path) == sorted(written.values())
    for suffix in (".m2ts", ".mxf", ".gif", ".f4v", ".3g2", ".divx"):
        with open_video(written[suffix]) as reader:
            assert len(reader) == 8, suffix


def test_suffixes_that_ffmpeg_writes_video_under_are_known() -> None:
    """Of the containers of moving pictures: each suffix that the library itself gives them."""
    names = ("3g2", "3gp", "mov", "mp4", "f4v", "avi", "asf", "flv", "gif", "apng", "gxf", "ivf")
    names += ("matroska", "webm", "mpeg", "vob", "mpegts", "mxf", "nut", "ogv", "rm", "swf", "wtv")
    names += ("mpeg1video", "mpeg2video", "h264", "hevc", "vvc", "mjpeg", "dv", "yuv4mpegpipe")
    found: Counter[str] = Counter()
    for name in names:
        for suffix in av.ContainerFormat(name, "w").extensions:
            found[f".{suffix}"] += 1
    # one picture of apng, sound alone of RealMedia and Windows Media
    assert set(found) - SUFFIXES <= {".png", ".ra", ".wma"}
    assert not {".mp3", ".wav", ".jpg", ".png", ".webp", ".srt", ".txt", ".m3u8", ".sdp"} & SUFFIXES
    assert is_video("a.b.MP4")
    assert not is_video("mp4")


def test_the_documentation_lists_the_suffixes() -> None:
    text = (Path(__file__).parents[2] / "docs/data.md").read_text(encoding="utf-8")
    block = text[text.index(".3g2 ") :].partition("\n\n")[0]
    assert set(block.split()) == SUFFIXES


def test_every_file_is_a_video_or_accounted_for(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    names = ["a.mp4", ".b.mp4", "c.txt", "d", "e.M2TS", "f.mp4.part", "Thumbs.db", "._g.mov"]
    folders = ["x", "x/y", "__MACOSX", ".git", "z"]
    files = {f"{folder}/{name}" for folder in folders for name in names if random.random() < 0.7}
    touch(tmp_path, *files)
    found = scan(tmp_path)
    inside = {name for name in files if not name.startswith(("__MACOSX", ".git"))}
    accounted = [path for _, path in found.passed_over.rows()]
    assert {*found.videos, *accounted} >= inside
    assert len(found.videos) + len(accounted) == len(inside) + 2  # the folders passed over
    assert all(is_video(name) for name in found.videos)
    assert str(len(found.passed_over.suffixes[".txt"])) in str(found.passed_over)


def test_links_to_what_is_listed_already_list_nothing_twice(tmp_path: Path) -> None:
    root = touch(tmp_path / "set", "run/a.mp4", "run/b.mp4", "jump/c.mp4")
    touch(tmp_path, "store/d.mp4", "store/blob")
    (root / "again").symlink_to("run")  # a sibling, which comes after it in the alphabet
    (root / "jump/run").symlink_to(root / "run")
    (root / "jump/a.mp4").symlink_to("../run/a.mp4")
    (root / "jump/d.mp4").symlink_to(tmp_path / "store/d.mp4")
    (root / "run/d.mp4").symlink_to("../../store/d.mp4")  # the same video under two labels
    (root / "run/e.mp4").symlink_to("../../store/blob")  # as a cache names its files
    touch(tmp_path, "other/f.mp4")
    (root / "walk").symlink_to(tmp_path / "other")
    (root / "stroll").symlink_to(tmp_path / "other")
    found = scan(root)
    expected = "jump/c.mp4 jump/d.mp4 run/a.mp4 run/b.mp4 run/e.mp4 stroll/f.mp4"
    assert found.videos == expected.split()
    twice = "link to what is listed already"
    assert sorted(found.passed_over.paths[twice]) == [
        "again", "jump/a.mp4", "jump/run", "run/d.mp4", "walk",
    ]  # fmt: skip


def test_links_in_a_circle_stop_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = touch(tmp_path / "set", "run/a.mp4", "jump/b.mp4")
    (root / "run/loop").symlink_to("loop")
    (root / "run/one.mp4").symlink_to("two.mp4")
    (root / "run/two.mp4").symlink_to("one.mp4")
    (root / "jump/up").symlink_to("../..")
    (root / "jump/gone.mp4").symlink_to("nowhere.mp4")
    os.mkfifo(root / "jump/pipe.mp4")
    index = read_class_folders(root)
    assert [path.name for path in index.paths] == ["b.mp4", "a.mp4"]
    said = capsys.readouterr().err
    assert "4 links that lead nowhere (jump/gone.mp4, run/loop, run/one.mp4, …)" in said
    assert "1 device, pipe or socket (jump/pipe.mp4)" in said


def test_names_that_are_not_utf8_are_left_out_named_and_counted(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    touch(tmp_path, "run/a.mp4", "jump/b.mp4", f"run/{'é' * 120}.mp4", f"run/{'n' * 241}.mp4")
    odd = [os.fsdecode(b"run/caf\xe9.mp4"), os.fsdecode(b"kl\xe4tt/c.mp4")]
    touch(tmp_path, *odd)
    index = read_class_folders(tmp_path)
    assert index.names == ["jump", "run"]
    assert len(index) == 4
    said = capsys.readouterr().err
    assert r"2 names that are not UTF-8 (kl\xe4tt/c.mp4, run/caf\xe9.mp4)" in said
    listed, _, *_ = list_sources([tmp_path])
    assert len(listed) == 4
    assert set(find_videos(tmp_path)) >= {tmp_path / name for name in odd}  # a path can be opened
    with pytest.raises(DataError, match=r"caf\\xe9.mp4: the name is not UTF-8; rename the file"):
        VideoIndex.build(odd, [0, 0], ["run"])


def test_files_of_our_own_are_not_worth_a_word(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / NAME).parent.mkdir()
    (tmp_path / NAME).write_text("")
    for name in (".video_gc-outputs.jsonl", "resize.json", "motions.json", "a/motions.json"):
        (tmp_path / name).write_text("")
    assert list(scan(tmp_path).passed_over.rows()) == [
        ("folder without videos", "a"),
        ("file of another kind", "a/motions.json"),
    ]
