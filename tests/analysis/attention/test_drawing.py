"""Pictures show the map where it is high, the query where it stands, and read back as files."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from video_gc.analysis.attention.drawing import CROSS, Drawing, draw, save
from video_gc.analysis.attention.panels import Panel
from video_gc.analysis.clips import View
from video_gc.decode.open import open_video


def drawing(side: int, rows: int = 2) -> Drawing:
    frames = np.full((4, side, side, 3), 90, np.uint8)
    one = torch.zeros(2, 4, 4)
    one[1, 0, 3] = 8.0  # the second half of the clip, top right
    queries = [(0.9, 0.75, 0.25)] if rows > 1 else []
    view = View(frames, np.arange(4) * 0.2)
    return Drawing("a <b> name.mp4", view, queries, [Panel("res4.3", "nl", [one] * rows)])


@pytest.mark.parametrize("side", [63, 224])
def test_colours_lie_where_the_weights_are(side: int) -> None:
    pictures = draw(drawing(side, rows=1))
    assert pictures.shape[1] % 2 == pictures.shape[2] % 2 == 0
    colour = np.ptp(pictures.astype(int), axis=3)  # grey has none
    panel = colour[:, 60:-70, pictures.shape[2] // 2 + 10 : -14]
    high, wide = panel.shape[1] // 3, panel.shape[2] // 3
    top_right = panel[:, :high, -wide:].mean((1, 2))
    assert top_right[3] > 60
    assert top_right[0] < 1
    assert panel[:, -high:, :wide].max() == 0


def test_a_query_is_bright_on_its_own_frame_alone() -> None:
    pictures = draw(drawing(64))
    bright = (pictures == CROSS).all(3).sum((1, 2))
    assert bright[3] > 50
    assert (bright[:3] == 0).all()


def test_the_clock_moves_and_files_read_back(tmp_path: Path) -> None:
    made = drawing(64)
    pictures = draw(made)
    clock = pictures[:, :30, -180:]
    assert all((clock[n] != clock[n + 1]).any() for n in range(3))
    video, animation = save(pictures, made.view.times, tmp_path / "deep" / "one")
    with open_video(video) as reader:
        assert reader.rate == pytest.approx(5)
        assert reader.size == pictures.shape[1:3]
        assert len(reader) == 4 * 8  # six seconds, rounded
    with Image.open(animation) as read:
        assert read.n_frames == 4
        assert read.info["duration"] == 200 if "duration" in read.info else True


def test_rows_are_named_by_the_times_of_their_queries() -> None:
    assert drawing(64).row_names == ["mean\nover queries", "query 1\n0.60 s"]
    assert drawing(64, rows=1).row_names == [""]
