"""Opening without FFmpeg's probing: the same facts, packets and frames, or it is probed."""

import io
import re
from collections.abc import Callable
from contextlib import closing, suppress
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from av.stream import Discard

from tests.decode.conform import STRETCHED, Plain
from tests.decode.rewrite import BASE, RATE, Sample, mux
from tests.decode.videos import COUNT, encode, kinds, moving_frames, x264
from video_gc.decode import pyav
from video_gc.decode.ffmpeg import container as opening
from video_gc.decode.ffmpeg.container import open_container
from video_gc.decode.ffmpeg.unprobed import CODING, is_probed
from video_gc.decode.frame_table.h264_picture import picture_of, reorder_depth
from video_gc.decode.open import open_video
from video_gc.decode.pyav import Reader
from video_gc.decode.reader import DecodeError

PROBED = {"av1.mp4", "h264_fragmented.mp4", "hevc.mp4", "mpeg4_b.mp4"}
"""the MP4 files whose head does not say everything"""
STREAM = (
    "id index time_base start_time duration frames average_rate guessed_rate base_rate "
    "sample_aspect_ratio disposition"
)
CONTEXT = "name width height profile extradata codec_tag"


def read(source: bytes, *, probe: bool) -> tuple[bool, list[Any], list[Any], Any]:
    """Whether it was probed, facts, packets and frames."""
    container = open_container(source, probe=probe)
    try:
        probed, stream = is_probed(container), container.streams.video[0]
        context = stream.codec_context
        facts = [getattr(stream, name) for name in STREAM.split()]
        facts += [getattr(context, name) for name in CONTEXT.split()]
        facts += [container.duration, container.size, reorder_depth(context)]
        packets = [packet for packet in container.demux(stream) if packet.size]
        rows: list[Any] = [
            (p.pts, p.dts, p.duration, p.pos, p.is_keyframe, p.is_discard, p.is_corrupt, bytes(p))
            for p in packets
        ]
        frames = [frame for p in [*packets, None] for frame in context.decode(p)]
        frame = frames[0]
        shape = stream.sample_aspect_ratio or context.sample_aspect_ratio
        tags = [frame.colorspace, frame.color_range, frame.color_trc, frame.color_primaries]
        return (
            probed,
            [*facts, shape, frame.format.name, *tags],
            rows,
            [f.to_ndarray() for f in frames],
        )
    finally:
        container.close()


def compare(source: bytes) -> bool:
    """Both ways of opening agree; whether probing was left out."""
    probed, *found = read(source, probe=False)
    certain, *expected = read(source, probe=True)
    assert certain
    assert found[:2] == expected[:2]
    assert len(found[2]) == len(expected[2])
    assert all(map(np.array_equal, found[2], expected[2]))
    check_frames(source)
    return not probed


def check_frames(source: bytes) -> None:
    """The reader gives the frames of a plain decode, in both ways of opening."""
    plain = Plain(source)
    count = len(plain.thin)
    pictures = plain.whole(set(range(count)))
    most = STRETCHED if plain.stretched else 0
    for coding in (CODING, b"none"):  # of no file: each is probed
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(opening, "CODING", coding)
            with open_video(source, "pyav", damage="report") as reader:
                assert len(reader) == count
                for index, frame in reader.frames(range(count)):
                    difference = np.abs(frame.astype(np.int16) - pictures[index]).mean()
                    assert difference <= most, (coding, index)


@pytest.mark.parametrize("name", kinds(".mp4", ".mkv", ".ts", ".avi"))
def test_the_facts_and_packets_are_those_of_a_probed_file(
    kind: Callable[[str], Path], name: str
) -> None:
    unprobed = compare(kind(name).read_bytes())
    assert unprobed == (name.endswith(".mp4") and name not in PROBED)


def tagged(stream: Any) -> None:
    """Give it pixels and colours that are not the usual ones."""
    stream.codec_context.sample_aspect_ratio = Fraction(1000, 777)
    stream.codec_context.color_range, stream.codec_context.colorspace = 2, 1
    stream.codec_context.color_trc = stream.codec_context.color_primaries = 1


