"""One table, whichever way it was read: frames are those of a sequential decode, or are counted."""

import os
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import av
import numpy as np
import pytest
from hypothesis import HealthCheck, assume, event, given, reject, settings
from hypothesis import strategies as st

from tests.decode.rewrite import (
    BASE,
    ENCODINGS,
    RATE,
    Sample,
    encoded,
    mux,
    number_of,
    with_keys,
    write_mp4,
)
from video_gc.decode.frame_table import packets
from video_gc.decode.open import open_video
from video_gc.decode.pyav import Reader
from video_gc.decode.reader import DecodeError

STEP = BASE // RATE
CARRIED: dict[str, tuple[str, ...]] = {
    "mp4": ("h264", "hevc", "mpeg2", "mpeg4", "vp9", "av1", "ffv1"),
    "mkv": ("h264", "hevc", "mpeg2", "mpeg4", "vp8", "vp9", "av1", "ffv1"),
    "ts": ("h264", "hevc", "mpeg2"),
}
"""what a container can hold as it is"""
GAPS = st.sampled_from([0, 0, 1, STEP, 40 * STEP])
UNHEALTHY = [HealthCheck.function_scoped_fixture, HealthCheck.too_slow]


def sequential(path: Path) -> list[np.ndarray]:
    """All that comes of the packets in turn; after an error decoding goes on, as players do."""
    frames = []
    with av.open(str(path)) as container:
        packets = [packet for packet in container.demux(video=0) if packet.size]
        for packet in [*packets, None]:
            with suppress(av.FFmpegError):
                frames += container.streams.video[0].decode(packet)
        return [frame.to_ndarray(format="rgb24") for frame in frames]


def check(path: Path, draw: Callable[[int], list[int]], *, long: bool, window: int) -> bool:
    """Compare some frames, all at once and one by one. Returns whether the table was exact."""
    expected = sequential(path)
    if not expected:
        reject()
    with pytest.MonkeyPatch.context() as patch:
        if long:
            patch.setattr(packets, "LONG", 0.0)
        patch.setattr(packets, "WINDOW", window)
        with open_video(path, damage="report") as reader:
            assert isinstance(reader, Reader)
            assert len(reader) == len(expected)
            for index in draw(len(expected)):
                assert number_of(reader.read([index])[0]) == number_of(expected[index])
                np.testing.assert_array_equal(reader.read([index])[0], expected[index])
            np.testing.assert_array_equal(reader.read(range(len(reader))), np.stack(expected))
            assert len(reader.times) == len(reader)
            assert (np.diff(reader.times) >= 0).all()
            return reader._packets.exact


def with_gap(samples: list[Sample], number: int, gap: int) -> list[Sample]:
    """What is shown from frame `number` on comes later; it is decoded as early as before."""
    pts = [sample.pts + (sample.pts >= number * STEP) * gap for sample in samples]
    early = min(sample.dts for sample in samples)
    return [
        replace(sample, pts=shown, dts=nth + early)
        for sample, shown, nth in zip(samples, pts, sorted(pts), strict=True)
    ]


def later(sample: Sample, ticks: int) -> Sample:
    return replace(sample, pts=sample.pts + ticks, dts=sample.dts + ticks)


