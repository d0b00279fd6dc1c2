"""Names in a plot do not lie on each other."""

from itertools import pairwise
from types import SimpleNamespace

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.text import Annotation, Text

from video_gc.analysis.table.plots import _accuracy, place_labels


def test_the_numbers_below_a_plot_do_not_touch() -> None:
    row = SimpleNamespace(name="a", figures={"top1 video": SimpleNamespace(mean=50.0, error=17.7)})
    points = [(place, 0.17635 + 0.0003 * place, row) for place in range(2)]
    figure = _accuracy(points, "top1 video", True)
    figure.draw_without_rendering()
    renderer = FigureCanvasAgg(figure).get_renderer()
    boxes = [label.get_window_extent(renderer) for label in figure.axes[0].get_xticklabels()]
    assert len(boxes) > 2
    assert all(one.x1 + 5 < other.x0 for one, other in pairwise(boxes))


def test_names_of_points_at_one_place_stay_legible() -> None:
    figure = Figure(figsize=(6, 4))
    axes = figure.subplots()
    axes.set(xlim=(0, 2), ylim=(0, 2))
    figure.draw_without_rendering()
    points = [(1.0, 1.0)] * 6 + [(1.01, 1.01), (0.02, 1.98)]
    texts = [f"5 blocks of kind $_{number}" for number in range(8)]
    place_labels(axes, points, texts, ["black"] * 8)
    renderer = FigureCanvasAgg(figure).get_renderer()
    labels = [child for child in axes.get_children() if isinstance(child, Annotation)]
    boxes = []
    for label in labels:
        label.update_positions(renderer)
        boxes.append(Text.get_window_extent(label, renderer))
    assert len(boxes) == 8
    assert not any(
        one.overlaps(other) for place, one in enumerate(boxes) for other in boxes[:place]
    )
    frame = axes.get_window_extent(renderer)
    assert all(frame.contains(box.x0, box.y0) and frame.contains(box.x1, box.y1) for box in boxes)
