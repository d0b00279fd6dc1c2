"""A training's logs: metrics by epoch."""

import csv
from pathlib import Path


def read_metrics(logs: Path) -> dict[str, list[tuple[int, float]]]:
    """Metric → (epoch, value), from all CSV logs of a run; a resumed run has several."""
    found: dict[str, dict[int, float]] = {}
    for file in sorted(
        logs.glob("csv/version_*/metrics.csv"), key=lambda f: int(f.parent.name[8:])
    ):
        with file.open(newline="", encoding="utf-8") as stream:
            for row in csv.DictReader(stream):
                for name, value in row.items():
                    if value and name not in ("epoch", "step") and row.get("epoch"):
                        found.setdefault(name, {})[int(float(row["epoch"])) + 1] = float(value)
    return {name: sorted(values.items()) for name, values in found.items()}
