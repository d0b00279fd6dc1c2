"""The floor, our readers, and other ways to get the same frames.

Each takes a video and a sample, opens the file, and returns the clips. One decoder thread. The
peers are used as in their documentation, and get torchvision's crop.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any
from unittest.mock import patch

import av
import numpy as np
import torch
from torch import Tensor

from benchmarks.parts.videos import Sample, Video, cut
from video_gc.data.reading import stream_views
from video_gc.decode.ffmpeg.packet_decoder import PacketDecoder
from video_gc.decode.open import open_video

MEASURED_VIEWS = 2
"""Number of views decoded as separate data-set items; the rest is extrapolated."""


@dataclass
class Done:
    """The result of one call."""

    clips: list[Any]
    packets: int | None = None
    """that went into the decoder; None if unknown"""
    pictures: int | None = None
    """that came out"""
    share: float = 1.0
    """share of the work done"""


Run = Callable[[Video, Sample], Done]


@dataclass(frozen=True)
class Implementation:
    """One way to read the frames."""

    name: str
    run: Run
    samples: tuple[str, ...] = field(default=("8x8", "32x2", "views"))


def floor(video: Video, sample: Sample) -> Done:
    """Decode every packet from the key frame to the last one needed; convert nothing."""
    with _opened(video.path) as (container, stream):
        packets = [packet for packet in container.demux(stream) if packet.size]
        stamps = [at if p.pts is None else p.pts for at, p in enumerate(packets)]
        shown = [at for at, packet in enumerate(packets) if not packet.is_discard]
        shown.sort(key=stamps.__getitem__)
        keys = [at for at, packet in enumerate(packets) if packet.is_keyframe]
        stretches: list[tuple[int, int]] = []
        for last in sorted(shown[index] for index in sample.wanted):
            first = max((k for k in keys if k <= last and stamps[k] <= stamps[last]), default=0)
            if stretches and first <= stretches[-1][1] + 1:
                first, _ = stretches.pop()
            stretches.append((first, last))
        done = Done([], 0, 0)
        for first, last in stretches:
            stream.codec_context.flush_buffers()
            for packet in (*packets[first : last + 1], None):
                done.pictures += len(stream.codec_context.decode(packet))  # type: ignore[operator]
            done.packets += last + 1 - first  # type: ignore[operator]
    return done


def ours(decoder: str, form: str) -> Run:
    """`open_video` and `read`; views leave one by one, as in testing."""

    def run(video: Video, sample: Sample) -> Done:
        with open_video(video.path, decoder) as reader:
            if sample.scaled:
                boxes, scaled = sample.boxes, sample.scaled
                views = stream_views(reader, sample.windows, boxes, scaled, form)
                return Done([view for _, view in views])
            size = (sample.crop, sample.crop)
            indices, box = sample.windows[0].tolist(), sample.boxes[0]
            return Done([reader.read(indices, crop=box, size=size, form=form)])

    return run


def count_ours(run: Run, video: Video, sample: Sample) -> tuple[int, int]:
    """(packets, pictures) decoded by one of our readers on PyAV, with the first frame."""
    decode, counts = PacketDecoder.decode, [0, 0]

    def counted(self: PacketDecoder, packet: Any, *, wanted: bool = True) -> Any:
        frames, cause = decode(self, packet, wanted=wanted)
        counts[0] += packet is not None
        counts[1] += len(frames)
        return frames, cause

    with patch.object(PacketDecoder, "decode", counted):
        run(video, sample)
    return counts[0], counts[1]


def pyav_from_start(video: Video, sample: Sample, *, turn: bool = False) -> Done:
    """Decode from the start to the last wanted frame, all of them to RGB arrays.

    turn: as a player does; PyAV leaves that to its user.
    """
    wanted = sample.wanted
    arrays: list[np.ndarray] = []
    with _opened(video.path) as (container, stream):
        for frame in container.decode(stream):
            arrays.append(frame.to_ndarray(format="rgb24"))
            if len(arrays) > wanted[-1]:
                break
    quarters = round(frame.rotation / 90) if turn else 0
    chosen = np.stack([np.rot90(arrays[index], quarters) for index in wanted])
    return Done(cut(_channels_first(chosen), wanted, sample), None, len(arrays))


def pyav_seek(video: Video, sample: Sample) -> Done:
    """Seek to the first wanted frame, decode to the last, convert the wanted ones."""
    wanted, arrays, pictures = sample.wanted, [], 0
    with _opened(video.path) as (container, stream):
        begin = stream.start_time or 0
        seconds = float(video.times[wanted[0]])
        container.seek(begin + int(seconds / stream.time_base), stream=stream)
        for frame in container.decode(stream):
            pictures += 1
            at = float((frame.pts - begin) * stream.time_base)
            index = int(np.searchsorted(video.times, at - 2e-3))
            if index in wanted:
                arrays.append(frame.to_ndarray(format="rgb24"))
            if index >= wanted[-1]:
                break
    return Done(cut(_channels_first(np.stack(arrays)), wanted, sample), None, pictures)


def decord_alone(video: Video, sample: Sample) -> Done:
    """`VideoReader.get_batch` of the distinct frames, in order."""
    import decord

    reader = decord.VideoReader(str(video.path), num_threads=1)
    batch = reader.get_batch(sample.wanted)
    if not isinstance(batch, Tensor):  # pytorchvideo sets the bridge to torch for the process
        batch = torch.from_numpy(batch.asnumpy())
    return Done(cut(batch.permute(0, 3, 1, 2), sample.wanted, sample))


def torchcodec_alone(video: Video, sample: Sample) -> Done:
    """`VideoDecoder.get_frames_at` of the distinct frames, in order; exact mode."""
    from torchcodec.decoders import VideoDecoder

    decoder = VideoDecoder(str(video.path), num_ffmpeg_threads=1, seek_mode="exact")
    return Done(cut(decoder.get_frames_at(sample.wanted).data, sample.wanted, sample))


def get_clip(video: Video, sample: Sample) -> Done:
    """pytorchvideo: a time window per clip, with T frames spread over it, float."""
    from pytorchvideo.data.encoded_video import EncodedVideo

    encoded = EncodedVideo.from_path(str(video.path), decode_audio=False, decoder="pyav")
    clips: list[Tensor] = []
    try:
        for window in sample.windows:
            early = 0.25 / video.rate  # a window that ends with the last frame
            begin, end = video.times[window[0]] - early, video.times[window[-1]] + early
            frames = encoded.get_clip(max(begin, 0.0), end)["video"]  # (3, n, H, W)
            spread = torch.linspace(0, frames.shape[1] - 1, len(window)).long()
            frames = frames[:, spread].permute(1, 0, 2, 3)
            one = replace(sample, windows=window[None])
            clips += cut(frames, window.tolist(), one)
    finally:
        encoded.close()
    return Done(clips)


def item_per_view(video: Video, sample: Sample) -> Done:
    """Every view opens the file, decodes all of it to arrays, and takes its frames and its crop."""
    clips: list[Tensor] = []
    pictures = 0
    for number in range(MEASURED_VIEWS):
        with _opened(video.path) as (container, stream):
            arrays = [frame.to_ndarray(format="rgb24") for frame in container.decode(stream)]
        window = sample.windows[number // len(sample.boxes)]
        box = sample.boxes[number % len(sample.boxes)]
        chosen = _channels_first(np.stack([arrays[index] for index in window]))
        one = replace(sample, windows=window[None], boxes=[box])
        clips += cut(chosen, window.tolist(), one)
        pictures += len(arrays)
    share = MEASURED_VIEWS / sample.clips
    return Done(clips, None, round(pictures / share), share)


FLOOR, OURS, OURS_YUV = "floor", "video_gc, pyav, rgb", "video_gc, pyav, yuv"
DECORD, TORCHCODEC, GET_CLIP = "decord alone", "torchcodec alone", "pytorchvideo get_clip"
PER_VIEW = "an item per view, whole file"
IMPLEMENTATIONS = [
    Implementation(FLOOR, floor),
    Implementation(OURS, ours("pyav", "rgb")),
    Implementation(OURS_YUV, ours("pyav", "yuv")),
    Implementation("video_gc, decord", ours("decord", "rgb")),
    Implementation("video_gc, torchcodec", ours("torchcodec", "rgb")),
    Implementation("PyAV from the start", pyav_from_start),
    Implementation("PyAV with a seek", pyav_seek),
    Implementation(DECORD, decord_alone),
    Implementation(TORCHCODEC, torchcodec_alone),
    Implementation(GET_CLIP, get_clip),
    Implementation(PER_VIEW, item_per_view, ("views",)),
]


@contextmanager
def _opened(path: Path) -> Iterator[tuple[Any, Any]]:
    with av.open(path) as container:
        stream: Any = container.streams.best("video")
        stream.thread_type, stream.codec_context.thread_count = "NONE", 1
        yield container, stream


def _channels_first(frames: np.ndarray) -> Tensor:
    return torch.from_numpy(frames).permute(0, 3, 1, 2)
