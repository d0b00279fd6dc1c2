"""A comparison on disk: compare.json, changes.csv, classes.csv and compare.png."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from video_gc.analysis.compare.picture import draw_comparison
from video_gc.analysis.compare.runs import Changes, Comparison
from video_gc.outputs import write_csv, write_output


@dataclass(frozen=True)
class ClassChange:
    """One class in both sides."""

    name: str
    videos: int
    a: float
    """share that is right, mean over the runs"""
    b: float
    wins: int
    losses: int

    @property
    def points(self) -> float:
        """B - A."""
        return 100 * (self.b - self.a)


def write_comparison(found: Comparison, out: Path | None = None) -> list[Path]:
    """Write the results; return their paths.

    out: default compare_with_A in the directory of the first run of B.
    """
    out = out or found.b[0].home / f"compare_with_{found.title_a.replace('/', '_')}".replace(
        " ", "_"
    )
    classes = [] if found.changes is None else class_changes(found.videos.labels, found.changes)
    files = [write_output(out / "compare.json", json.dumps(_summary(found), indent=2))]
    if found.changes is not None:
        files += [_write_changes(found, found.changes, out / "changes.csv")]
        files += [_write_classes(classes, out / "classes.csv")]
    points = [(each.name, each.videos, each.points) for each in classes]
    return [*files, draw_comparison(found, points, out / "compare.png")]


def class_changes(labels: Sequence[str], changes: Changes) -> list[ClassChange]:
    """Each class that occurs, by name."""
    names, numbers = np.unique(labels, return_inverse=True)
    counts = np.bincount(numbers)
    a, b = (np.bincount(numbers, share) / counts for share in (changes.right_a, changes.right_b))
    wins = np.bincount(numbers, changes.right_b > changes.right_a)
    losses = np.bincount(numbers, changes.right_b < changes.right_a)
    columns = (counts.tolist(), a.tolist(), b.tolist(), wins.tolist(), losses.tolist())
    return [
        ClassChange(str(name), videos, share_a, share_b, int(won), int(lost))
        for name, videos, share_a, share_b, won, lost in zip(names, *columns, strict=True)
    ]


def _summary(found: Comparison) -> dict[str, object]:
    """Shares are per cent, differences and intervals points."""
    summary: dict[str, object] = {
        "verdict": found.verdict,
        "warnings": found.warnings,
        "a": [str(run.file) for run in found.a],
        "b": [str(run.file) for run in found.b],
        "videos": len(found.videos.paths),
        "left_out": dict(
            zip([str(r.file) for r in (*found.a, *found.b)], found.videos.left_out, strict=True)
        ),
        "figures": {
            name: asdict(each) | {"difference": each.difference}
            for name, each in found.figures.items()
        },
        "resamples": len(found.drawn),
    }
    if found.changes is not None:
        summary |= {
            "wins": found.changes.wins,
            "losses": found.changes.losses,
            "mcnemar": asdict(found.changes.test),
        }
    return summary


def _write_changes(found: Comparison, changes: Changes, file: Path) -> Path:
    """Wins, then losses, the clearest first; what each side said, and how often it was right."""
    gain = changes.right_b - changes.right_a
    order = np.lexsort((-np.abs(gain), -np.sign(gain)))
    lines = []
    for row in order.tolist():
        if not gain[row]:
            continue
        cells = [found.videos.paths[row], found.videos.labels[row]]
        cells += [changes.said_a[row], changes.said_b[row]]
        shares = [f"{share[row]:.4g}" for share in (changes.right_a, changes.right_b)]
        lines.append(["win" if gain[row] > 0 else "loss", *cells, *shares])
    return write_csv(file, ["outcome", "path", "label", "a", "b", "a_right", "b_right"], lines)


def _write_classes(classes: Sequence[ClassChange], file: Path) -> Path:
    """One line a class, what B gained most first."""
    lines = []
    for each in sorted(classes, key=lambda each: -each.points):
        shares = [f"{each.a:.4f}", f"{each.b:.4f}", f"{each.points:+.2f}"]
        lines.append([each.name, each.videos, *shares, each.wins, each.losses])
    return write_csv(file, ["class", "videos", "a", "b", "points", "wins", "losses"], lines)
