"""Videos with bytes changed, read in a process under watch, against a plain sequential decode."""

import hashlib
import random
import struct
import traceback
from collections.abc import Callable
from contextlib import ExitStack
from fractions import Fraction
from pathlib import Path
from shutil import copytree, rmtree
from typing import Any

import av
import numpy as np

from tests.decode.hostile import HLS, OTHERS, Opened, forbid_sockets
from tests.decode.mutate import PACKET
from tests.forked import limit_memory
from video_gc.decode.ffmpeg.container import opened, stream_packets
from video_gc.decode.ffmpeg.graph import FilterGraph
from video_gc.decode.ffmpeg.presentation import pixel_shape, presentation_of
from video_gc.decode.frame_table import packets
from video_gc.decode.open import open_video
from video_gc.decode.reader import DecodeError, VideoReader

MOST = 1 << 19
"""max_pixels of the mutated files"""
SECONDS = 30.0
"""time_limit of the same; the machine may be busy"""
BOXES = b"ftyp moov mvhd trak tkhd edts elst mdia mdhd hdlr minf stbl stsd avcC hvcC av1C esds stts ctts"
BOXES += b" stss stsc stsz stco mvex trex moof mfhd traf tfhd tfdt trun mdat colr pasp fiel btrt"
TEXTS = [
    *OTHERS.values(),
    HLS.format("", "neighbour.ts"),
    "ffconcat version 1.0\nfile neighbour.ts\n",
]
LARGE = (0, 1, 0x7FFF, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFF0, 0xFFFFFFFF)


def mutated(content: bytes, suffix: str, seed: str) -> bytes:
    """The content with one kind of harm done to it, or two."""
    draw, changed = random.Random(seed), bytearray(content)
    kinds = [_bytes, _bytes, _head, _number, _number, _block, _block, _block, _end, _text]
    kinds += [_box] * 5 if b"ftyp" in content[:64] else []
    kinds += [_packets] * 5 if suffix in PACKET else []
    for kind in draw.choices(kinds, k=draw.choice((1, 1, 2))):
        kind(changed, draw, suffix)
        changed = changed or bytearray(1)
    return bytes(changed)


def _bytes(content: bytearray, draw: random.Random, _suffix: str) -> None:
    for _ in range(draw.choice((1, 5, 40))):
        content[draw.randrange(len(content))] = draw.randrange(256)


def _head(content: bytearray, draw: random.Random, _suffix: str) -> None:
    """Bits near the start, where most that describes the whole file lies, or the end."""
    reach = min(draw.choice((64, 1024)), len(content))
    for _ in range(draw.choice((1, 3, 10))):
        place = draw.randrange(reach)
        content[place if draw.random() < 0.8 else -1 - place] ^= 1 << draw.randrange(8)


def _number(content: bytearray, draw: random.Random, _suffix: str) -> None:
    """A large number where a size may be."""
    place = draw.randrange(min(draw.choice((1024, len(content))), len(content)))
    _write(content, place, draw.choice((">I", "<I", ">H", "<H")), draw.choice(LARGE))


def _block(content: bytearray, draw: random.Random, _suffix: str) -> None:
    _harm_blocks(content, draw, draw.choice((1, 16, 512, 4096)), 1)


def _packets(content: bytearray, draw: random.Random, suffix: str) -> None:
    """The same with whole packets of a transport or program stream."""
    size = PACKET[suffix]
    _harm_blocks(content, draw, size * draw.choice((1, 1, 7)), size)


def _harm_blocks(content: bytearray, draw: random.Random, length: int, step: int) -> None:
    """A block at a multiple of `step` is zeroed, removed, repeated or changes places."""
    length = min(length, len(content))
    a, b = (draw.randrange(0, len(content) - length + 1, step) for _ in range(2))
    block = content[a : a + length]
    kind = draw.randrange(4)
    if kind == 0:
        content[a : a + length] = bytes(length)
    elif kind == 1:
        del content[a : a + length]
    elif kind == 2:
        content[b:b] = block
    else:
        content[a : a + length], content[b : b + length] = content[b : b + length], block


