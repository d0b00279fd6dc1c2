"""motions: a generated data set whose classes differ only in *global* space-time relations.

Real H.264 files, a class-folder tree (train/ val/ test/), the same frames for the same seed.
Eight classes in four pairs. Within a pair, every local measurement has the same distribution,
so that only a network that relates far-apart places and times can tell the two classes apart:

- upper_moves_first / lower_moves_first: two distant objects hop aside and back, one after
  the other. Each tile shows one hop; no tile shows which came first.
- in_step / in_opposition: two distant objects swing with the same period, in or against
  phase. Each tile shows one swing of arbitrary phase.
- returns_same_side / returns_other_side: an object leaves through the top and comes back from
  the top, in its own half of the picture or in the other one. A tile shows one passage.
- pulse_then_hop / hop_then_pulse: one object swells and shrinks, another, elsewhere, hops.
  A window shows one event.

Every class is unchanged by a horizontal flip. Backgrounds (plain, gradient, stripes, blotches),
colours, shapes, sizes, speeds, wandering distractors and noise vary independently of the class;
objects end where they started, so no single frame shows what has happened already; and key frames
are so frequent that compression does not reveal the time.

Controls (`tests/data/test_motions_controls.py`, marked slow): within a pair, a network on one
repeated frame, and one on 3-frame windows of 16×16 tiles with averaged scores, stay at or below
60 % (chance 50 %); the demo's network reaches at least 60 % over all eight classes, and the same
network without context blocks stays at or below 90 %.
"""

import json
import shutil
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from video_gc.data.generated.painting import NUM_FRAMES, SIZE, Track, background, colours, paint
from video_gc.decode.write import write_video
from video_gc.progress import say, track

VERSION = 1  # of the recipe below; raise it when the frames change
FPS = 15.0
KEYFRAME_INTERVAL = 6
NOTE = "motions.json"
MOTIONS = Path("data/motions")
"""Default folder of the data set."""
CLIPS_PER_CLASS = {"train": 120, "val": 16, "test": 40}


def generate_motions(
    root: Path, *, seed: int = 0, clips_per_class: dict[str, int] | None = None
) -> Path:
    """Write the data set to `root` (split/class/number.mp4) and return `root`.

    A complete copy of the same version, seed and size is kept. The folder gets its name only when
    it is complete; a folder with other contents is never changed.

    Raises FileExistsError if `root` contains anything else.
    """
    counts = clips_per_class or CLIPS_PER_CLASS
    recipe = {"version": VERSION, "seed": seed, "clips_per_class": counts}
    note = root / NOTE
    if note.is_file():
        if json.loads(note.read_text()) == recipe:
            return root
        raise FileExistsError(
            f"{root}: has motions of another seed or version; give another folder, or remove it"
        )
    if root.exists() and not (root.is_dir() and not any(root.iterdir())):
        raise FileExistsError(
            f"{root}: has other contents, and no {NOTE}; give a new folder for motions, or "
            "data=folder for your own clips"
        )
    part = root.with_name(f".{root.name}.part")
    shutil.rmtree(part, ignore_errors=True)
    jobs = [
        (part / split / name / f"{number:04d}.mp4", name, (seed, split_id, class_id, number))
        for split_id, (split, count) in enumerate(counts.items())
        for class_id, name in enumerate(CLASSES)
        for number in range(count)
    ]
    say(f"{root}: has no motions yet; generating {len(jobs)} small videos takes minutes")
    for folder in {path.parent for path, _, _ in jobs}:
        folder.mkdir(parents=True)

    def write(job: tuple[Path, str, tuple[int, ...]]) -> None:
        path, name, key = job
        frames = render_clip(name, np.random.default_rng(key))
        write_video(path, frames, fps=FPS, crf=30, keyframe_interval=KEYFRAME_INTERVAL)

    with ThreadPoolExecutor(2) as pool:
        for _ in track(pool.map(write, jobs), "Generating motions", len(jobs)):
            pass
    (part / NOTE).write_text(json.dumps(recipe))
    part.rename(root)
    return root


def open_motions(root: Path) -> Path:
    """Return `root`, generating the data set if it is missing; any seed is accepted.

    Raises FileExistsError if `root` contains anything else, or motions of another version;
    FileNotFoundError if the parent folder does not exist, except for `MOTIONS`.
    """
    note = root / NOTE
    if note.is_file() and json.loads(note.read_text())["version"] == VERSION:
        return root
    if root != MOTIONS and not root.absolute().parent.is_dir():
        raise FileNotFoundError(
            f"{root}: no such folder (data.root), and motions cannot be generated there; make "
            "the parent folder, or leave data.root out"
        )
    return generate_motions(root)


def render_clip(name: str, random: np.random.Generator) -> np.ndarray:
    """Frames of one clip of class `name`: uint8 (NUM_FRAMES, SIZE, SIZE, 3)."""
    canvas = background(random)
    pair = colours(random)
    tracks = CLASSES[name](random)
    for _ in range(random.integers(1, 4)):
        canvas = paint(canvas, _distractor(random), random.uniform(0, 1, 3), random)
    for track_, colour in zip(tracks, pair, strict=False):
        canvas = paint(canvas, track_, colour, random)
    noise = random.uniform(0.01, 0.06) * random.standard_normal(canvas.shape, np.float32)
    return (np.clip(canvas + noise, 0, 1) * 255).round().astype(np.uint8)


# ---- the classes ------------------------------------------------------------------------------


