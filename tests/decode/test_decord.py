"""decord behind the interface: the same frames, in a process that can be killed."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from video_gc.decode import decord as ours
from video_gc.decode import isolated
from video_gc.decode.open import open_video
from video_gc.decode.reader import Box, DecodeError, Request

pytest.importorskip("decord")


def test_crop_and_scale_equal_those_of_pyav(kind: Callable[[str], Path]) -> None:
    path, box, indices = kind("h264_closed.mp4"), Box(10, 20, 64, 48), [40, 3, 3, 17]
    with open_video(path) as one, open_video(path, "decord", threads=2) as other:
        assert (len(one), one.size, one.codec) == (len(other), other.size, other.codec)
        assert one.rate == pytest.approx(other.rate)
        np.testing.assert_allclose(one.times, other.times, atol=1e-6)
        np.testing.assert_array_equal(other.read(indices), one.read(indices))
        for size in (None, (30, 40)):
            found = other.read(indices, crop=box, size=size)
            expected = one.read(indices, crop=box, size=size).astype(int)
            assert found.shape == expected.shape
            assert np.abs(found - expected).mean() < 1.5  # scaled in RGB, not in YUV
        clips = other.read_clips([Request([1, 2]), Request([2, 60], size=(30, 40))])
        assert [clip.shape for clip in clips] == [(2, 96, 128, 3), (2, 30, 40, 3)]
        assert other.read([5], form="yuv").shape == (1, 144, 128)


def test_it_runs_in_another_process(video: Path) -> None:
    with open_video(video, "decord") as reader:
        assert isinstance(reader, isolated.IsolatedReader)
        reader.read([3])
    assert isolated._servers[ours.__name__].child.alive


def test_damage_is_an_error(kind: Callable[[str], Path], tmp_path: Path) -> None:
    content = bytearray(kind("h264_closed.mp4").read_bytes())
    third = len(content) // 3
    content[third : 2 * third] = bytes(third)
    path = tmp_path / "hit.mp4"
    path.write_bytes(content)
    with (
        pytest.raises(DecodeError, match=r"hit.mp4: cannot .*\[decord\]"),
        open_video(path, "decord", time_limit=30) as reader,
    ):
        reader.read(range(len(reader)))
