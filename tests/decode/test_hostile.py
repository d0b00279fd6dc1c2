"""A "video" opens nothing: no socket, no other file, whatever it says, in every decoder."""

import contextlib
import errno
import io
import json
import os
import platform
import socket
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tests.conftest import slow
from tests.decode.hostile import ELSEWHERE, OTHERS, write_files
from tests.decode.test_torchcodec import LIBRARIES
from video_gc.decode import ffmpeg_env
from video_gc.decode.ffmpeg.source import TimeLimit, limited_file
from video_gc.decode.open import open_video
from video_gc.decode.reader import DecodeError, OpenError, StuckError
from video_gc.decode.video_facts import examine

ROOT = Path(__file__).parents[2]
DECODERS = [name for name in ("pyav", "decord") if name == "pyav" or find_spec(name)]
if find_spec("torchcodec") and LIBRARIES:
    DECODERS.append("torchcodec")
watched = pytest.mark.skipif(
    sys.platform != "linux" or platform.machine() not in ("x86_64", "aarch64"),
    reason="the watch is Linux'",
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("hostile")
    write_files(path)
    return path


def opened(folder: Path, decoders: list[str], names: str) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"NAMES": names, "PYTHONPATH": str(ROOT)}
    if LIBRARIES:
        environment["LD_LIBRARY_PATH"] = ffmpeg_env.library_path()
    return subprocess.run(
        [sys.executable, "-m", "tests.decode.hostile", str(folder), *decoders],
        cwd=ROOT, env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True,
        timeout=300,
    )  # fmt: skip


@watched
@pytest.mark.parametrize("every", [False, slow(True)])
def test_nothing_but_the_file_is_opened(folder: Path, every: bool) -> None:
    """Each kind of file, and what it names beside it or by HTTP; `every`: in every other way too."""
    names = (folder / "names").read_text().split("\n")
    assert len(names) == len(OTHERS) + 4 * len(ELSEWHERE) + 2
    if not every:
        others = [place for place in ELSEWHERE if place not in ("neighbour", "http")]
        names = [n for n in names if n in OTHERS or not n.rpartition(".")[0].endswith((*others,))]
        assert len(names) == len(OTHERS) + 4 * 2 + 2
    decoders = DECODERS if every else DECODERS[:2]  # torchcodec takes seconds to be imported
    done = opened(folder, decoders, "\n".join(names))
    assert done.returncode == 0, f"{done.returncode} {done.stderr[-2000:]}"
    found = json.loads(done.stdout)
    assert len(found) == 3 * len(decoders) * len(names)
    assert [row for row in found if row[4] or "process died" in row[3]] == []
    odd = ("both.ts", "outside.mp4")  # are videos too, whose own pictures may be shown
    assert [row for row in found if row[0] not in odd and "Error: " not in row[3]] == []
    for row in found:
        if row[1] != "pyav" and row[0] == "both.ts":  # an older FFmpeg sees a playlist in it
            assert row[3].startswith("OpenError"), row


@pytest.mark.slow
@watched
def test_the_watch_sees_what_ffmpeg_opens_by_itself(folder: Path) -> None:
    assert opened(folder, ["plain"], "sdp.mp4").returncode == -31  # SIGSYS
    done = opened(folder, ["plain"], "concat_neighbour.mp4\npattern_%03d.png")
    seen = {(name, kind): others for name, _, kind, _, others in json.loads(done.stdout)}
    assert seen["concat_neighbour.mp4", "path"] == ["neighbour.ts"]
    assert "pattern_000.png" in seen["pattern_%03d.png", "path"]


@pytest.mark.parametrize("decoder", DECODERS[:2])
def test_what_is_no_regular_file_is_not_opened(tmp_path: Path, video: Path, decoder: str) -> None:
    os.mkfifo(tmp_path / "fifo.mp4")
    (tmp_path / "link.mp4").symlink_to("fifo.mp4")
    (tmp_path / "good.mp4").symlink_to(video)
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(tmp_path / "socket.mp4"))
    for path, what in (
        (tmp_path / "fifo.mp4", "a pipe"),
        (tmp_path / "link.mp4", "a pipe"),
        (tmp_path / "socket.mp4", "a socket"),
        (Path("/dev/zero"), "a device"),
    ):
        with pytest.raises(OpenError, match=f"{path.name}: is {what}, not a file"):
            open_video(path, decoder)
        assert what in examine(path).cause
    with open_video(tmp_path / "good.mp4", decoder) as reader:
        assert len(reader) == 40
    reading, writing = os.pipe()
    with (
        os.fdopen(reading, "rb") as pipe,
        os.fdopen(writing, "wb"),
        pytest.raises(OpenError, match="is a pipe"),
    ):
        open_video(pipe, decoder)


