"""Finished results that a test would replace: are they of the same measurement?"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any


def check_same(folder: Path, about: Mapping[str, Any]) -> None:
    """Raise FileExistsError where `folder` has the results of another measurement.

    about: what accuracy.json is to say of this one. Another precision, and the same checkpoint
    trained further, is the same measurement; videos are the same by name or by fingerprint.
    """
    file = folder / "accuracy.json"
    if not file.is_file():
        return
    there = {"weights": about["weights"]} | json.loads(file.read_text())  # older ones lack it
    old, new = _measured(there), _measured(about)
    if there.get("fingerprint") == about["fingerprint"]:
        new["data"] = old["data"]
    differs = [what for what in old if old[what] != new[what]]
    if differs:
        has, wants = (", ".join(one[what] for what in differs) for one in (old, new))
        raise FileExistsError(
            f"{folder}: has results of another test ({has}; this one: {wants}); give --out OTHER "
            f"to keep them, or --out {folder} to replace them"
        )


def _measured(about: Mapping[str, Any]) -> dict[str, str]:
    """What a figure depends on, in words."""
    fused = f", {about['fuse']} over them" if about.get("fuse") not in (None, "mean") else ""
    return {
        "checkpoint": Path(about["checkpoint"]).name,
        "weights": f"{about['weights']} weights",
        "data": about["data"],
        "views": f"{about['clips']} × {about['crops']} views{fused}",
    }
