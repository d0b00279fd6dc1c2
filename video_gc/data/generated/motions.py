"""motions: generated data sets whose classes differ in one relation, a folder for each task.

Real H.264 files, a class-folder tree (ROOT/TASK/split/class/number.mp4), the same frames for the
same seed. tasks.py says what the classes are and what can tell them apart.
"""

import json
import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from video_gc.data.generated.painting import NUM_FRAMES
from video_gc.data.generated.tasks import TASKS, render_clip
from video_gc.decode.write import write_video
from video_gc.progress import say, track

VERSION = 2  # of the frames; raise it when they change
FPS = 8.0
NOTE = "motions.json"
MOTIONS = Path("data/motions")
"""Default folder of the data sets."""
CLIPS_PER_CLASS = {"train": 1500, "val": 100, "test": 300}
CLIPS_OF_ONE_OBJECT = {"train": 110, "val": 5, "test": 5}
"""The same for the many classes of the task one_object."""


def generate_motions(
    root: Path, task: str, *, seed: int = 0, clips_per_class: dict[str, int] | None = None
) -> Path:
    """Write the videos of a task to ROOT/TASK (split/class/number.mp4) and return that folder.

    A complete copy of the same version, seed and size is kept. The folder gets its name only when
    it is complete; a folder with other contents is never changed.

    Raises FileExistsError if ROOT/TASK contains anything else.
    """
    usual = CLIPS_OF_ONE_OBJECT if task == "one_object" else CLIPS_PER_CLASS
    counts = clips_per_class or usual
    recipe = {"version": VERSION, "task": task, "seed": seed, "clips_per_class": counts}
    root = root / task
    note = root / NOTE
    if note.is_file():
        if json.loads(note.read_text("utf-8")) == recipe:
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
        for class_id, name in enumerate(TASKS[task])
        for number in range(count)
    ]
    say(f"{root}: has no motions yet; generating {len(jobs)} small videos")
    for folder in {path.parent for path, _, _ in jobs}:
        folder.mkdir(parents=True)

    def write(job: tuple[Path, str, tuple[int, ...]]) -> None:
        path, name, key = job
        frames = render_clip(task, name, np.random.default_rng(key))
        write_video(path, frames, fps=FPS, crf=20, keyframe_interval=NUM_FRAMES)

    with ThreadPoolExecutor(2) as pool:
        for _ in track(pool.map(write, jobs), "Generating motions", len(jobs)):
            pass
    (part / NOTE).write_text(json.dumps(recipe), "utf-8")
    part.rename(root)
    return root


def open_motions(root: Path, task: str) -> Path:
    """Return ROOT/TASK, generating its videos if they are missing; any seed is accepted.

    Raises FileExistsError if ROOT/TASK contains anything else, or motions of another version;
    FileNotFoundError if the parent folder of ROOT does not exist, except for `MOTIONS`.
    """
    note = root / task / NOTE
    if note.is_file() and json.loads(note.read_text("utf-8"))["version"] == VERSION:
        return root / task
    if root != MOTIONS and not root.absolute().parent.is_dir():
        raise FileNotFoundError(
            f"{root}: no such folder (data.root), and motions cannot be generated there; make "
            "the parent folder, or leave data.root out"
        )
    return generate_motions(root, task)
