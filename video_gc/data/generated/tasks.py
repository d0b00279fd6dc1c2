"""The tasks of motions: classes that differ in one thing, and how their clips are drawn.

Objects lie in the left and in the right of the picture. Their places, shapes, sizes, directions and
colours, and the background, are random and independent of the class, if a task does not say more.

- presence: one of the objects moves (`moving`), or none does (`still`). A window that contains an
  object shows it.
- alike: both move in the same direction (`alike`) or in opposite ones (`opposite`). The direction
  is random, so each object alone looks the same in both classes, and `GAP` keeps any window of
  fewer columns from touching both. Only their relation tells the classes apart.
- match: four pairs, told apart by hue, with one partner on each side; two pairs blink and two stay.
  In `match` partners do the same, in `mismatch` two objects of the right side have exchanged what
  they do. Each side has the same hues and the same number of blinks in both classes.
- order: a red and a cyan object blink, one in frame 1 and one in frame 5 (`red_first`,
  `cyan_first`).
- same_frame: they blink in the same frame (`together`) or in different ones (`apart`).
- one_object: a single object; the class is its hue, one of twelve, and what it does. It teaches
  what a window can show, and nothing about relations.

An object that blinks is seen in frame 1 or 5 only. The stem of a bag network looks at five frames
around frames 0, 2, 4 and 6, so either blink is seen by two windows, just before and just after
their middle, and no window sees both frames: each blink alone looks the same.
"""

from collections.abc import Callable
from functools import partial

import numpy as np

from video_gc.data.generated.painting import (
    FROM_MIDDLE,
    NUM_FRAMES,
    SIZE,
    Track,
    background,
    paint,
)

GAP = 11
"""Columns of pixels from the right edge of the left object to the left edge of the right one."""
SPEED = (0.9, 1.0)
"""Pixels per frame."""
RADIUS = (2.0, 2.5)
"""Pixels."""

PAIRS = 4
"""Pairs of `match`."""
BLINKS = (1, 5)
"""Frames of blinks."""
HUES = 12
"""Hues of `one_object`."""
DOES = ("right", "down", "left", "up", "blink", "still")
"""What `one_object` does."""

Draw = Callable[[np.random.Generator], list[Track]]


def _moving(random: np.random.Generator) -> list[Track]:
    moves = [0.0, 1.0]
    random.shuffle(moves)
    return _two(random, *moves)


def _match(random: np.random.Generator, exchanged: bool) -> list[Track]:
    """Pairs of evenly spaced hues; each object blinks by itself."""
    blinks, hues = random.permutation(PAIRS) % 2 == 0, random.uniform() + np.arange(PAIRS) / PAIRS
    other = blinks.copy()
    if exchanged:
        both = [random.choice(np.flatnonzero(which)) for which in (blinks, ~blinks)]
        other[both] = other[both[::-1]]
    tracks = []
    for left, does in ((True, blinks), (False, other)):
        rows = (random.permutation(PAIRS) + 0.5) * SIZE / PAIRS - 0.5
        for hue, blink, row in zip(hues, does, rows, strict=True):
            x, y = random.uniform(4, 9), row + random.uniform(-0.5, 0.5)
            frame = random.choice(BLINKS) if blink else None
            tracks.append(_still(random, x if left else SIZE - 1 - x, y, hue, frame))
    return tracks


def _blinks(random: np.random.Generator, red: int, cyan: int) -> list[Track]:
    """A red and a cyan object, 19 columns apart, and the frames of their blinks."""
    sides = random.permutation((0, 1))
    tracks = []
    for side, hue, frame in zip(sides, (0, 0.5), (red, cyan), strict=True):
        x, y = random.uniform(3.5, 6.7), random.uniform(4, SIZE - 5)
        hue += random.uniform(-0.09, 0.09)
        tracks.append(_still(random, SIZE - 1 - x if side else x, y, hue, frame))
    return tracks


def _in_frames(random: np.random.Generator, same: bool) -> list[Track]:
    one, other = random.permutation(BLINKS)
    return _blinks(random, one, one if same else other)


def _one_object(random: np.random.Generator, number: int, does: str) -> list[Track]:
    hue = (number + random.uniform(-0.4, 0.4)) / HUES
    x, y = random.uniform(7, SIZE - 8, 2)
    if does in ("blink", "still"):
        frame = random.choice(BLINKS) if does == "blink" else None
        return [_still(random, x, y, hue, frame)]
    angle = np.pi / 2 * DOES.index(does) + random.uniform(-0.7, 0.7)
    path = random.uniform(0.5, 1.0) * FROM_MIDDLE
    x, y = x + path * np.cos(angle), y + path * np.sin(angle)
    return [Track(x, y, random.uniform(*RADIUS), hue)]


TASKS: dict[str, dict[str, Draw]] = {
    "presence": {"moving": _moving, "still": lambda random: _two(random, 0, 0)},
    "alike": {
        "alike": lambda random: _two(random, 1, 1),
        "opposite": lambda random: _two(random, 1, -1),
    },
    "match": {
        "match": lambda random: _match(random, exchanged=False),
        "mismatch": lambda random: _match(random, exchanged=True),
    },
    "order": {
        "red_first": lambda random: _blinks(random, *BLINKS),
        "cyan_first": lambda random: _blinks(random, *BLINKS[::-1]),
    },
    "same_frame": {
        "together": lambda random: _in_frames(random, same=True),
        "apart": lambda random: _in_frames(random, same=False),
    },
    "one_object": {
        f"hue{number:02d}_{does}": partial(_one_object, number=number, does=does)
        for number in range(HUES)
        for does in DOES
    },
}
"""Task → class → its draw of the tracks of its objects."""
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
    path = speed * FROM_MIDDLE
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


def _still(random: np.random.Generator, x: float, y: float, hue: float, frame: int | None) -> Track:
    """An object that stays in its place."""
    still = np.ones(NUM_FRAMES)
    return Track(x * still, y * still, random.uniform(2.2, 2.8), hue, frame)
