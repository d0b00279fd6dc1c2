"""Damaged files: frames that are right, or an error that names the file; nothing passed off."""

from collections.abc import Callable
from pathlib import Path

import av
import numpy as np
import pytest

from tests.conftest import SHARED, slow
from tests.decode.mutate import OFF, flip, packets, read_all
from video_gc.decode.open import open_video
from video_gc.decode.reader import CorruptError, DecodeError, NoVideoError, OpenError
from video_gc.decode.write import write_video

COUNT = 90
"""frames of the test video"""
REAL = [SHARED / "videos" / name for name in ("k340_g12.mp4", "k340_g250.mp4", "opengop.mp4")]


@pytest.fixture(scope="module", params=["mp4", "mkv", "avi"])
def sound(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A textured disc that moves over a texture: damage shows and is carried on."""
    random = np.random.default_rng(0)
    ground = random.integers(0, 200, (24, 32, 3), np.uint8).repeat(4, 0).repeat(4, 1)
    y, x = np.mgrid[:96, :128]
    frames = np.empty((COUNT, 96, 128, 3), np.uint8)
    for index in range(COUNT):
        moved = np.roll(ground, (index, 2 * index), (0, 1))
        disc = (x - 20 - index) ** 2 + (y - 48) ** 2 < 400
        frames[index] = np.where(disc[..., None], 255 - moved, ground)
    folder = tmp_path_factory.mktemp("sound")
    return write_video(
        folder / f"sound.{request.param}", frames, keyframe_interval=30, preset="medium"
    )


def is_one_of(frame: np.ndarray, clean: np.ndarray) -> bool:
    """The last pictures before a cut are shown without those that were to come between them."""
    return bool((frame == clean).all((1, 2, 3)).any())


def test_a_clean_file_gives_no_alarm(sound: Path) -> None:
    frames, damaged = read_all(sound.read_bytes())
    assert len(frames) == COUNT
    assert not damaged


def detected(content: bytes, clean: np.ndarray, *, strict: bool = True) -> tuple[int, int]:
    """(frames that are wrong, those of them that are reported).

    AVI loses damaged pictures, and later ones move up: only then is a frame compared with its
    neighbours too.
    """
    try:
        frames, damaged = read_all(content)
    except DecodeError:
        if strict:
            raise
        return 0, 0  # nothing was passed off
    moved = len(clean) - len(frames)
    assert abs(moved) <= 2 or not strict
    error = []
    for index, frame in enumerate(frames):
        near = (
            clean[max(index - 2, 0) : index + 3 + abs(moved)] if moved else clean[index : index + 1]
        )
        error.append(np.abs(frame.astype(int) - near).mean((1, 2, 3)).min())
    wrong = np.flatnonzero(np.array(error) > OFF)
    return len(wrong), sum(int(index) in damaged for index in wrong)


def test_concealed_frames_are_reported(sound: Path) -> None:
    clean, _ = read_all(sound.read_bytes())
    counts = np.array([detected(flip(sound, seed, 10), clean) for seed in range(8)])
    wrong, reported = counts.sum(0)
    assert wrong > 100  # else this shows nothing
    assert reported >= 0.95 * wrong


@pytest.mark.skipif(not REAL[0].exists(), reason="../shared/data is not there")
@pytest.mark.parametrize(
    "path",
    [*(slow(path) for path in REAL[:2]), REAL[2]],
    ids=lambda path: path.name,
)
def test_concealed_frames_of_a_real_clip_are_reported(path: Path) -> None:
    clean, damaged = read_all(path.read_bytes())
    assert not damaged
    wrong, reported = np.sum([detected(flip(path, seed), clean) for seed in (0, 1)], 0)
    assert wrong > 50
    assert reported >= 0.95 * wrong


def test_a_frame_that_is_not_right_is_an_error_unless_asked_for(sound: Path) -> None:
    content = bytearray(sound.read_bytes())
    start, size = packets(sound)[40]
    content[start + size // 2 : start + size] = bytes(size - size // 2)
    content = bytes(content)
    _, damaged = read_all(content)
    first = min(damaged)
    with open_video(content, "pyav") as reader:
        with pytest.raises(CorruptError, match=f"<bytes>: frame {first} of {COUNT} is ") as caught:
            reader.read(range(len(reader)))
        assert (caught.value.frame, caught.value.decoder) == (first, "pyav")
        assert "video-gc prepare check" in str(caught.value)
        before = list(range(first - first % 30))  # the groups of pictures before it
        clean, _ = read_all(sound.read_bytes())
        np.testing.assert_array_equal(reader.read(before, size=(48, 64)), clean[before])


@pytest.mark.parametrize(
    "share",
    [s if s % 20 == 15 else slow(s) for s in range(5, 100, 5)],
)
def test_a_file_cut_off_anywhere(sound: Path, share: int) -> None:
    content = sound.read_bytes()[: sound.stat().st_size * share // 100]
    clean, _ = read_all(sound.read_bytes())
    try:
        frames, damaged = read_all(content)
    except DecodeError:
        return
    assert sound.suffix != ".mp4"  # its index is at the end
    whole = [index for index in range(len(frames)) if index not in damaged]
    assert len(whole) >= 0.5 * share / 100 * COUNT - 8
    assert all(is_one_of(frames[index], clean[index : index + 5]) for index in whole)


@pytest.fixture(scope="module")
def streaming(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, np.ndarray]:
    return stream_copy(tmp_path_factory.mktemp("streaming") / "first.mp4")


@pytest.mark.parametrize(
    "share",
    [s if s % 20 == 15 else slow(s) for s in range(5, 100, 10)],
)
def test_an_mp4_for_streaming_that_is_cut_off_gives_what_is_there(
    streaming: tuple[Path, np.ndarray], share: int
) -> None:
    """The index comes first and still promises every frame."""
    path, clean = streaming
    content = path.read_bytes()[: path.stat().st_size * share // 100]
    try:
        frames, damaged = read_all(content)
    except DecodeError:
        assert share < 30
        return
    assert len(frames) <= COUNT
    whole = [index for index in range(len(frames)) if index not in damaged]
    assert share < 30 or len(whole) > 0.3 * share / 100 * COUNT
    assert all(is_one_of(frames[index], clean[index : index + 5]) for index in whole)


@pytest.mark.parametrize("step", [2, *(slow(s) for s in (7, 11))])
def test_dropped_packets_are_noticed(tmp_path: Path, step: int) -> None:
    path, clean = stream_copy(tmp_path / "holes.mp4", drop=lambda number: number % 30 == step)
    with open_video(path, damage="report") as reader:
        frames = reader.read(range(len(reader)), size=(48, 64))
        shown = np.rint(reader.times * 30).astype(int)
        damaged = reader.damaged
    assert len(frames) == COUNT - 3
    error = np.abs(frames.astype(int) - clean[shown]).mean((1, 2, 3))
    wrong = np.flatnonzero(error > OFF)
    assert sum(int(index) in damaged for index in wrong) >= 0.95 * len(wrong)


@pytest.mark.parametrize(
    ("length", "seed"),
    [
        (500, 0),
        (5000, 1),
        *(slow(length, seed) for length in (500, 5000) for seed in range(4)),
    ],
)
def test_zeroed_and_random_ranges_end_in_frames_or_an_error(
    sound: Path, length: int, seed: int
) -> None:
    random = np.random.default_rng(seed)
    content = bytearray(sound.read_bytes())
    at = int(random.integers(len(content) - length))
    content[at : at + length] = bytes(length) if seed % 2 else random.bytes(length)
    try:
        frames, _ = read_all(bytes(content))
    except DecodeError:
        return
    assert frames.shape[1:] == (48, 64, 3)
    assert len(frames) <= 2 * COUNT


def test_a_missing_frame_is_replaced_by_the_nearest_one_and_listed(
    streaming: tuple[Path, np.ndarray],
) -> None:
    """One packet is made unreadable; nothing refers to it, so only its frame is lost."""
    path, clean = streaming
    content = bytearray(path.read_bytes())
    places = packets(path)
    for start, size in places[35:36]:
        content[start : start + size] = bytes(size)
    frames, damaged = read_all(bytes(content))
    assert damaged
    assert len(frames) == COUNT
    untouched = [index for index in range(COUNT) if index not in damaged]
    np.testing.assert_array_equal(frames[untouched], clean[untouched])


@pytest.mark.parametrize(
    "header", [b"\0\0\0\x20ftypisom", b"\x1aE\xdf\xa3", b"RIFF\xff\xff\xff\x7fAVI LIST", b"\0" * 64]
)
def test_a_header_without_a_body_is_an_error(tmp_path: Path, header: bytes) -> None:
    path = tmp_path / "header.mp4"
    path.write_bytes(header + b"\xff" * 200)
    with pytest.raises((OpenError, NoVideoError), match="header.mp4"):
        open_video(path)


def stream_copy(path: Path, drop: object = None) -> tuple[Path, np.ndarray]:
    """An MP4 whose index comes first, without the packets that `drop` names; its clean frames."""
    random = np.random.default_rng(1)
    ground = random.integers(0, 200, (24, 32, 3), np.uint8).repeat(4, 0).repeat(4, 1)
    frames = np.stack([np.roll(ground, (i, 2 * i), (0, 1)) for i in range(COUNT)])
    whole = write_video(path.with_name("whole.mp4"), frames, keyframe_interval=30, preset="medium")
    with (
        av.open(str(whole)) as source,
        av.open(str(path), "w", options={"movflags": "faststart"}) as sink,
    ):
        stream = source.streams.video[0]
        copy = sink.add_stream_from_template(stream)
        for number, packet in enumerate(source.demux(stream)):
            if packet.size and not (callable(drop) and drop(number)):
                packet.stream = copy
                sink.mux(packet)
    return path, read_all(whole.read_bytes())[0]


@pytest.mark.parametrize("name", ["h264_closed.mp4", "h264_no_b.avi"])
def test_a_picture_that_is_not_asked_for_and_cannot_be_decoded(
    kind: Callable[[str], Path], name: str
) -> None:
    """FFmpeg gives no error for it while it may leave pictures out; what refers to it is damaged."""
    content = bytearray(kind(name).read_bytes())
    at, _ = packets(kind(name))[4]
    content[at + 8 : at + 48] = bytes(40)
    for index in (9, 12):
        with (
            open_video(bytes(content)) as reader,
            pytest.raises(CorruptError, match=f"frame {index} "),
        ):
            reader.read([index])
