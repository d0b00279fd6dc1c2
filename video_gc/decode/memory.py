"""Frames that are in memory already, read as if they were a video file."""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from video_gc.decode.whole_frames import PictureReader


def as_frames(frames: Any) -> np.ndarray:
    """Frames as they come from cameras and decoders, as uint8 (T, H, W, 3).

    frames: an array or a torch tensor (T, H, W, 3), on any device, or a list or tuple of frames
        (H, W, 3), each an array, a tensor or a PIL image. A tensor (T, 3, H, W), as torchcodec and
        torchvision give it, is turned.

    Raises ValueError for another shape or dtype, frames of several sizes, or none.
    """
    if isinstance(frames, list | tuple):
        parts = [_array(frame) for frame in frames]
        for number, part in enumerate(parts):
            if part.shape != parts[0].shape or part.dtype != parts[0].dtype:
                raise ValueError(
                    f"frames must be of one size and type, but frame {number} is {_about(part)} "
                    f"and the first is {_about(parts[0])}"
                )
        array = np.stack(parts) if parts else np.empty((0, 0, 0, 3), np.uint8)
    else:
        array = _array(frames)
    if array.ndim == 4 and array.shape[-1] != 3 and array.shape[1] == 3:
        array = array.transpose(0, 2, 3, 1)
    if array.dtype != np.uint8 or array.ndim != 4 or array.shape[-1] != 3 or not array.size:
        raise ValueError(f"frames must be uint8 (T, H, W, 3), not {_about(array)}")
    return array


class FrameReader(PictureReader):
    """Frames in memory at `rate` Hz; see VideoReader, and `as_frames` for what is taken.

    Raises ValueError for what is no frames, or a rate that is not above 0.
    """

    decoder, path, codec = "memory", "<frames>", "rawvideo"

    def __init__(self, frames: Any, rate: float = 25.0) -> None:
        frames = as_frames(frames)
        if not 0 < rate < float("inf"):
            raise ValueError(f"the rate of the frames ({rate} Hz) must be above 0")
        self.rate, self.size, self.damaged = rate, (frames.shape[1], frames.shape[2]), {}
        self._frames = frames

    def __len__(self) -> int:
        return len(self._frames)

    def _pictures(self, indices: Sequence[int]) -> Iterator[tuple[int, np.ndarray]]:
        for index in indices:
            yield index, self._frames[index]


def _array(frames: Any) -> np.ndarray:
    """An array, without knowing torch or PIL: both can be asked."""
    if hasattr(frames, "detach"):  # a tensor may lie on a GPU
        frames = frames.detach().cpu().numpy()
    return np.asarray(frames)


def _about(array: np.ndarray) -> str:
    return f"{array.dtype} {array.shape}"
