from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torchmetrics.functional.classification import multiclass_calibration_error

from tests.conftest import counted_frames
from video_gc.data.index import VideoIndex
from video_gc.decode.write import write_video
from video_gc.evaluate import plots as pictures
from video_gc.evaluate.confusions import ConfusedPair, Example, confused_pairs
from video_gc.evaluate.plots import (
    CELLS,
    class_accuracy,
    confusion_matrix,
    draw_calibration,
    draw_confused_pairs,
)
from video_gc.evaluate.scores import Scores, VideoScore, put_together

pytestmark = pytest.mark.usefixtures("drawn")


def picture(file: Path) -> np.ndarray:
    return np.asarray(Image.open(file).convert("RGB"))


@pytest.fixture
def texts(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Every word of the figures that are saved."""
    found: list[str] = []
    write = pictures.save

    def keep(figure, file):  # type: ignore[no-untyped-def]
        for axes in figure.axes:
            found.extend(text.get_text() for text in axes.texts)
            found.extend(axes.get_title(loc=place) for place in ("left", "center"))
            found.extend(label.get_text() for label in axes.get_yticklabels())
            found.append(axes.get_xlabel())
        return write(figure, file)

    monkeypatch.setattr(pictures, "save", keep)
    return found


def test_confused_pairs_count_each_direction() -> None:
    #         video   0  1  2  3  4  5  6  7  8
    labels = np.array([0, 0, 0, 1, 1, 2, 2, 2, 2])
    said = np.array([1, 0, 1, 0, 1, 0, 0, 1, 2])
    sure = [0.5, 0.9, 0.7, 0.9, 0.9, 0.6, 0.8, 0.9, 0.9]
    names, times = ["a", "b", "c"], {"start": [None] * 6 + [1.0] * 3, "end": [None] * 6 + [2.0] * 3}
    index = VideoIndex.build([f"{number}.mp4" for number in range(9)], labels, names, **times)

    def result(said: np.ndarray) -> Scores:
        scores = np.zeros((9, 1, 3), np.float32)
        scores[range(9), 0, said] = sure
        hits = np.zeros((1, 2), np.int64)
        return put_together(index, [VideoScore(n, 1, scores[n], hits) for n in range(9)])[0]

    pairs = confused_pairs(result(said), 3)
    assert [(pair.true, pair.predicted, pair.count, pair.of) for pair in pairs] == [
        ("a", "b", 2, 3), ("c", "a", 2, 4), ("b", "a", 1, 2),
    ]  # fmt: skip
    assert [pair.rows for pair in pairs] == [[2, 0], [6, 5], [3]]  # the surest first
    assert pairs[1].examples == [Example("6.mp4", (1.0, 2.0)), Example("5.mp4")]
    assert confused_pairs(result(labels), 3) == []
    assert len(confused_pairs(result(said), 1)) == 1


def test_the_calibration_error_is_that_of_torchmetrics(tmp_path: Path, texts: list[str]) -> None:
    scores = torch.rand(500, 7, generator=torch.Generator().manual_seed(0)).mul(4).softmax(1)
    labels = torch.randint(7, (500,), generator=torch.Generator().manual_seed(1))
    scores[0], labels[0] = torch.eye(7)[2], 2  # quite sure
    sure, said = scores.max(1)
    draw_calibration(sure, said == labels, tmp_path / "calibration.png")
    error = float(multiclass_calibration_error(scores, labels, 7, n_bins=15))
    gap = float(sure.mean() - (said == labels).float().mean())
    assert gap > 0.01
    assert f"expected calibration error {error:.3f}; on average {gap:.3f} too sure" in texts
    with pytest.raises(ValueError, match="no video was scored"):
        draw_calibration(torch.zeros(0), torch.zeros(0), tmp_path / "none.png")


def test_of_many_classes_both_ends_are_drawn(tmp_path: Path, texts: list[str]) -> None:
    names = [f"class {number} $x$" for number in range(400)]
    right = torch.arange(400)
    counts = torch.diag(right)
    counts[:, 0] += 399 - right  # the others are taken for class 0
    counts[399] = 0
    pictures.save(class_accuracy(names, counts), tmp_path / "classes.png")
    assert "class 1 $x$ (399)" in texts
    assert "class 30 $x$ (399)" in texts
    assert "class 31 $x$ (399)" not in texts
    assert "class 370 $x$ (399)" in texts
    assert "class 0 $x$ (399)" in texts  # all right, the best
    assert "class 399 $x$ (0)" not in texts  # no video, no accuracy
    assert "… 339 classes from 8% to 92% …" in texts
    assert f"mean class: {100 * (1 + right[1:399].sum() / 399) / 399:.1f}" in texts[-1]
    assert (tmp_path / "classes.png").is_file()


def test_few_classes_are_all_drawn(tmp_path: Path, texts: list[str]) -> None:
    counts = torch.tensor([[4, 0], [1, 1]])
    pictures.save(class_accuracy(["easy", "hard"], counts), tmp_path / "classes.png")
    assert [text for text in texts if "(" in text][:2] == ["hard (2)", "easy (4)"]
    with pytest.raises(ValueError, match="no class has a video"):
        class_accuracy(["easy"], torch.zeros(1, 1))


def test_confused_pairs_show_frames_of_the_part_that_is_meant(
    tmp_path: Path, damaged: dict[str, Path], texts: list[str]
) -> None:
    """A video that is red for a second and then blue, wide and tall, beside unreadable ones."""
    for name, (height, width) in {"wide": (48, 160), "tall": (96, 32)}.items():
        frames = np.zeros((20, height, width, 3), np.uint8)
        frames[:10, ..., 0] = frames[10:, ..., 2] = 220
        write_video(tmp_path / f"{name}.mp4", frames, fps=10)
    wide, tall = str(tmp_path / "wide.mp4"), str(tmp_path / "tall.mp4")

    def colours(*examples: Example) -> tuple[int, int]:
        pair = ConfusedPair("run", "jump", 7, [0, 1, 2], list(examples))
        drawn = picture(draw_confused_pairs([pair], tmp_path / "pairs.png")).astype(int)
        red = (drawn[..., 0] > 150) & (drawn[..., 2] < 90)
        blue = (drawn[..., 2] > 150) & (drawn[..., 0] < 90)
        return int(red.sum()), int(blue.sum())

    red, blue = colours(Example(wide))
    assert red == pytest.approx(blue, rel=0.05)
    assert red > 1000
    part = colours(Example(wide, (1.0, 2.0)))
    assert part == (0, pytest.approx(red + blue, rel=0.05))
    assert 0 < sum(colours(Example(tall))) < red  # narrow frames stay narrow
    assert "run  taken for  jump:  3 of 7 videos" in texts
    assert "cannot be read" not in texts
    gone = [Example(str(damaged["text"])), Example("nowhere.mp4"), Example(wide, (50, 60))]
    assert colours(*gone) == (0, 0)
    assert texts.count("cannot be read") == 3
    with pytest.raises(ValueError, match="no video was mistaken"):
        draw_confused_pairs([], tmp_path / "none.png")


def test_long_names_keep_both_ends(tmp_path: Path, texts: list[str]) -> None:
    write_video(tmp_path / "v.mp4", counted_frames(4))
    name = "pretending to put something that is somewhere else next to something"
    pair = ConfusedPair(name, "b", 1, [0], [Example(str(tmp_path / "v.mp4"))])
    draw_confused_pairs([pair, pair], tmp_path / "pairs.png")
    title = next(text for text in texts if "taken for" in text)
    assert title.startswith("pretending to put so")
    assert "xt to something  taken for" in title


@pytest.mark.parametrize(("classes", "side"), [(40, 40), (CELLS, CELLS), (2 * CELLS + 1, 1001)])
def test_no_confusion_disappears_among_many_classes(classes: int, side: int) -> None:
    counts = torch.eye(classes, dtype=torch.int64)
    true, said = 7, classes - 2
    counts[true, true], counts[true, said] = 1, 3
    (image,) = confusion_matrix([str(one) for one in range(classes)], counts).axes[0].images
    drawn = image.get_array()
    assert drawn is not None
    assert drawn.shape == (side, side)
    step = -(-classes // CELLS)
    assert drawn[true // step, said // step] == 0.75
    assert (drawn > 0).sum() == side + 1
    assert list(image.get_extent()) == [-0.5, classes - 0.5, classes - 0.5, -0.5]