def _end(content: bytearray, draw: random.Random, _suffix: str) -> None:
    del content[draw.randrange(1, len(content) + 1) :]


def _text(content: bytearray, draw: random.Random, _suffix: str) -> None:
    """A playlist before the video, or over its beginning."""
    text = draw.choice(TEXTS).encode()
    content[: draw.choice((0, len(text)))] = text


def _box(content: bytearray, draw: random.Random, _suffix: str) -> None:
    """The size of a box of MP4, its name, or a number in it, such as an entry of a table."""
    found = [place for box in BOXES.split() if (place := content.find(box)) >= 4]
    place = draw.choice(found)
    size = struct.unpack_from(">I", content, place - 4)[0]
    kind = draw.randrange(4)
    if kind == 0:
        _write(content, place - 4, ">I", draw.choice((*LARGE, size - 1, size + 1, size * 2)))
    elif kind == 1:
        content[place : place + 4] = draw.choice(BOXES.split())
    else:
        inside = place + 4 + 4 * draw.randrange(max(min(size, 4096) // 4 - 2, 1))
        _write(content, inside, ">I", draw.choice((*LARGE, draw.randrange(100))))


def _write(content: bytearray, place: int, form: str, value: int) -> None:
    size = struct.calcsize(form)
    content[place : place + size] = struct.pack(form, value % (1 << 8 * size))


def attack(
    folder: Path, kinds: list[Path], numbers: range, send: Callable[[tuple[str, int, str]], None]
) -> None:
    """Read mutants of each kind, a file or a folder of pictures; send what came of each.

    For a process of its own, whose memory it limits, and which is killed when it asks for a socket.
    A mutant that breaks the promise, or the process, stays in `folder`.
    """
    for path in kinds:  # what is imported late is imported before the limit
        assert outcome(path, 0) == "equal", path
    folder.mkdir()
    watch = Opened(folder)
    (folder / "neighbour.ts").write_bytes(b"G" + bytes(187))
    forbid_sockets()
    limit_memory()
    for number in numbers:
        packets.LONG = 0.0 if number % 2 else 60.0
        for original in kinds:
            path = _mutant(original, folder / f"{number}_{original.name}", number)
            watch.names()
            try:
                found = outcome(path, number)
                if found == "memory":  # FFmpeg says so of sizes that are absurd, too
                    limit_memory(8)
                    assert outcome(path, number) == "memory", "it needs more memory"
                    limit_memory()
                others = watch.names() - {path.name}
                assert not others, others
                rmtree(path) if path.is_dir() else path.unlink()
            except Exception:
                found = traceback.format_exc()
            send((original.name, number, found))


def _mutant(original: Path, path: Path, number: int) -> Path:
    seed, changed = f"{original.name} {number}", original
    if original.is_dir():
        changed = random.Random(seed).choice(sorted(original.iterdir()))
        copytree(original, path)
    target = path / changed.name if original.is_dir() else path
    target.write_bytes(mutated(changed.read_bytes(), changed.suffix, seed))
    return path


class OtherFrameError(AssertionError):
    """A frame that is not reported is not the one that a sequential decode gives."""


def outcome(path: Path, how: int) -> str:
    """What comes of reading a file: "equal", "damaged" (the rest is equal), an error's name, or
    "unsteady" where FFmpeg itself gives this, then that: some decoders show memory of earlier frames.

    how: as a path, its bytes or an open file. Raises AssertionError where the promise is broken, and
    whatever is no DecodeError.
    """
    try:
        return _outcome(path, how)
    except OtherFrameError:
        if sequential(path) == sequential(path, hold=True) == sequential(path, again=True):
            raise
        return "unsteady"


def _outcome(path: Path, how: int) -> str:
    with ExitStack() as stack:

        def open_as(damage: str) -> VideoReader:
            source: Any = path
            if path.is_file() and how % 3:
                source = (
                    path.read_bytes() if how % 3 == 1 else stack.enter_context(open(path, "rb"))
                )
            options: dict[str, Any] = {"time_limit": SECONDS, "max_pixels": MOST}
            return stack.enter_context(open_video(source, damage=damage, **options))

        try:
            reader = open_as("report")
            _check_shape(reader)
        except DecodeError as error:
            return _name(error)
        expected, problem, found = sequential(path), "", list[tuple[int, bytes]]()
        try:
            found += [(at, digest(frame)) for at, frame in reader.frames(range(len(reader)))]
        except DecodeError as error:
            problem = _name(error)
        if not (problem or reader.damaged) and [one for _, one in found] != expected:
            raise OtherFrameError(f"of {len(found)} frames, in turn {len(expected)}")
        # where a frame is missing, a decoder may give those around it in another order
        known = set(expected)
        for at, one in found:
            if at not in reader.damaged and one not in known:
                raise OtherFrameError(f"{at} of {len(reader)} frames, {len(expected)} in turn")
        strict = open_as("raise")
        for part in (2, 1, 3):
            last = len(strict) - 1
            indices = [last, last] if part == 1 else [last // part, 0, last // part]
            try:
                frames = strict.read(indices)
            except DecodeError as error:
                problem = _name(error)
                continue
            for at, frame in zip(indices, frames, strict=True):
                one = digest(frame)
                sound = not problem and not reader.damaged
                if one not in known or (sound and one != expected[at]):
                    raise OtherFrameError(f"{at} in {indices} of {len(strict)} frames")
        return problem or ("damaged" if reader.damaged else "equal")


def sequential(
    path: Path, *, hold: bool = False, again: bool = False, square: bool = False
) -> list[bytes]:
    """Digests of all frames of a file, or of the pictures of a folder, decoded in turn.

    hold: with every frame in other memory. again: the second time over, in memory of the first.
    square: whatever the file says of its pixels, as pictures of a folder are shown.
    """
    if path.is_dir():
        return [_picture(file) for file in sorted(path.iterdir())]
    found, held = list[bytes](), list[Any]()
    with opened(path, max_pixels=MOST) as (container, stream):
        context, shown = stream.codec_context, None
        context.thread_count, context.thread_type = 1, "NONE"
        inputs = [*stream_packets(container, stream), None]
        for _ in range(1 + again):
            found.clear()
            context.flush_buffers()
            for packet in inputs:
                try:
                    frames = context.decode(packet)
                except (av.FFmpegError, ValueError):
                    continue
                held += frames if hold else []
                for frame in frames:
                    shape = () if square else (pixel_shape(stream),)
                    shown = shown or presentation_of(frame, *shape)
                    graph = FilterGraph(frame, stream.time_base or Fraction(1, 25), shown)
                    found.append(digest(graph.convert(frame)))
    return found


def _picture(file: Path) -> bytes:
    """Of a picture's file; nothing where there is none in it."""
    try:
        return sequential(file, square=True)[0]
    except (DecodeError, LookupError):
        return b""


def digest(frame: np.ndarray) -> bytes:
    return hashlib.blake2b(repr(frame.shape).encode() + frame.tobytes()).digest()


def _check_shape(reader: VideoReader) -> None:
    times = reader.times
    assert times.shape == (len(reader),), times.shape
    assert len(reader) > 0
    assert min(reader.size) > 0, reader.size
    assert times[0] == 0, times
    assert np.isfinite(times).all(), times
    assert (np.diff(times) >= 0).all(), times


def _name(error: DecodeError) -> str:
    """Of an error, which must name the file; "memory" where it is about that."""
    assert str(error).startswith(f"{error.path}: "), error
    return "memory" if "memory" in error.reason.lower() else type(error).__name__
