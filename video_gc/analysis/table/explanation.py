"""Why context decides for networks of small neighbourhoods on a generated task, with a picture.

explanation.html.j2 has the sentences. They hold if no position sees both objects of a clip and each
object alone looks the same in all classes; a network that sees more gets no explanation.

At chance, because cross-entropy is convex in the logits, and the mean over positions is the same in
all classes on average: then no mean of what single positions say has a lower loss than a constant.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.patheffects import withStroke

from video_gc.analysis.compare.comparison import intervals_of
from video_gc.analysis.table.accuracy import KINDS, Against, common_videos
from video_gc.analysis.table.gather import Group
from video_gc.analysis.table.table import Table
from video_gc.backbones.receptive_field import receptive_field
from video_gc.data.generated.painting import NUM_FRAMES, SIZE
from video_gc.data.generated.tasks import GAP, RELATIONS, TASKS, draw_clip
from video_gc.models.build import sketch
from video_gc.pictures.figures import svg

SCENE = 3
"""Seed of the drawn clips, the same for each class, so their objects are the same."""
BOX = "#c2410c"
ARROW: dict[str, Any] = {
    "arrowstyle": "->",
    "mutation_scale": 14,
    "lw": 1.8,
    "shrinkA": 0,
    "shrinkB": 0,
    "path_effects": [withStroke(linewidth=4, foreground="white")],
}


@dataclass(frozen=True)
class Share:
    """Top-1 of a row on the videos, per cent, with its 95 % interval."""

    name: str
    mean: float
    low: float
    high: float
    against: Against | None
    """its difference from the baseline"""


@dataclass(frozen=True)
class Explanation:
    """What the sentences name."""

    classes: str
    """the classes, in a sentence"""
    chance: float
    """per cent"""
    field: tuple[int, int, int]
    """frames, rows and columns that one position sees"""
    gap: int
    """columns between the objects of a clip"""
    plain: list[Share]
    """rows without context blocks"""
    related: list[Share]
    """rows with them"""
    picture: str
    """SVG"""


def explain(table: Table, groups: Sequence[Group]) -> Explanation | None:
    """The explanation of the tested rows; None where it does not hold, or a kind of row is missing.

    groups: the groups in `table`.
    """
    tested = [group for group in groups if group.tested]
    configs = [group.tested[0].config for group in tested]
    tasks = {c.data.task if c and c.data.kind == "motions" else None for c in configs}
    task = tasks.pop() if len(tasks) == 1 else None
    if task not in RELATIONS:
        return None
    fields = {_field(group) for group in tested}
    field = fields.pop() if len(fields) == 1 else None
    if field is None or field[2] > GAP:
        return None
    if any(common_videos(group.tests) is None for group in tested):
        return None  # a warning says that they were tested on different videos
    against = {row.name: row.against for row in table.rows}
    plain: list[Share] = []
    related: list[Share] = []
    for group, config in zip(tested, configs, strict=True):
        assert config is not None
        seen = intervals_of(group.tests)[KINDS["top1"]]
        mean = float(np.mean(seen.b))
        share = Share(group.name, mean, seen.low, seen.high, against[group.name])
        kinds = {each.kind for each in (config.model.context, *config.model.more_context)}
        (plain if kinds == {"none"} else related).append(share)
    if not (plain and related):
        return None
    return Explanation(
        classes=RELATIONS[task],
        chance=100 / len(TASKS[task]),
        field=field,
        gap=GAP,
        plain=plain,
        related=related,
        picture=svg(draw_boxes(task, field), "boxes"),
    )


def draw_boxes(task: str, field: tuple[int, int, int]) -> Figure:
    """The middle frame of a clip of each class, with each object's way and a box of `field`."""
    classes = list(TASKS[task])
    figure = Figure(figsize=(3.6 * len(classes), 4.0), layout="constrained")
    _, rows, columns = field
    for axes, name in zip(figure.subplots(1, len(classes)), classes, strict=True):
        frames, tracks = draw_clip(task, name, np.random.default_rng(SCENE))
        middle = NUM_FRAMES // 2
        axes.imshow(frames[middle], interpolation="nearest")
        for track in tracks:
            x, y = round(track.x[middle]), round(track.y[middle])
            corner = x - columns / 2, y - rows / 2
            axes.add_patch(Rectangle(corner, columns, rows, fill=False, ec=BOX, lw=2.2))
            axes.annotate(
                "", xytext=(track.x[0], track.y[0]), xy=(track.x[-1], track.y[-1]), arrowprops=ARROW
            )
        axes.set(title=name, xticks=[], yticks=[])
    return figure


def _field(group: Group) -> tuple[int, int, int] | None:
    """What one position of its network sees, in pixels of the videos; None if unknown."""
    if group.network is None:
        return None
    model, clip = group.network
    if not clip.test_short_side == clip.test_crop == SIZE:
        return None  # the network sees the videos in another size
    return receptive_field(sketch(model))
