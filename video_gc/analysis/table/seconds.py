"""How long a training took: wall time of all its processes' lives, also of one that was killed."""

import json
from pathlib import Path

from tensorboard.backend.event_processing.event_file_loader import (  # type: ignore[import-untyped]
    EventFileLoader,
)

from video_gc.ablate.status import STATUS


def seconds_trained(home: Path) -> tuple[float, str] | None:
    """Seconds, and where they were read: in the run's TensorBoard files, or else in cell.json.

    Of the former, the sum over files of the last entry's time minus the first's: each process that
    went on with the training has its own. They come first because cell.json has the test's time in
    it, and lacks that of a job that was killed and of tools/train.py. None where neither says.
    """
    lives = [_life(file) for file in sorted((home / "logs").rglob("events.out.tfevents.*"))]
    if sum(lives) > 0:
        return sum(lives), "event files"
    if (home / STATUS).is_file():
        kept = json.loads((home / STATUS).read_text(encoding="utf-8")).get("seconds")
        if kept:
            return float(kept), f"{STATUS} (with its test)"
    return None


def _life(file: Path) -> float:
    times = [event.wall_time for event in EventFileLoader(str(file)).Load()]
    return max(times) - min(times) if times else 0.0
