"""Results of a test, made up, as tools/test.py writes them."""

import csv
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np

SELECTION = {"figure": "top1", "epoch": 3, "value": 0.897, "last_epoch": 9, "last_value": 0.59}
"""In accuracy.json, if the tested videos chose the checkpoint."""


def write_test(
    run: Path,
    right: Sequence[bool] | np.ndarray,
    *,
    labels: Sequence[str] | None = None,
    paths: Sequence[str] | None = None,
    groups: Sequence[str] | None = None,
    **about: object,
) -> Path:
    """RUN/test with a prediction for each video: its label where it is right, else `wrong`."""
    (run / "test").mkdir(parents=True)
    labels = labels or ["run", "jump"] * (len(right) // 2) + ["run"] * (len(right) % 2)
    paths = paths or [f"data/{number}.mp4" for number in range(len(right))]
    with (run / "test" / "predictions.csv").open("w", newline="") as stream:
        writer = csv.writer(stream)
        column = ["group"] if groups else []
        writer.writerow(["path", "label", *column, "top1", "score1", "top2", "score2", "views"])
        for row, (path, label, good) in enumerate(zip(paths, labels, right, strict=True)):
            top = (label, "wrong") if good else ("wrong", "other")
            group = [groups[row]] if groups else []
            writer.writerow([path, label, *group, top[0], "0.700000", top[1], "0.200000", 2])
    kept = {"clips": 10, "crops": 3, "fuse": "mean", "video_level": {"top1": 0.5}} | about
    (run / "test" / "accuracy.json").write_text(json.dumps(kept))
    return run
