"""A folder of images is a video: in the order of its numbers, and nothing is passed over."""

import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.conftest import counted_frames
from video_gc.decode.open import open_video
from video_gc.decode.reader import Box, CorruptError, OpenError

FRAMES = counted_frames(12)


def write(
    folder: Path, pattern: str = "img_{:05d}.png", first: int = 1, count: int = 12, **options: int
) -> Path:
    folder.mkdir(exist_ok=True)
    for index in range(count):
        Image.fromarray(FRAMES[index]).save(folder / pattern.format(first + index), **options)
    return folder


@pytest.mark.parametrize("pattern", ["img_{:05d}.png", "{}.png", "a3 b{:03d}.bmp", "f{}.PNG"])
@pytest.mark.parametrize("first", [0, 1, 95])
def test_frames_come_in_the_order_of_their_numbers(
    tmp_path: Path, pattern: str, first: int
) -> None:
    with open_video(write(tmp_path / "clip", pattern, first)) as reader:
        assert (len(reader), reader.size, reader.rate) == (12, (48, 64), 25.0)
        assert reader.decoder == "frames"
        np.testing.assert_array_equal(reader.read(range(12)), FRAMES)
        np.testing.assert_array_equal(reader.read([11, 0, 0, 5]), FRAMES[[11, 0, 0, 5]])
        cropped = reader.read([3], crop=Box(5, 6, 20, 30))
    np.testing.assert_array_equal(cropped[0], FRAMES[3, 6:36, 5:25])


@pytest.mark.parametrize("suffix", ["jpg", "webp"])
def test_lossy_images_are_what_pillow_makes_of_them(tmp_path: Path, suffix: str) -> None:
    folder = write(tmp_path / "clip", f"img_{{}}.{suffix}", quality=95)
    expected = np.stack(
        [np.asarray(Image.open(folder / f"img_{i}.{suffix}").convert("RGB")) for i in range(1, 13)]
    )
    with open_video(folder) as reader:
        found = reader.read(range(12))
    brightness = np.array([0.299, 0.587, 0.114])  # colour between stored ones is made otherwise
    difference = np.abs((found - expected.astype(int)) @ brightness).mean((1, 2))
    beside = np.abs((found[1:] - expected[:-1].astype(int)) @ brightness).mean((1, 2))
    assert difference.max() < 1.5 < 2 < beside.min()


def test_the_rate_can_stand_beside_the_frames(tmp_path: Path) -> None:
    folder = write(tmp_path / "clip")
    (folder / "rate.txt").write_text("12.5\n")
    with open_video(folder) as reader:
        assert reader.rate == 12.5
        np.testing.assert_allclose(reader.times, np.arange(12) / 12.5)
    (folder / "rate.txt").write_text("fast")
    with pytest.raises(OpenError, match="rate.txt must hold a number"):
        open_video(folder)
    (folder / "rate.txt").unlink()
    os.mkfifo(folder / "rate.txt")  # nobody writes to it: a read would wait for ever
    with pytest.raises(OpenError, match="rate.txt must hold a number"):
        open_video(folder)


def test_what_is_wrong_with_a_folder_is_named(tmp_path: Path) -> None:
    folder = tmp_path / "clip"
    folder.mkdir()
    with pytest.raises(OpenError, match=r"clip: holds no frames"):
        open_video(folder)
    write(folder)
    (folder / "img_00004.png").unlink()
    with pytest.raises(OpenError, match=r"frame 4 is missing after img_00003.png"):
        open_video(folder)
    (folder / "img_00005.png").unlink()
    with pytest.raises(OpenError, match=r"frame 4 is missing after img_00003.png and 1 more"):
        open_video(folder)
    write(folder)
    (folder / "img_6.png").write_bytes(b"")
    with pytest.raises(OpenError, match="have the same number"):
        open_video(folder)
    (folder / "img_6.png").rename(folder / "flow_6.png")
    with pytest.raises(OpenError, match=r"several series \(flow_… and img_…\)"):
        open_video(folder)
    (folder / "flow_6.png").rename(folder / "cover.png")
    with pytest.raises(OpenError, match=r"cover.png has no number"):
        open_video(folder)


def test_a_damaged_frame_or_one_of_another_size_is_named(tmp_path: Path) -> None:
    folder = write(tmp_path / "clip")
    (folder / "img_00003.png").write_bytes(b"no picture")
    Image.fromarray(FRAMES[0, :20]).save(folder / "img_00008.png")
    with open_video(folder) as reader:
        np.testing.assert_array_equal(reader.read([1, 3]), FRAMES[[1, 3]])
        with pytest.raises(CorruptError, match=r"img_00003.png cannot be decoded") as caught:
            reader.read([1, 2])
        assert caught.value.frame == 2
        with pytest.raises(CorruptError, match=r"img_00008.png is 64×20, but .* is 64×48"):
            reader.read([7])
    with open_video(folder, damage="report") as reader:
        frames = reader.read(range(12))
        assert reader.damaged == {2: "missing", 7: "missing"}
    sound = [i for i in range(12) if i not in (2, 7)]
    np.testing.assert_array_equal(frames[sound], FRAMES[sound])
    assert np.array_equal(frames[2], FRAMES[1]) or np.array_equal(frames[2], FRAMES[3])


def test_a_file_is_no_folder(video: Path) -> None:
    with pytest.raises(ValueError, match=r"decoder \(frames\) reads a folder"):
        open_video(video, "frames")
