"""Long files are read by window: the same frames as from a sequential decode."""

from collections.abc import Callable
from functools import cache
from pathlib import Path

import av
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.conftest import counted_frames, slow
from tests.decode.test_pyav import plain_decode
from tests.decode.videos import kinds
from video_gc.decode.frame_table import packets
from video_gc.decode.frame_table.h264 import H264Heads
from video_gc.decode.open import open_video
from video_gc.decode.pyav import Reader

FORMS = {
    "closed.mp4": {"g": "12", "bf": "3"},
    "open.mp4": {"g": "12", "bf": "3", "x264-params": "open-gop=1"},
    "refresh.mp4": {"g": "30", "x264-params": "intra-refresh=1"},
    "open.mkv": {"g": "12", "bf": "3", "x264-params": "open-gop=1"},
    "closed.ts": {"g": "15", "bf": "2"},
    "fragments.mp4": {"g": "12", "bf": "2"},
    "indexed_fragments.mp4": {"g": "12", "bf": "2"},
    "reordered.avi": {"g": "12", "bf": "2"},
}
QUICK = {"closed.ts", "fragments.mp4", "open.mkv", "open.mp4", "reordered.avi"}
LongFile = tuple[Path, np.ndarray]


@pytest.fixture(scope="module")
def long_file(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], LongFile]:
    """name → the file and its frames, encoded when a test first wants it."""
    folder = tmp_path_factory.mktemp("long")

    @cache
    def made(name: str) -> LongFile:
        options = FORMS[name]
        muxer = {"movflags": "frag_keyframe+empty_moov"} if "fragments" in name else {}
        if "indexed" in name:
            muxer["movflags"] += "+default_base_moof+global_sidx"
        with av.open(folder / name, "w", options=muxer) as container:
            stream = container.add_stream("libx264", rate=30, options=options)
            stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
            for frame in counted_frames(150):
                container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
            container.mux(stream.encode(None))
        return folder / name, np.stack(plain_decode(folder / name))

    return made


@pytest.mark.parametrize(
    "name",
    [name if name in QUICK else slow(name) for name in FORMS],
)
@given(data=st.data())
@settings(max_examples=12, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_windows_give_the_frames_of_a_sequential_decode(
    long_file: Callable[[str], LongFile], name: str, data: st.DataObject
) -> None:
    path, expected = long_file(name)
    indices = data.draw(st.lists(st.integers(0, len(expected) - 1), min_size=1, max_size=12))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(packets, "LONG", 0.0)  # read by window, and by small ones
        patch.setattr(packets, "WINDOW", data.draw(st.sampled_from([1, 3000, 1 << 24])))
        with open_video(path) as reader:
            assert isinstance(reader, Reader)
            assert reader._packets._kept is None
            assert reader._packets.exact is (path.suffix != ".avi")
            assert len(reader) == len(expected)
            np.testing.assert_array_equal(reader.read(indices), expected[indices])
            np.testing.assert_allclose(reader.times, np.arange(len(expected)) / 30, atol=1e-3)


@pytest.mark.parametrize("name", kinds())
def test_windows_of_every_kind_of_file(
    kind: Callable[[str], Path], name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same frames as from packets that are kept; the conformance suite compares those."""
    with open_video(kind(name)) as reader:
        expected = reader.read(range(len(reader)))
    monkeypatch.setattr(packets, "LONG", 0.0)
    monkeypatch.setattr(packets, "WINDOW", 1)
    with open_video(kind(name)) as reader:
        assert len(reader) == len(expected)
        for index in range(0, len(expected), 5):  # one window each
            np.testing.assert_array_equal(reader.read([index])[0], expected[index])
        np.testing.assert_array_equal(reader.read(range(len(expected))), expected)


@pytest.mark.parametrize("name", ["open.mp4", "open.mkv"])
def test_a_window_holds_little_of_the_file(
    long_file: Callable[[str], LongFile], name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(packets, "LONG", 0.0)
    path, _ = long_file(name)
    with open_video(path) as reader:
        assert isinstance(reader, Reader)
        for window, indices in reader._packets.windows([70, 75, 140]):
            assert len(window.packets) <= 4 * 12
            assert set(indices) <= {70, 75, 140}


def test_a_recovery_point_counts_only_where_the_picture_is_whole_at_once() -> None:
    def sei(payload: int) -> bytes:
        return bytes([6, 6, 1, payload, 0x80])

    picture = bytes([0x41, 1, 2, 3])  # a slice that is no IDR
    with_lengths, with_codes = H264Heads(b"\1\x42\0\x0a\xff\xe0"), H264Heads(None)
    for payload, expected in ((0b1100_0000, True), (0b0010_0000, False), (0b1000_0000, False)):
        units = [sei(payload), picture]
        coded = b"".join(len(u).to_bytes(4, "big") + u for u in units)
        assert with_lengths.read(coded)[:2] == (expected, 1)
        assert with_codes.read(b"".join(b"\0\0\0\1" + u for u in units))[:2] == (expected, 1)
    assert with_codes.read(b"\0\0\1\x65\x11\x22\x33")[:2] == (True, 1)  # IDR
    assert with_codes.read(b"\0\0\1\x41\x11\x22\x33")[:2] == (False, 1)
    assert with_codes.read(b"\0\0\1\x09\x30")[:2] == (False, 0)  # a mark between pictures