def test_an_address_or_a_camera_is_no_file(tmp_path: Path) -> None:
    for path in ("http://example.com/a.mp4", Path("rtsp://10.0.0.1/live"), "udp://@:1234"):
        with pytest.raises(FileNotFoundError, match=r"no such file or folder; it is an address"):
            open_video(path)
    for name in ("0", "-"):
        with pytest.raises(FileNotFoundError, match="video-gc stream reads cameras and"):
            open_video(name)
    sources: list[Any] = [0, None, io.StringIO("text"), ["a.mp4"]]
    for source in sources:
        with pytest.raises(TypeError, match="must be a path, bytes or a file opened as binary"):
            open_video(source)


def test_the_home_directory(video: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(video.parent))
    monkeypatch.chdir(tmp_path)
    with open_video(f"~/{video.name}") as reader:
        assert len(reader) == 40
    Path("~").mkdir()
    Path("~", video.name).write_bytes(b"")  # a file of that very name goes first
    with pytest.raises(OpenError, match="is empty"):
        open_video(f"~/{video.name}")


def test_a_name_is_only_a_name(tmp_path: Path, folder: Path) -> None:
    """A pattern of image2 in the name of a picture, alone or among numbered frames."""
    names = ("img_%03d.png", "*.png", "img_%d", "a:b.png", "concat:x.png", "%2c7.png")
    for name in names:
        (tmp_path / name).write_bytes((folder / "files" / "pattern_002.png").read_bytes())
        (tmp_path / "img_000.png").write_bytes((folder / "files" / "pattern_001.png").read_bytes())
        with open_video(tmp_path / name) as reader:
            assert (len(reader), reader.read([0]).mean()) == (1, 80)
    frames = tmp_path / "frames"
    frames.mkdir()
    (frames / "img_%03d7.png").write_bytes((folder / "files" / "pattern_002.png").read_bytes())
    with open_video(frames) as reader:
        assert (len(reader), reader.read([0]).mean()) == (1, 80)


class Slow(io.BytesIO):
    def read(self, count: int | None = -1) -> bytes:
        import threading

        threading.Event().wait(30)
        return super().read(count)


def test_a_file_object_that_blocks_ends_at_the_limit(video: Path) -> None:
    with pytest.raises(StuckError, match=r"took more than 0.2 s \(time_limit\)"):
        open_video(Slow(video.read_bytes()), time_limit=0.2)


def test_a_file_in_memory_needs_no_limit(video: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with open_video(video) as reader:
        expected = reader.read([0, 9])
    monkeypatch.setattr(TimeLimit, "run", None)  # it starts a thread
    with open_video(io.BytesIO(video.read_bytes())) as reader:
        np.testing.assert_array_equal(reader.read([0, 9]), expected)


def test_a_file_object_that_gives_more_than_was_asked_does_no_harm(video: Path) -> None:
    class Greedy(io.BytesIO):
        def read(self, count: int | None = -1) -> bytes:
            return super().read(count) + bytes(1 << 20)

    with contextlib.suppress(DecodeError):
        open_video(Greedy(video.read_bytes())).close()


def test_a_seek_before_the_start_is_an_error_of_ffmpegs(video: Path) -> None:
    """Where a damaged index sends it; Python's own error would pass by those that are caught."""
    with open(video, "rb") as file:
        for source in (file.read(), file):
            limited = limited_file(source, 1.0)
            assert (limited.seek(-5), limited.seek(3), limited.tell()) == (-errno.EINVAL, 3, 3)


def test_the_name_of_an_open_file_says_nothing_of_its_format(tmp_path: Path) -> None:
    path = tmp_path / "a.gif"
    Image.new("RGB", (16, 16)).save(path)
    path.write_bytes(b"RTSPtext\r\n" + path.read_bytes())
    with open(path, "rb") as file:
        for source in (path, file):
            with pytest.raises(OpenError, match="a.gif: cannot be read"):
                open_video(source)
