"""One file is opened once: what comes to stand under its name while it is read does not matter."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from video_gc.decode import pyav
from video_gc.decode.ffmpeg import container
from video_gc.decode.ffmpeg.source import Held, content
from video_gc.decode.frame_table import packets
from video_gc.decode.open import open_video


@pytest.mark.parametrize("name", ["h264_closed.mp4", "h264_late.mkv", "h264.ts"])
@pytest.mark.parametrize("long", [False, True])
def test_a_file_that_is_replaced_while_it_is_opened(
    kind: Callable[[str], Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    long: bool,
) -> None:
    path, other = tmp_path / name, tmp_path / "other"
    shutil.copy(kind(name), path)
    content_of = bytearray(path.read_bytes())
    content_of[len(content_of) // 3 :] = bytes(len(content_of) - len(content_of) // 3)
    other.write_bytes(content_of)
    with open_video(path) as reader:
        expected = reader.read(range(len(reader)))
    find_losses = pyav.find_losses

    def replaced(*arguments: Any) -> Any:
        os.replace(other, path)
        return find_losses(*arguments)

    monkeypatch.setattr(pyav, "find_losses", replaced)
    if long:
        monkeypatch.setattr(packets, "LONG", 0.0)
        monkeypatch.setattr(packets, "WINDOW", 1)
    with open_video(path) as reader:
        assert not other.exists()
        np.testing.assert_array_equal(reader.read(range(len(reader))), expected)
        np.testing.assert_array_equal(reader.read([3]), expected[3:4])  # opened again for that


def test_a_reader_holds_its_file_and_lets_go(video: Path) -> None:
    before = len(os.listdir("/dev/fd"))
    for _ in range(3):
        with open_video(video) as reader:
            assert len(os.listdir("/dev/fd")) > before
        reader.close()
        assert len(os.listdir("/dev/fd")) == before
    with pytest.raises(FileNotFoundError):
        open_video(video.parent / "nowhere.mp4", "pyav")
    assert len(os.listdir("/dev/fd")) == before


@pytest.mark.parametrize("name", ["h264_closed.mp4", "h264_late.mkv", "h264.ts"])
def test_ffmpeg_takes_a_held_file_where_it_counts_descriptors_by_itself(
    kind: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    with open_video(kind(name)) as reader:
        expected = reader.read(range(len(reader)))
    windows = SimpleNamespace(name="nt", PathLike=os.PathLike, lseek=None)
    monkeypatch.setattr(container, "os", windows)
    monkeypatch.delattr(os, "pread")
    with open_video(kind(name)) as reader:
        np.testing.assert_array_equal(reader.read(range(len(reader))), expected)
        np.testing.assert_array_equal(reader.read([3]), expected[3:4])


def test_reading_moves_no_place_that_is_shared(video: Path) -> None:
    whole = video.read_bytes()
    with Held(video) as held:
        os.lseek(held.number, 7, os.SEEK_SET)
        with content(held) as file:
            assert file.size == len(whole)
            assert file.at(100, 50) == whole[100:150]
            assert b"".join(file.chunks(0, file.size)) == whole
            assert file.at(len(whole) - 3, 10) == whole[-3:]
        assert os.lseek(held.number, 0, os.SEEK_CUR) == 7