@st.composite
def streams(draw: st.DrawFn, suffix: str) -> tuple[str, list[Sample]]:
    """One recording or two that are joined, with stamps and key flags that lie or not."""
    names = [n for n in sorted(ENCODINGS) if n.startswith(CARRIED[suffix])]
    name = draw(st.sampled_from(names))
    try:
        samples = list(encoded(name)[1])
        second = list(encoded(name, 24, 16)[1])
    except av.codec.codec.UnknownCodecError:
        assume(False)
    samples = with_gap(samples, draw(st.integers(1, 23)), draw(GAPS))
    if draw(st.booleans()):
        late = draw(st.sampled_from([-20, -3, -1, 0, 0, 0, 1, 6])) * STEP + draw(
            st.sampled_from([0, 0, STEP // 2])
        )
        end = max(sample.pts for sample in samples) + STEP + late
        samples += [later(s, end) for s in with_gap(second, draw(st.integers(1, 15)), draw(GAPS))]
    shown = sorted(range(len(samples)), key=lambda at: samples[at].pts)
    twins = st.lists(st.integers(1, len(samples) - 1), min_size=1, max_size=2)
    for nth in draw(st.one_of(st.just([]), st.just([]), twins)):  # two share a stamp
        samples[shown[nth]] = replace(samples[shown[nth]], pts=samples[shown[nth - 1]].pts)
    order = draw(st.sampled_from(["true", "true", "true", "decoding", "swapped"]))
    if order == "decoding":  # as from AVI, which has no other stamps
        samples = [replace(sample, pts=sample.dts) for sample in samples]
    elif order == "swapped":
        at = draw(st.integers(1, len(samples) - 2))
        one, two = samples[at : at + 2]
        samples[at : at + 2] = replace(one, pts=two.pts), replace(two, pts=one.pts)
    keys = {at for at, sample in enumerate(samples) if sample.key}
    flags = draw(st.sampled_from(["true", "true", "all", "first", "more", "wrong"]))
    if flags == "all":
        keys = set(range(len(samples)))
    elif flags == "first":
        keys = {0}
    elif flags in ("more", "wrong"):
        false = draw(st.sets(st.integers(1, len(samples) - 1), max_size=3))
        keys = {0} | false | (keys if flags == "more" else set())
    return name, with_keys(samples, keys)


def rising(samples: list[Sample]) -> list[Sample]:
    """With stamps of decoding that a muxer takes."""
    made, last = list[Sample](), samples[0].dts - 1
    for sample in samples:
        last = max(last + 1, sample.dts)
        made.append(replace(sample, dts=last))
    return made


def make(folder: Path, suffix: str, name: str, samples: list[Sample], empty: set[int]) -> Path:
    stream, _ = encoded(name)
    path = folder / f"odd.{suffix}"
    if suffix == "mp4":
        samples = rising(samples)
        for at in sorted(empty, reverse=True):
            before = samples[at]
            samples.insert(at + 1, replace(before, data=b"", dts=before.dts, key=False))
        return write_mp4(path, stream, samples)
    if suffix == "mkv":
        samples = [later(sample, BASE) for sample in samples]
        # stamps of decoding are not stored, and need only please the muxer
        return mux(path, stream, [replace(s, dts=at) for at, s in enumerate(samples)])
    # each recording into a file of its own, and one behind the other
    cuts = [at for at in range(1, len(samples)) if samples[at].dts <= samples[at - 1].dts]
    parts = []
    for begin, end in zip([0, *cuts], [*cuts, len(samples)], strict=True):
        part = folder / f"part{begin}.ts"
        moved = [later(s, 2 * BASE) for s in samples[begin:end]]
        parts.append(mux(part, stream, moved))
    path.write_bytes(b"".join(part.read_bytes() for part in parts))
    return path


def try_one(folder: Path, suffix: str, data: st.DataObject) -> None:
    name, samples = data.draw(streams(suffix))
    empty = data.draw(st.sets(st.integers(0, len(samples) - 1), max_size=3))
    try:
        path = make(folder, suffix, name, samples, empty if suffix == "mp4" else set())
        sequential(path)
    except av.FFmpegError:
        assume(False)  # nobody could read it
    exact = check(
        path,
        lambda count: data.draw(st.lists(st.integers(0, count - 1), min_size=1, max_size=4)),
        long=data.draw(st.booleans()),
        window=data.draw(st.sampled_from([1, 4000, 1 << 24])),
    )
    event(f"{name}: {'table' if exact else 'counted'}")


@pytest.mark.parametrize("long", [False, True])
def test_what_an_index_says_is_verified(tmp_path: Path, long: bool) -> None:
    """Two equal stamps, samples of no bytes, flags that lie; an index that is sound stays in use."""
    stream, sound = encoded("h264_b")
    twin = [replace(s, pts=sound[3].pts) if at == 4 else s for at, s in enumerate(sound)]
    still = [replace(s, dts=s.dts - (at == 9) * STEP) for at, s in enumerate(sound)]
    empty = [*sound[:6], replace(sound[5], data=b"", dts=sound[5].dts + 1), *sound[6:]]
    flagged = with_keys(list(sound), set(range(len(sound))))
    moved = with_keys(list(sound), {0, 12})
    cases = {"sound": sound, "twin": twin, "still": still, "empty": empty, "flagged": flagged}
    for name, samples in {**cases, "moved": moved}.items():
        path = write_mp4(tmp_path / f"{name}.mp4", stream, list(samples))
        exact = check(path, lambda count: list(range(count)), long=long, window=1)
        assert exact is (name != "twin")


@pytest.mark.parametrize("name", ["ffv1", "msmpeg4", "h264_b"])
def test_a_file_that_begins_in_the_middle_is_decoded_afresh_each_time(
    tmp_path: Path, name: str
) -> None:
    """Decoders that keep pictures when they are flushed would show those of an earlier read."""
    stream, samples = encoded(name)
    later_ones = [later(replace(s, dts=at), BASE) for at, s in enumerate(samples[3:])]
    path = mux(tmp_path / "middle.mkv", stream, later_ones)
    for long in (False, True):
        assert not check(path, lambda count: [count - 1, 0, 1], long=long, window=1)


def test_many_reads_hold_no_more_files_open(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(packets, "LONG", 0.0)
    stream, samples = encoded("h264_b")
    twin = [replace(s, pts=samples[3].pts) if at == 4 else s for at, s in enumerate(samples)]
    with open_video(write_mp4(tmp_path / "twin.mp4", stream, twin), damage="report") as reader:
        open_files = []
        for index in (0, 5, 9, 2):
            reader.read([index])
            open_files.append(len(os.listdir("/proc/self/fd")))
    assert len({*open_files}) == 1


def test_a_long_file_that_breaks_its_promise_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Samples without a picture in them, of which the index knows nothing."""
    monkeypatch.setattr(packets, "LONG", 0.0)
    stream, sound = encoded("h264_no_b")
    mark = b"\0\0\0\2\x09\x30"
    samples = [
        replace(s, data=mark, key=False) if at in (20, 22) else s for at, s in enumerate(sound)
    ]
    path = write_mp4(tmp_path / "marks.mp4", stream, samples)
    expected = np.stack(sequential(path))
    with open_video(path, damage="report") as reader:
        assert len(reader) == 24
        np.testing.assert_array_equal(reader.read([3])[0], expected[3])
        with pytest.raises(DecodeError, match=r"index promises 24 frames, and 22 can be decoded"):
            reader.read([23])
        assert len(reader) == len(reader.times) == 22
        np.testing.assert_array_equal(reader.read(range(22)), expected)


@pytest.mark.parametrize("suffix", ["mp4", "mkv", "ts"])
@given(data=st.data())
@settings(max_examples=8, derandomize=True, suppress_health_check=UNHEALTHY)
def test_frames_are_those_of_a_sequential_decode(
    tmp_path: Path, suffix: str, data: st.DataObject
) -> None:
    try_one(tmp_path, suffix, data)


@pytest.mark.slow
@pytest.mark.parametrize("suffix", ["mp4", "mkv", "ts"])
@given(data=st.data())
@settings(max_examples=400, derandomize=True, suppress_health_check=UNHEALTHY)
def test_many_more_files_give_those_frames(
    tmp_path: Path, suffix: str, data: st.DataObject
) -> None:
    try_one(tmp_path, suffix, data)
