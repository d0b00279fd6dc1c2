"""The views of a video from one pass over its frames, holding only what is still needed."""

from collections.abc import Iterator, Sequence

import numpy as np

from video_gc.decode.reader import Box, VideoReader


def stream_views(
    reader: VideoReader, windows: np.ndarray, boxes: Sequence[Box], size: tuple[int, int]
) -> Iterator[tuple[int, np.ndarray]]:
    """Yield (window, view) with view uint8 (T, h, w, 3), each box of each window.

    windows: frame indices (K, T), each row rising. boxes: parts of the picture scaled to `size`.
    A window leaves as soon as its last frame is decoded, and a frame is dropped with the last
    window that needs it, so that memory depends on how far windows overlap, not on their number.
    """
    order = np.argsort(windows[:, -1], kind="stable")
    held: dict[int, np.ndarray] = {}
    wanted = np.unique(windows)
    done = 0
    for index, frame in reader.frames(wanted.tolist(), size=size):
        held[index] = frame
        while done < len(order) and windows[order[done], -1] == index:
            window = int(order[done])
            frames = np.stack([held[i] for i in windows[window]])
            for box in boxes:
                yield (
                    window,
                    frames[:, box.top : box.top + box.height, box.left : box.left + box.width],
                )
            done += 1
            oldest = windows[order[done:]].min(initial=index + 1)
            held = {i: kept for i, kept in held.items() if i >= oldest}
