"""How a data set reads its videos: decoder, device, RGB or planes, clips or all views."""

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from video_gc.data.index import VideoIndex
from video_gc.data.sampling import ClipConfig, FrameRange, frame_range
from video_gc.data.shards.packed import PackedVideo
from video_gc.data.shards.store import StoreError
from video_gc.decode.frames_folder import RATE_FILE
from video_gc.decode.open import open_video
from video_gc.decode.reader import MAX_PIXELS, Box, Colour, DecodeError, Request, VideoReader

MATRICES = ("bt601", "bt709", "bt2020", "smpte240m")
"""Values of `Colour.matrix`; a batch contains their indices."""
RATES_READ = 32
RATES_DIFFER, MOST = 0.05, 0.9
"""A data set has one frame rate if this share of its videos differs less from the median."""


@dataclass(frozen=True)
class Decoding:
    """Decoder, device and form of the frames, from a valid `DataConfig`.

    Raises ValueError if the device is missing, or for options that exclude each other.
    """

    decoder: str = "auto"
    device: str = "cpu"
    """cpu or cuda: where frames are decoded, cropped and scaled"""
    transfer: str = "rgb"
    """form in which frames go to the training device: rgb, or yuv (4:2:0 planes, half the bytes)"""
    max_pixels: int = MAX_PIXELS
    """see `open_video`"""

    def __post_init__(self) -> None:
        if self.device == "cuda" and not torch.cuda.is_available():
            raise ValueError("data.decode_device (cuda): there is no CUDA device here; use cpu")
        if self.device == "cuda" and self.transfer == "yuv":
            raise ValueError(
                "data.transfer (yuv) is for frames decoded on the CPU; with "
                "data.decode_device=cuda they are on the device already, use rgb"
            )

    def check_even(self, clip: ClipConfig, *names: str) -> None:
        """Raise ValueError if planes are to be sent and one of these clip sizes is odd."""
        for name in names:
            if self.transfer == "yuv" and getattr(clip, name) % 2:
                pixels = getattr(clip, name)
                raise ValueError(f"clip.{name} ({pixels}) must be even with data.transfer=yuv")

    def clip_bytes(self, frames: int, crop: int) -> int:
        """Bytes of a clip of square frames, `crop` pixels high and wide."""
        return frames * crop * crop * 3 // (2 if self.transfer == "yuv" else 1)

    def check_decoder(self, path: str | os.PathLike[str]) -> None:
        """Test the decoder on a video; ImportError or ValueError if it cannot work here.

        Errors of this file do not matter.
        """
        try:
            self.open(path).close()
        except UnicodeError:  # a ValueError, but of the file
            pass
        except (ImportError, ValueError, StoreError):
            raise
        except Exception:  # of this file; others are read later
            pass

    def open(self, path: str | os.PathLike[str]) -> VideoReader:
        """Open a video; see `open_video`. Raises StoreError for a shard that cannot be read."""
        source = path.open() if isinstance(path, PackedVideo) else path
        return open_video(source, self.decoder, self.device, max_pixels=self.max_pixels)

    def part(
        self, reader: VideoReader, segment: tuple[float, float] | None, *, timed: bool
    ) -> FrameRange:
        """The part of the video in `segment`; frame times are read only if needed.

        Raises DecodeError if the segment lies outside the video.
        """
        if segment is None and not timed:
            return FrameRange(0, len(reader), reader.rate)
        try:
            return frame_range(reader.times, reader.rate, segment)
        except ValueError as error:
            raise DecodeError(reader.path, str(error), decoder=reader.decoder) from error

    def read(self, reader: VideoReader, requests: Sequence[Request]) -> list[np.ndarray | Tensor]:
        """A clip for each request, uint8 (T, H, W, 3) or (T, 3 H / 2, W), all from one decode."""
        if self.device == "cpu":
            return list(reader.read_clips(requests, self.transfer))
        if hasattr(reader, "read_tensors"):
            return list(reader.read_tensors(requests))
        return [torch.from_numpy(clip).to(self.device) for clip in reader.read_clips(requests)]

    def views(
        self, reader: VideoReader, windows: np.ndarray, boxes: Sequence[Box], size: tuple[int, int]
    ) -> Iterator[np.ndarray | Tensor]:
        """Each box of each window, all from one decode; see `stream_views`."""
        if self.device == "cpu":
            for _, view in stream_views(reader, windows, boxes, size, self.transfer):
                yield view
            return
        wanted, places = np.unique(windows, return_inverse=True)
        (frames,) = self.read(reader, [Request(wanted.tolist(), None, size)])
        for window in places.reshape(windows.shape):
            for box in boxes:
                part = frames[:, box.top : box.top + box.height, box.left : box.left + box.width]
                yield part[window.tolist()]

    def colour(self, reader: VideoReader) -> int:
        """`colour_code` of a video's planes; 0 for RGB."""
        return colour_code(reader.colour) if self.transfer == "yuv" else 0


