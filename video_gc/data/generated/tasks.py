"""The tasks of motions: classes that differ in one thing, and how their clips are drawn.

A clip shows two objects, one in the left and one in the right of the picture. Their places, shapes,
colours, sizes and directions, and the background, are random and independent of the class.

- presence: one of the objects moves (`moving`), or none does (`still`). A window that contains an
  object shows it.
- alike: both move in the same direction (`alike`) or in opposite ones (`opposite`). The direction
  is random, so each object alone looks the same in both classes, and `GAP` keeps any window of
  fewer columns from touching both. Only their relation tells the classes apart.
"""

from collections.abc import Callable

import numpy as np

from video_gc.data.generated.painting import NUM_FRAMES, SIZE, Track, background, paint

GAP = 11
"""Columns of pixels from the right edge of the left object to the left edge of the right one."""
SPEED = (0.9, 1.0)
"""Pixels per frame."""
RADIUS = (2.0, 2.5)
"""Pixels."""

Draw = Callable[[np.random.Generator], list[Track]]


def _moving(random: np.random.Generator) -> list[Track]:
    moves = [0.0, 1.0]
    random.shuffle(moves)
    return _two(random, *moves)


TASKS: dict[str, dict[str, Draw]] = {
    "presence": {"moving": _moving, "still": lambda random: _two(random, 0, 0)},
    "alike": {
        "alike": lambda random: _two(random, 1, 1),
        "opposite": lambda random: _two(random, 1, -1),
    },
}
"""Task → class → its draw of two tracks."""
RELATIONS = {
    "alike": "In a clip of the class “alike” both objects move in the same direction, in one of "
    "the class “opposite” they move in opposite directions; which directions is random.",
}
"""Task → its classes in words, if each object alone looks the same in all of them."""


def render_clip(task: str, name: str, random: np.random.Generator) -> np.ndarray:
    """Frames of one clip of class `name`: uint8 (NUM_FRAMES, SIZE, SIZE, 3)."""
    return draw_clip(task, name, random)[0]


def draw_clip(task: str, name: str, random: np.random.Generator) -> tuple[np.ndarray, list[Track]]:
    """As `render_clip`, with the objects of the clip."""
    canvas = background(random)
    tracks = TASKS[task][name](random)
    for track in tracks:
        canvas = paint(canvas, track, random)
    canvas += random.uniform(0.01, 0.04) * random.standard_normal(canvas.shape, np.float32)
    return (np.clip(canvas, 0, 1) * 255).round().astype(np.uint8), tracks


def _two(random: np.random.Generator, left: float, right: float) -> list[Track]:
    """Two objects that move along one random direction. left, right: sign of their speeds, 0 for
    an object that stays."""
    angle, speed = random.uniform(0, 2 * np.pi), random.uniform(*SPEED)
    path = speed * (np.arange(NUM_FRAMES) - (NUM_FRAMES - 1) / 2)
    reach = SPEED[1] * (NUM_FRAMES - 1) / 2 + RADIUS[1] + 0.5
    tracks = []
    for side, sign in ((-1, left), (1, right)):
        # from the border to as near to the middle as GAP allows
        x = (SIZE - 1) / 2 + side * random.uniform(GAP / 2 + reach, (SIZE - 1) / 2 - reach)
        y = random.uniform(reach, SIZE - 1 - reach)
        radius = random.uniform(*RADIUS)
        tracks.append(
            Track(x + sign * path * np.cos(angle), y + sign * path * np.sin(angle), radius)
        )
    return tracks
