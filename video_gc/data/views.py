"""The views of a video from one pass over its frames, holding only what is still needed."""

from collections.abc import Iterator, Sequence

import numpy as np

from video_gc.decode.reader import Box, VideoReader


def stream_views(
    reader: VideoReader,
    windows: np.ndarray,
    boxes: Sequence[Box],
    size: tuple[int, int],
    form: str = "rgb",
) -> Iterator[tuple[int, np.ndarray]]:
    """Yield (window, view) with view uint8 (T, h, w, 3), each box of each window.

    windows: frame indices (K, T). boxes: parts of the picture scaled to `size`. form: "yuv" for
    views of 4:2:0 planes (T, 3 h / 2, w), with even boxes and size.
    A window leaves as soon as its last frame is decoded, and a frame is dropped with the last
    window that needs it, so that memory depends on how far windows overlap, not on their number.
    """
    reader.check_clip(windows.shape[1], size)
    ends = windows.max(axis=1)
    order = np.argsort(ends, kind="stable")
    held: dict[int, np.ndarray] = {}
    wanted = np.unique(windows)
    done = 0
    for index, frame in reader.frames(wanted.tolist(), size=size, form=form):
        held[index] = frame
        while done < len(order) and ends[order[done]] == index:
            window = int(order[done])
            for box in boxes:  # cut out before they are joined: a very wide picture is large
                parts = [crop_frames(held[i][None], box, form) for i in windows[window]]
                yield window, np.concatenate(parts)
            done += 1
            oldest = windows[order[done:]].min(initial=index + 1)
            held = {i: kept for i, kept in held.items() if i >= oldest}


def crop_frames(frames: np.ndarray, box: Box, form: str = "rgb") -> np.ndarray:
    """The part of uint8 frames (T, H, W, 3), or of planes (T, 3 H / 2, W), that lies in `box`."""
    if form == "rgb":
        return frames[:, box.top : box.top + box.height, box.left : box.left + box.width]
    number, rows, width = frames.shape
    height = rows * 2 // 3
    light = crop_frames(frames[:, :height], box)
    chroma = frames[:, height:].reshape(2 * number, height // 2, width // 2)
    half = Box(box.left // 2, box.top // 2, box.width // 2, box.height // 2)
    chroma = crop_frames(chroma, half).reshape(number, box.height // 2, box.width)
    return np.concatenate([light, chroma], axis=1)