def _moves_first(upper_first: bool) -> Callable[[np.random.Generator], list[Track]]:
    def tracks(random: np.random.Generator) -> list[Track]:
        first, second = _two_times(random)
        upper, lower = (first, second) if upper_first else (second, first)
        return [
            _hop(random, _place(random, (10, 54), (10, 18)), upper),
            _hop(random, _place(random, (10, 54), (46, 54)), lower),
        ]

    return tracks


def _swings(sign: int) -> Callable[[np.random.Generator], list[Track]]:
    def tracks(random: np.random.Generator) -> list[Track]:
        period, phase = random.uniform(10, 16), random.uniform(0, 2 * np.pi)
        swing = random.uniform(5, 7) * np.sin(2 * np.pi * np.arange(NUM_FRAMES) / period + phase)
        left = _place(random, (9, 17), (16, 48))
        right = _place(random, (47, 55), (16, 48))
        pair = [_still(random, left), _still(random, right)]
        return [
            Track(pair[0].x, pair[0].y + swing, pair[0].radius),
            Track(pair[1].x, pair[1].y + sign * swing, pair[1].radius),
        ]

    return tracks


def _returns(same_side: bool) -> Callable[[np.random.Generator], list[Track]]:
    def tracks(random: np.random.Generator) -> list[Track]:
        halves = [(10, 24), (40, 54)]
        before = random.integers(2)
        after = before if same_side else 1 - before
        leave, come = _two_times(random, gap=12)  # gone before it comes
        (x0, y0), (x1, y1) = (_place(random, halves[side], (14, 50)) for side in (before, after))
        base = _still(random, (x0, y0))
        t = np.arange(NUM_FRAMES)
        away = -base.radius - 3  # above the picture
        out = np.clip((t - leave[0]) / (leave[1] - leave[0]), 0, 1)
        back = np.clip((t - come[0]) / (come[1] - come[0]), 0, 1)
        gone = out >= 1
        x = np.where(gone, x1, x0).astype(float)
        y = np.where(gone, away + back * (y1 - away), y0 + out * (away - y0))
        return [Track(x, y, base.radius)]

    return tracks


def _events(pulse_first: bool) -> Callable[[np.random.Generator], list[Track]]:
    def tracks(random: np.random.Generator) -> list[Track]:
        first, second = _two_times(random)
        pulse, hop = (first, second) if pulse_first else (second, first)
        sides = [(10, 22), (42, 54)]
        if random.integers(2):
            sides.reverse()
        swelling = _still(random, _place(random, sides[0], (14, 50)))
        radius = swelling.radius * (1 + random.uniform(0.6, 0.9) * _bump(pulse))
        return [
            Track(swelling.x, swelling.y, radius),
            _hop(random, _place(random, sides[1], (14, 50)), hop),
        ]

    return tracks


CLASSES: dict[str, Callable[[np.random.Generator], list[Track]]] = {
    "upper_moves_first": _moves_first(True),
    "lower_moves_first": _moves_first(False),
    "in_step": _swings(+1),
    "in_opposition": _swings(-1),
    "returns_same_side": _returns(True),
    "returns_other_side": _returns(False),
    "pulse_then_hop": _events(True),
    "hop_then_pulse": _events(False),
}
PAIRS = [tuple(CLASSES)[i : i + 2] for i in range(0, len(CLASSES), 2)]


# ---- movements --------------------------------------------------------------------------------


def _place(
    random: np.random.Generator, x: tuple[float, float], y: tuple[float, float]
) -> tuple[float, float]:
    return random.uniform(*x), random.uniform(*y)


def _still(random: np.random.Generator, place: tuple[float, float]) -> Track:
    ones = np.ones(NUM_FRAMES)
    return Track(place[0] * ones, place[1] * ones, random.uniform(4.5, 6.5) * ones)


def _two_times(
    random: np.random.Generator, gap: float = 4
) -> tuple[tuple[float, float], tuple[float, float]]:
    """(start, end) in frames of two events of equal length, the second at least `gap` later."""
    length = random.uniform(8, 11)
    room = NUM_FRAMES - 4 - length - gap  # frames the two starts may move in
    early, late = np.sort(random.uniform(0, room, 2))
    first, second = 2 + early, 2 + late + gap
    return (first, first + length), (second, second + length)


def _bump(times: tuple[float, float]) -> np.ndarray:
    """0 outside `times`, rising to 1 and falling back to 0 inside: (T,)."""
    part = (np.arange(NUM_FRAMES) - times[0]) / (times[1] - times[0])
    return np.where((part > 0) & (part < 1), np.sin(np.pi * np.clip(part, 0, 1)), 0.0)


def _hop(
    random: np.random.Generator, place: tuple[float, float], times: tuple[float, float]
) -> Track:
    still = _still(random, place)
    towards_centre = np.sign(SIZE / 2 - place[0]) or 1.0
    return Track(
        still.x + towards_centre * random.uniform(8, 12) * _bump(times), still.y, still.radius
    )


def _distractor(random: np.random.Generator) -> Track:
    t = np.arange(NUM_FRAMES)
    x, y = (
        random.uniform(4, SIZE - 4)
        + random.uniform(0, 4)
        * np.sin(2 * np.pi * t / random.uniform(20, 60) + random.uniform(0, 6))
        for _ in range(2)
    )
    return Track(x, y, np.full(NUM_FRAMES, random.uniform(2, 3.5)))
