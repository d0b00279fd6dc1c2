"""Does each video of a list stand in the files of a folder once, and how did it go?"""

import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet

from video_gc.outputs import Outputs, fill_csv
from video_gc.progress import track
from video_gc.scale.shards import read_about

SUMMARY, NOT_SCORED = "summary.json", "not_scored.csv"
COLUMNS = ["row", "path", "status", "cause", "seconds", "machine", "process", "finished"]
MOST = 100
"""Most causes, and ranges of missing rows, in the summary."""


@dataclass
class Process:
    """What one process made."""

    machine: str
    videos: int = 0
    later: int = 0
    """videos after the first of each file"""
    seconds: float = 0.0
    """that these took; another process of the same number may have made the next file"""

    @property
    def rate(self) -> float:
        """Videos per second."""
        return self.later / self.seconds if self.seconds else 0.0


@dataclass
class Summary:
    """What the files of a folder hold."""

    times: np.ndarray
    """(V,) how often each row of the list is there"""
    engine: str
    """what made them: processes or ray"""
    damaged: dict[str, str] = field(default_factory=dict)
    """files that cannot be read, and why"""
    status: Counter[str] = field(default_factory=Counter)
    causes: Counter[str] = field(default_factory=Counter)
    video_seconds: float = 0.0
    """length of all scored videos"""
    processes: dict[tuple[str, int], Process] = field(default_factory=dict)

    @property
    def complete(self) -> bool:
        """Whether each row of the list is there once, and nothing else."""
        return bool((self.times == 1).all()) and not self.damaged

    @property
    def missing(self) -> list[tuple[int, int]]:
        """Ranges (first, last) of rows that are not there."""
        gone = np.flatnonzero(self.times == 0)
        groups = np.split(gone, np.flatnonzero(np.diff(gone) != 1) + 1)
        return [(int(group[0]), int(group[-1])) for group in groups if len(group)]

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        causes = dict(self.causes.most_common(MOST))
        more = self.causes.total() - sum(causes.values())
        missing = self.missing
        return {
            "complete": self.complete,
            "videos": len(self.times),
            "rows": int(self.times.sum()),
            "missing": int((self.times == 0).sum()),
            "missing_rows": missing[:MOST],
            "repeated": int((self.times > 1).sum()),
            "damaged_files": self.damaged,
            "status": dict(self.status),
            "causes": causes | ({"(others)": more} if more else {}),
            "video_seconds": round(self.video_seconds, 3),
            "machines": self.machines(),
        }

    def machines(self) -> dict[str, dict[str, float]]:
        """By name: processes, videos, and the mean of their processes' videos per second."""
        found: dict[str, dict[str, float]] = {}
        for each in self.processes.values():
            own = found.setdefault(each.machine, {"processes": 0, "videos": 0, "rate": 0.0})
            own["processes"] += 1
            own["videos"] += each.videos
            own["rate"] += each.rate
        return {
            name: {
                "processes": own["processes"],
                "videos": own["videos"],
                "videos_per_second_of_a_process": round(own["rate"] / own["processes"], 3),
            }
            for name, own in found.items()
        }


def merge(folder: Path) -> Summary:
    """Check all rows, and write `summary.json`, and `not_scored.csv` with the other videos.

    Raises FileNotFoundError for a folder without rows, ValueError as `read_about`.
    """
    about = read_about(folder)
    if about is None:
        raise FileNotFoundError(f"{folder}: no rows of video-gc score")
    found = Summary(np.zeros(about["videos"], np.uint16), about.get("engine", "processes"))
    outputs = Outputs(folder)
    with outputs.path(NOT_SCORED) as file:
        fill_csv(file, ["row", "path", "status", "cause"], _read(folder, found))
    with outputs.path(SUMMARY) as file:
        text = json.dumps(found.to_dict(), indent=1, ensure_ascii=False)
        file.write_text(text + "\n", encoding="utf-8", errors="backslashreplace")
    return found


def _read(folder: Path, found: Summary) -> Iterator[tuple[Any, ...]]:
    """Yield the rows of not_scored.csv, while `found` is filled."""
    files = sorted(folder.glob("[!.]*.parquet"))
    for file in track(files, "Reading rows", len(files)):
        try:
            with pa.parquet.ParquetFile(file) as stored:
                table = stored.read(columns=COLUMNS)
            rows = table["row"].to_numpy()
            if not ((rows >= 0) & (rows < len(found.times))).all():
                raise ValueError("it has rows of another list")
        except (pa.ArrowException, OSError, ValueError, KeyError) as error:
            found.damaged[file.name] = str(error).splitlines()[0]
            continue
        np.add.at(found.times, rows, 1)
        found.status.update(table["status"].to_pylist())
        found.video_seconds += pc.sum(table["seconds"]).as_py() or 0.0
        _add_processes(table, found.processes)
        other = table.filter(pc.not_equal(table["status"], "ok"))
        for row in other.select(["row", "path", "status", "cause"]).to_pylist():
            found.causes[row["cause"]] += 1
            yield tuple(row.values())


def _add_processes(table: pa.Table, processes: dict[tuple[str, int], Process]) -> None:
    grouped = table.group_by(["machine", "process"]).aggregate(
        [("finished", "count"), ("finished", "min"), ("finished", "max")]
    )
    for row in grouped.to_pylist():
        key = row["machine"], row["process"]
        own = processes.setdefault(key, Process(row["machine"]))
        own.videos += row["finished_count"]
        own.later += row["finished_count"] - 1
        own.seconds += (row["finished_max"] - row["finished_min"]).total_seconds()
