"""Facts about a video file from its packets, and whether every frame can be decoded."""

import hashlib
import os
from dataclasses import dataclass, replace
from pathlib import Path

import av
import numpy as np

from video_gc.decode.ffmpeg.container import opened, stream_packets
from video_gc.decode.ffmpeg.source import resolved
from video_gc.decode.open import open_video
from video_gc.decode.reader import DecodeError, NoVideoError, VideoReader
from video_gc.subprocess_call import heartbeat

CHUNK = 1 << 20  # bytes
THUMB = (32, 32)
"""(height, width) of frames before they are hashed."""
STATUSES = ("ok", "damaged", "missing", "no-video", "short")


@dataclass(frozen=True, kw_only=True)
class VideoFacts:
    """A video file in numbers."""

    status: str = "ok"
    """ok, damaged (some frame cannot be trusted), missing, no-video, or short"""
    cause: str = ""
    """why it is not ok"""
    frames: int = 0
    duration: float = 0.0
    """seconds, to the end of the last frame"""
    rate: float = 0.0
    """mean frame rate, Hz"""
    width: int = 0
    height: int = 0
    """pixels, as shown"""
    codec: str = ""
    keyframe_mean: float = 0.0
    """mean distance of key frames, frames"""
    keyframe_max: int = 0
    """largest distance of key frames, frames"""
    bytes: int = 0
    mtime: int = 0
    """modification time, ns since 1970"""
    content: str = ""
    """blake2b (16 bytes, hex) of the file"""
    pictures: str = ""
    """blake2b (16 bytes, hex) of the number of frames and all frames at 32×32: equal for the same
    stream in another container; comparable on one machine only, because scaling may round otherwise
    elsewhere"""


def examine(path: str | os.PathLike[str], *, time_limit: float = 60.0) -> VideoFacts:
    """Read and decode the whole file: its facts, hashes and problems.

    time_limit: most seconds for a new frame; then the file counts as damaged.
    Does not raise for an unreadable file: see `status` and `cause`.
    """
    path = Path(path)
    try:
        resolved(path)  # opening a pipe would wait for a writer
        size, mtime = stamp(path)
        facts = VideoFacts(bytes=size, mtime=mtime, content=hash_file(path))
    except FileNotFoundError:
        return VideoFacts(status="missing", cause="no such file")
    except OSError as error:
        return VideoFacts(status="damaged", cause=error.strerror or str(error))
    except DecodeError as error:
        return VideoFacts(status="damaged", cause=error.reason)
    try:
        with open_video(path, damage="report", time_limit=time_limit) as reader:
            heartbeat()
            found = _facts(reader, path)
            facts = replace(found, bytes=size, mtime=mtime, content=facts.content)
            return _decode_all(reader, facts)
    except NoVideoError as error:
        return replace(facts, status="no-video", cause=error.reason)
    except DecodeError as error:
        return replace(facts, status="damaged", cause=error.reason)


def stamp(path: Path) -> tuple[int, int]:
    """Size in bytes, and modification time in ns since 1970, within 64 bits (to 2262).

    For a folder of frames: the size of all files in it. Raises FileNotFoundError.
    """
    status = path.stat()
    size = sum(file.stat().st_size for file in _files(path)) if path.is_dir() else status.st_size
    return size, max(-(2**63), min(status.st_mtime_ns, 2**63 - 1))


def _facts(reader: VideoReader, path: Path) -> VideoFacts:
    height, width = reader.size
    facts = VideoFacts(
        frames=len(reader),
        duration=float(reader.times[-1]) + 1 / reader.rate,
        rate=reader.rate,
        width=width,
        height=height,
        codec=reader.codec,
    )
    keys, total, promised = _keyframes(path)
    if total:
        starts = sorted({0, *keys})  # a trimmed file may hide its key frame
        longest = int(np.diff([*starts, total]).max())
        facts = replace(facts, keyframe_mean=total / len(starts), keyframe_max=longest)
    if total < promised:
        cause = f"ends after {total} of {promised} frames (the file is cut off)"
        facts = replace(facts, status="damaged", cause=cause)
    return facts


def _decode_all(reader: VideoReader, facts: VideoFacts) -> VideoFacts:
    digest = hashlib.blake2b(str(facts.frames).encode(), digest_size=16)
    for _, frame in reader.frames(range(facts.frames), size=THUMB):
        digest.update(frame.tobytes())
        heartbeat()
    facts = replace(facts, pictures=digest.hexdigest())
    if facts.status != "ok" or not reader.damaged:  # already found in the packets
        return facts
    kinds = list(reader.damaged.values())
    counts = [(kind, kinds.count(kind)) for kind in ("concealed", "missing", "displaced")]
    parts = ", ".join(f"{number} {kind}" for kind, number in counts if number)
    cause = f"{parts} of {facts.frames} frames, the first is {min(reader.damaged)}"
    return replace(facts, status="damaged", cause=cause)


def _keyframes(path: Path) -> tuple[list[int], int, int]:
    """Positions of the key frames among the shown packets, the number of shown packets, and the
    number of frames promised by the file's index (0: unknown)."""
    keys: list[int] = []
    shown = promised = 0
    if path.is_dir():  # of pictures: each is a key frame
        return keys, shown, promised
    try:
        with opened(path) as (container, stream):
            if "mp4" in container.format.name:  # it lists all frames; other formats guess
                promised = sum(e.size > 0 and not e.is_discard for e in stream.index_entries)
            for packet in stream_packets(container, stream):
                if not packet.is_discard:
                    if packet.is_keyframe:
                        keys.append(shown)
                    shown += 1
    except (DecodeError, av.FFmpegError, ValueError):
        pass  # decoding finds and reports the damage
    return keys, shown, promised


def hash_file(path: Path) -> str:
    """blake2b (16 bytes, hex) of a file, or of all files in a folder of frames. Raises OSError."""
    digest = hashlib.blake2b(digest_size=16)
    for file in _files(path) if path.is_dir() else [path]:
        with file.open("rb") as stream:
            while chunk := stream.read(CHUNK):
                digest.update(chunk)
                heartbeat()
    return digest.hexdigest()


def _files(folder: Path) -> list[Path]:
    return sorted(file for file in folder.iterdir() if file.is_file())
