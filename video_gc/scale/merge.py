"""Are all parts there, does each video stand in them once, and how did it go?"""

import json
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet

from video_gc.outputs import Outputs, fill_csv
from video_gc.progress import track
from video_gc.scale.shards import MADE, Parts, read_about

SUMMARY, NOT_SCORED = "summary.json", "not_scored.csv"
CAUSES = 100
"""Most causes that are counted in the summary."""


@dataclass
class Summary:
    """What the parts of a folder hold."""

    videos: int
    """in the list"""
    rows: int = 0
    """in the parts"""
    missing: list[int] = field(default_factory=list)
    """parts that are not there"""
    damaged: dict[int, str] = field(default_factory=dict)
    """parts that cannot be read, or hold other rows than they should; and why"""
    status: Counter[str] = field(default_factory=Counter)
    causes: Counter[str] = field(default_factory=Counter)
    video_seconds: float = 0.0
    """length of all scored videos"""
    machines: dict[str, dict[str, float]] = field(default_factory=dict)
    """by name: parts, processes, videos, seconds of all processes, videos in a second of one"""

    @property
    def complete(self) -> bool:
        """Whether each video of the list stands in the parts exactly once."""
        return self.rows == self.videos and not self.missing and not self.damaged


def merge(folder: Path) -> Summary:
    """Check all parts, and write `summary.json`, and `not_scored.csv` with the other videos.

    Raises FileNotFoundError for a folder without parts, ValueError as `read_about`.
    """
    about = read_about(folder)
    if about is None:
        raise FileNotFoundError(f"{folder}: no parts of tools/score.py")
    parts = Parts(folder, about["videos"], about["part_size"])
    found = Summary(parts.videos)
    processes: dict[str, set[int]] = {}
    outputs = Outputs(folder)
    with outputs.path(NOT_SCORED) as file:
        fill_csv(file, ["row", "path", "status", "cause"], _read(parts, found, processes))
    for name, machine in found.machines.items():
        machine["processes"] = len(processes[name])
        machine["videos_per_process_second"] = round(machine["videos"] / machine["seconds"], 3)
        machine["seconds"] = round(machine["seconds"], 3)
    with outputs.path(SUMMARY) as file:
        text = json.dumps(_content(found), indent=1, ensure_ascii=False)
        file.write_text(text + "\n", encoding="utf-8", errors="backslashreplace")
    return found


def _read(parts: Parts, found: Summary, processes: dict[str, set[int]]) -> Any:
    """Yield the rows of not_scored.csv, while `found` is filled."""
    for part in track(range(parts.count), "Reading parts", parts.count):
        file, rows = parts.file(part), parts.rows(part)
        if not file.is_file():
            found.missing.append(part)
            continue
        try:
            with pa.parquet.ParquetFile(file) as stored:
                made = json.loads(stored.schema_arrow.metadata[MADE])
                table = stored.read(columns=["row", "path", "status", "cause", "seconds"])
            if table["row"].to_pylist() != list(rows):
                raise ValueError(f"holds other rows than {rows.start} to {rows.stop - 1}")
        except (pa.ArrowException, OSError, ValueError, KeyError, TypeError) as error:
            found.damaged[part] = str(error).splitlines()[0]
            continue
        found.rows += len(table)
        found.status.update(table["status"].to_pylist())
        found.video_seconds += pc.sum(table["seconds"]).as_py() or 0.0
        machine = found.machines.setdefault(
            made["machine"], {"parts": 0, "videos": 0, "seconds": 0.0}
        )
        machine["parts"] += 1
        machine["videos"] += len(table)
        machine["seconds"] += made["end"] - made["start"]
        processes.setdefault(made["machine"], set()).add(made["process"])
        other = table.filter(pc.not_equal(table["status"], "ok"))
        for row in other.select(["row", "path", "status", "cause"]).to_pylist():
            found.causes[row["cause"]] += 1
            yield tuple(row.values())


def _content(found: Summary) -> dict[str, Any]:
    """For JSON."""
    causes = dict(found.causes.most_common(CAUSES))
    more = found.causes.total() - sum(causes.values())
    return {
        "complete": found.complete,
        "videos": found.videos,
        "rows": found.rows,
        "missing_parts": found.missing,
        "damaged_parts": {str(part): why for part, why in found.damaged.items()},
        "status": dict(found.status),
        "causes": causes | ({"(others)": more} if more else {}),
        "video_seconds": round(found.video_seconds, 3),
        "machines": found.machines,
    }