def colour_code(colour: Colour) -> int:
    """A colour as one number, for a batch: twice the matrix's index, plus 1 for full range."""
    return 2 * MATRICES.index(colour.matrix) + colour.full_range


def common_rate(index: VideoIndex, decoding: Decoding) -> float | None:
    """The frame rate of a data set in Hz, from 32 of its videos; None if they differ.

    Unreadable videos do not count, nor folders of images without a rate of their own.
    """
    decoding = replace(decoding, device="cpu")  # the rate is a fact of the file
    rates: list[float] = []
    for row in np.unique(np.linspace(0, len(index) - 1, RATES_READ).astype(int)):
        path = index.path(int(row))
        try:
            if path.is_dir() and not os.path.exists(os.path.join(path, RATE_FILE)):
                continue
            with decoding.open(path) as reader:
                rates.append(reader.rate)
        except StoreError:
            raise
        except Exception:  # a file can make decoders raise anything
            continue
    if not rates:
        return None
    middle = float(np.median(rates))
    near = np.abs(np.array(rates) / middle - 1) < RATES_DIFFER
    return round(middle, 3) if near.mean() >= MOST else None


def stream_views(
    reader: VideoReader,
    windows: np.ndarray,
    boxes: Sequence[Box],
    size: tuple[int, int],
    form: str = "rgb",
) -> Iterator[tuple[int, np.ndarray]]:
    """Yield (window, view) with view uint8 (T, h, w, 3), for each box of each window.

    windows: frame indices (K, T). boxes: parts of the picture, scaled to `size`. form: "yuv" for
    4:2:0 planes (T, 3 h / 2, w), with even boxes and size.
    A window is yielded as soon as its last frame is decoded, and a frame is dropped after the last
    window that needs it, so memory depends on the overlap of windows, not on their number.
    """
    reader.check_clip(windows.shape[1], size)
    ends = windows.max(axis=1)
    order = np.argsort(ends, kind="stable")
    # the first frame that each window or a later one needs
    oldest = np.minimum.accumulate(windows[order].min(axis=1, initial=len(reader))[::-1])[::-1]
    held: dict[int, np.ndarray] = {}
    wanted = np.unique(windows)
    done = 0
    for index, frame in reader.frames(wanted.tolist(), size=size, form=form):
        held[index] = frame
        while done < len(order) and ends[order[done]] == index:
            window = int(order[done])
            for box in boxes:  # cut before joining: a very wide picture is large
                parts = [crop_frames(held[i][None], box, form) for i in windows[window]]
                yield window, np.concatenate(parts)
            done += 1
            needed = oldest[done] if done < len(order) else index + 1
            held = {i: kept for i, kept in held.items() if i >= needed}


def crop_frames(frames: np.ndarray, box: Box, form: str = "rgb") -> np.ndarray:
    """The part of uint8 frames (T, H, W, 3), or of planes (T, 3 H / 2, W), inside `box`."""
    if form == "rgb":
        return frames[:, box.top : box.top + box.height, box.left : box.left + box.width]
    number, rows, width = frames.shape
    height = rows * 2 // 3
    light = crop_frames(frames[:, :height], box)
    chroma = frames[:, height:].reshape(2 * number, height // 2, width // 2)
    half = Box(box.left // 2, box.top // 2, box.width // 2, box.height // 2)
    chroma = crop_frames(chroma, half).reshape(number, box.height // 2, box.width)
    return np.concatenate([light, chroma], axis=1)
