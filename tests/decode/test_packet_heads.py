"""What is read from the first bytes of packets is what encoders say of them."""

from collections.abc import Callable
from pathlib import Path

import av
import pytest

from tests.decode.rewrite import CODED_APART, encoded
from tests.decode.videos import MAKERS
from video_gc.decode.ffmpeg.container import stream_packets
from video_gc.decode.frame_table.packet_heads import READERS, PacketHeads


@pytest.mark.parametrize("name", sorted(set(MAKERS) - {"h264_intra_refresh.mp4"}))
def test_starts_and_turns_are_those_of_the_encoder(kind: Callable[[str], Path], name: str) -> None:
    with av.open(str(kind(name))) as container:
        stream = container.streams.video[0]
        starts = PacketHeads(stream.codec_context)
        packets = list(stream_packets(container, stream))
        found = [starts.read(packet) for packet in packets]
    assert starts.known
    assert [start for start, _, _ in found] == [packet.is_keyframe for packet in packets]
    assert {shows for _, shows, _ in found} == {1}
    stamped = not name.endswith((".avi", ".mpg"))  # AVI has stamps of decoding, PS equal ones
    turns = [
        turn
        for packet, (_, _, turn) in sorted(zip(packets, found, strict=True), key=lambda p: p[0].pts)
        if turn is not None
    ]
    assert not stamped or turns == sorted(turns)
    if name.endswith("_b.mp4") or name in ("hevc.mp4", "mpeg2.mpg", "h264_open.mp4"):
        assert len(turns) == len(packets)


def test_intra_refresh_can_begin_at_its_first_picture_only(kind: Callable[[str], Path]) -> None:
    with av.open(str(kind("h264_intra_refresh.mp4"))) as container:
        stream = container.streams.video[0]
        starts = PacketHeads(stream.codec_context)
        packets = list(stream_packets(container, stream))
        assert [starts.read(packet)[0] for packet in packets] == [True] + 65 * [False]
        assert sum(packet.is_keyframe for packet in packets) > 3


@pytest.mark.parametrize("name", CODED_APART)
def test_other_codecs_too(name: str) -> None:
    stream, samples = encoded(name)
    starts = PacketHeads(stream.codec_context)
    for sample in samples:
        start, shows, _ = starts.read(av.Packet(sample.data))
        assert (start, shows) == (sample.key, 1)


def test_frames_that_are_not_shown() -> None:
    """Bits by hand, from the codecs' specifications."""

    def read(codec: str, packet: bytes) -> tuple[bool | None, int | None]:
        return READERS[codec](memoryview(packet))[:2]

    key = b"\x10\x02\x00\x9d\x01\x2a"
    assert read("vp8", key) == (True, 1)
    assert read("vp8", b"\x00" + key[1:]) == (True, 0)  # show_frame is bit 4
    assert read("vp8", b"\x01\x02\x00\x00\x00\x00") == (False, 0)
    shown, hidden, again = b"\x86\x00\x00", b"\x84\x00\x00", b"\x88"
    assert read("vp9", b"\x82\x49\x83") == (True, 1)
    assert [read("vp9", one) for one in (shown, hidden, again)] == [(False, n) for n in (1, 0, 1)]
    index = b"\xc1\x03\x03\xc1"  # two frames of 3 bytes
    assert read("vp9", hidden + shown + index) == (False, 1)
    assert read("vp9", shown + shown + index) == (False, None)
    mark, header = b"\x12\x00", b"\x0a\x01\x00"
    assert read("av1", mark + header + b"\x32\x02\x10\x00") == (True, 1)
    assert read("av1", mark + b"\x32\x02\x10\x00") == (False, 1)  # no sequence header
    assert read("av1", mark + b"\x32\x02\x20\x00") == (False, 0)  # an inter frame, not shown
    assert read("av1", mark + b"\x1a\x01\x80") == (False, 1)  # show_existing_frame
    assert read("av1", mark + b"\x32\x09\x10") == (None, 1)  # longer than the packet