@pytest.mark.parametrize(
    ("options", "more"),
    [
        ({"keyint": 20, "nal_hrd": "vbr", "vbv_maxrate": 900, "vbv_bufsize": 900}, {}),
        ({"keyint": 20, "tff": 1, "bframes": 2}, {"interlaced": True, "size": (92, 122)}),
        ({"keyint": 20, "overscan": "show", "chromaloc": 2}, {"setup": tagged}),
        ({"keyint": 20, "bframes": 0, "videoformat": "pal"}, {"size": (50, 38)}),
        ({"keyint": 20, "bframes": 5, "b_pyramid": "normal", "b_adapt": 0}, {}),
        ({"keyint": 20}, {"pix_fmt": "yuv422p10le", "size": (54, 42)}),
        ({"keyint": 20}, {"pix_fmt": "gray", "size": (70, 94)}),
    ],
)
def test_every_part_of_a_parameter_set_is_read(
    tmp_path: Path, options: dict[str, Any], more: dict[str, Any]
) -> None:
    assert compare(encode(tmp_path / "a.mp4", "libx264", x264(**options), **more).read_bytes())


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """A short H.264 file."""
    path = tmp_path_factory.mktemp("small") / "small.mp4"
    return encode(path, "libx264", x264(keyint=15, bframes=3), size=(48, 64)).read_bytes()


def test_a_parameter_set_with_a_wrong_bit_deceives_nobody(small: bytes) -> None:
    """FFmpeg patches broken sets in its own way, and takes a size from elsewhere."""
    at = small.index(b"avcC") + 4
    length = 8 + int.from_bytes(small[at + 6 : at + 8], "big")
    unprobed = shown = 0
    for bit in range(8 * length):
        content = bytearray(small)
        content[at + bit // 8] ^= 128 >> bit % 8
        own, right = (outcome(bytes(content), probe=probe) for probe in (False, True))
        assert own[1:] == right[1:], bit
        unprobed += not own[0]
        shown += not own[0] and own[-1] > 0
    assert 20 < shown < unprobed < 4 * length


def outcome(source: bytes, *, probe: bool) -> tuple[Any, ...]:
    """Whether it was probed; of a file with frames its size, depth and shape; frames, number."""
    try:
        container = open_container(source, probe=probe)
    except DecodeError as error:
        return True, str(error), 0
    with closing(container):
        stream = container.streams.video[0]
        context = stream.codec_context
        depth, size = reorder_depth(context), (context.height, context.width)
        frames = list[bytes]()
        for packet in container.demux(stream):
            with suppress(av.FFmpegError):
                frames += [frame.to_ndarray().tobytes() for frame in context.decode(packet)]
        known = [depth, size, stream.sample_aspect_ratio or context.sample_aspect_ratio]
        return is_probed(container), known if frames else [], frames, len(frames)


def test_a_set_that_is_not_alone_is_not_enough(small: bytes) -> None:
    at = small.index(b"avcC") + 4
    record = small[at : at + 8 + int.from_bytes(small[at + 6 : at + 8], "big")]
    assert picture_of(record) == (48, 64, 2)
    assert picture_of(record[:5] + b"\xe2" + record[6:]) is None  # two sets
    assert picture_of(record[:8] + b"\x68" + record[9:]) is None  # a set for pictures (PPS)
    assert picture_of(record[8:]) is None  # no record
    for cut in range(len(record)):
        assert picture_of(record[:cut]) is None


def ue(*numbers: int) -> str:
    """The bits of ue(v) (H.264 9.1)."""
    codes = (f"{number + 1:b}" for number in numbers)
    return "".join("0" * (len(code) - 1) + code for code in codes)


LIMITS = "11" + ue(0, 0, 0, 0, 2, 4)
"""bitstream_restriction_flag, and what follows it: two pictures are held back"""


def record_of(vui: str, order: str = ue(2)) -> bytes:
    """An avcC record with one set of 64×48 pixels, bit by bit (7.3.2.1.1).

    vui: vui_parameters_present_flag, and what follows it. order: pic_order_cnt_type, and the same.
    """
    size = ue(1) + "0" + ue(3, 2)  # max_num_ref_frames and a flag before it
    bits = f"{66:08b}{0xC0:08b}{30:08b}" + ue(0, 0) + order + size + "110" + vui + "1"
    bits += "0" * (-len(bits) % 8)
    unit = b"\x67" + int(bits, 2).to_bytes(len(bits) // 8, "big")
    assert b"\0\0\3" not in unit  # an escape
    return b"\1\x42\xc0\x1e\xff\xe1" + len(unit).to_bytes(2, "big") + unit


def test_a_set_that_is_silent_about_reordering_is_not_enough() -> None:
    nothing = "0" * 8  # shape, overscan, signal, chroma, timing, two buffers, pic_struct
    assert picture_of(record_of("1" + nothing + LIMITS)) == (48, 64, 2)
    assert picture_of(record_of("1" + nothing + "0")) is None
    assert picture_of(record_of("0")) is None


def test_a_set_that_claims_more_than_the_standard_allows_is_not_read() -> None:
    """One of a few bytes could take seconds."""

    def cycle(count: int) -> str:  # pic_order_cnt_type 1
        return ue(1) + "0" + ue(0, 0, count, *[0] * count)

    def buffers(count: int) -> str:
        buffer = ue(count - 1) + "1" * 8 + (ue(0, 0) + "0") * count + "1" * 20
        return "1" + "00000" + "1" + buffer + "0" + "00" + LIMITS

    vui = "1" + "0" * 8 + LIMITS
    assert picture_of(record_of(vui, cycle(255))) == (48, 64, 2)
    assert picture_of(record_of(vui, cycle(256))) is None
    assert picture_of(record_of(buffers(32))) == (48, 64, 2)
    assert picture_of(record_of(buffers(33))) is None


def put_under(head: Path, pictures: Path) -> bytes:
    """An MP4 with the parameter set of a file and the pictures of a raw stream, which has its own
    among them. They are stamped in the order of decoding."""
    step = BASE // RATE
    with av.open(str(head)) as file, av.open(str(pictures)) as raw:
        packets = enumerate(packet for packet in raw.demux(video=0) if packet.size)
        samples = [
            Sample(with_lengths(bytes(packet)), at * step, at * step, packet.is_keyframe)
            for at, packet in packets
        ]
        return mux(head.with_name("put.mp4"), file.streams.video[0], samples).read_bytes()


def with_lengths(coded: bytes) -> bytes:
    """Units with their lengths in place of start codes."""
    units = [unit.rstrip(b"\0") for unit in re.split(b"\0\0\1", coded)[1:]]
    return b"".join(len(unit).to_bytes(4, "big") + unit for unit in units)


B_FRAMES = {"keyint": 22, "bframes": 3, "b_adapt": 0}


@pytest.mark.parametrize("number", [0, 1])
def test_a_set_among_the_pictures_that_is_not_the_heads_is_noticed(
    tmp_path: Path, number: int
) -> None:
    """The head's says that nothing is reordered, and no time stamp contradicts it."""
    head = encode(tmp_path / "head.mp4", "libx264", x264(keyint=22, bframes=0))
    other = encode(tmp_path / "b.h264", "libx264", x264(**B_FRAMES, sps_id=number))
    content = put_under(head, other)
    with closing(open_container(content, probe=False)) as container:
        assert not is_probed(container)
    check_frames(content)


def test_the_heads_set_among_the_pictures_too_changes_nothing(tmp_path: Path) -> None:
    options = x264(keyint=22, bframes=0)
    head = encode(tmp_path / "head.mp4", "libx264", options)
    content = put_under(head, encode(tmp_path / "same.h264", "libx264", options))
    with open_video(content, "pyav") as reader:
        assert isinstance(reader, Reader)
        assert reader._packets.exact
    assert compare(content)


def test_a_file_that_must_be_counted_is_probed_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    head = encode(tmp_path / "head.mp4", "libx264", x264(**B_FRAMES))
    content = put_under(head, encode(tmp_path / "b.h264", "libx264", x264(**B_FRAMES)))
    openings = count_calls(monkeypatch, pyav, "opened")
    with open_video(content, "pyav") as reader:
        assert isinstance(reader, Reader)
        assert not reader._packets.exact
        for index in (5, 30, 0):
            reader.read([index])
    assert len(openings) == 1
    check_frames(content)


def count_calls(monkeypatch: pytest.MonkeyPatch, place: Any, name: str) -> list[Any]:
    """A list to which each call of a function adds its result."""
    results, function = list[Any](), getattr(place, name)

    def call(*given: Any, **named: Any) -> Any:
        results.append(function(*given, **named))
        return results[-1]

    monkeypatch.setattr(place, name, call)
    return results


@pytest.mark.parametrize("name", ["h264_closed.mp4", "h264_fragmented.mp4", "mpeg4.avi"])
def test_these_are_opened_once(
    kind: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    content, openings = kind(name).read_bytes(), count_calls(monkeypatch, opening, "_open")
    open_container(content, probe=False).close()
    assert len(openings) == 1


def test_an_error_between_two_openings_closes_the_first(
    small: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(_container: Any) -> None:
        raise MemoryError

    monkeypatch.setattr(opening, "leave_out_others", fails)
    openings = count_calls(monkeypatch, opening, "_open")
    with pytest.raises(MemoryError):
        open_container(small, probe=False)
    with pytest.raises(AssertionError, match="not open"):
        openings[0].dumps_format()


def with_sound(path: Path, *, sound_first: bool = False, seconds: float = COUNT / 25) -> Path:
    """A video and its sound; all of one stream before the other if `sound_first`."""
    with av.open(str(path), "w") as file:
        video: Any = file.add_stream("libx264", rate=25, options=x264(keyint=15, bframes=2))
        video.width, video.height, video.pix_fmt = 128, 96, "yuv420p"
        video.codec_context.thread_count = 1
        sound: Any = file.add_stream("aac", rate=16000, layout="mono")
        pictures, tones = list[Any](), list[Any]()
        for index, picture in enumerate(moving_frames()):
            frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
            frame.pts, frame.time_base = index, Fraction(1, 25)
            pictures += video.encode(frame)
        pictures += video.encode(None)
        wave = np.random.default_rng(0).uniform(-0.5, 0.5, (1, round(16000 * seconds))).astype("f4")
        tone = av.AudioFrame.from_ndarray(wave, format="fltp", layout="mono")
        tone.sample_rate, tone.pts = 16000, 0
        tones += sound.encode(tone) + sound.encode(None)
        packets = [*pictures, *tones] if not sound_first else [*tones, *pictures]
        for packet in packets:
            file.mux(packet)
    return path


def passes_over_sound(source: bytes) -> bool:
    """Whether an unprobed container gives no packets of sound."""
    with closing(open_container(source, probe=False)) as container:
        assert not is_probed(container)
        assert container.streams.video[0].discard == Discard.default
        return bool(container.streams.audio[0].discard == Discard.all)


@pytest.mark.parametrize("sound_first", [False, True])
def test_a_file_with_sound(tmp_path: Path, sound_first: bool) -> None:
    path = with_sound(tmp_path / "sound.mp4", sound_first=sound_first)
    assert compare(path.read_bytes())
    assert passes_over_sound(path.read_bytes())


def test_the_sound_of_a_long_file_is_not_looked_at(tmp_path: Path) -> None:
    """Only some packets are read, and looking at each sample would take longer than probing."""
    path = with_sound(tmp_path / "sound.mp4", seconds=200.0)
    assert not passes_over_sound(path.read_bytes())
    assert compare(path.read_bytes())


@pytest.mark.parametrize("share", [0.5, 0.9])
def test_a_file_with_sound_that_is_cut_off_has_the_frames_of_a_sequential_decode(
    tmp_path: Path, share: float
) -> None:
    """FFmpeg ends at the first packet that is missing, even if it is one of the sound."""
    whole = with_sound(tmp_path / "sound.mp4")
    fast = tmp_path / "fast.mp4"
    with (
        av.open(str(whole)) as old,
        av.open(str(fast), "w", options={"movflags": "faststart"}) as new,
    ):
        copies = {s.index: new.add_stream_from_template(s) for s in old.streams}
        for packet in old.demux():
            if packet.size:
                packet.stream = copies[packet.stream.index]
                new.mux(packet)
    content = fast.read_bytes()
    cut = content[: int(share * len(content))]
    assert compare(cut)
    assert not passes_over_sound(cut)
    with open_video(cut, damage="report") as reader, av.open(io.BytesIO(cut)) as plain:
        assert 5 < len(reader) == len(list(plain.decode(video=0))) < COUNT


def test_where_sound_is_missing_the_video_ends_as_in_a_sequential_decode(tmp_path: Path) -> None:
    content = bytearray(with_sound(tmp_path / "sound.mp4").read_bytes())
    at = content.rindex(b"stco") + 8  # of the second track
    middle = at + 4 + 4 * (int.from_bytes(content[at : at + 4], "big") // 2)
    content[middle : middle + 4] = b"\x7f\xff\xff\xff"
    assert compare(bytes(content))
    assert not passes_over_sound(bytes(content))
    with av.open(io.BytesIO(content)) as plain:
        assert 5 < len(list(plain.decode(video=0))) < COUNT
