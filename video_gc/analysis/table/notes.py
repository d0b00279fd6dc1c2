"""What must stand under every table: which videos, views and precision, and what does not fit."""

from collections.abc import Mapping, Sequence
from typing import Any

from video_gc.analysis.compare.predictions import (
    SETTINGS,
    identical_predictions,
    read_tested,
    unlike_tests,
)
from video_gc.analysis.table.gather import Group
from video_gc.evaluate.test_videos import CHOSE


def views_and_precision(groups: Sequence[Group]) -> dict[str, str]:
    """`videos`, `views` and `precision` of the tests, each value that occurs once; and `rows`,
    what a row is beyond its name."""
    abouts = [run.about for group in groups for run in group.tested]
    notes = {
        "videos": _each(
            f"{about['video_level'].get('count', '?')} of {about.get('data', 'unknown videos')} "
            f"(fingerprint {about.get('fingerprint', 'unknown')})"
            + (f", subset {about['subset']}" if about.get("subset") else "")
            + (f", {about['not_scored']} not scored" if about.get("not_scored") else "")
            for about in abouts
        ),
        "views": _each(
            f"{about.get('clips', '?')} × {about.get('crops', '?')} a video (clips × crops), "
            f"fused by {about.get('fuse', SETTINGS['fuse'][1])}; clip level: each view alone"
            for about in abouts
        ),
        "precision": _each(
            f"tested in {about.get('precision', SETTINGS['precision'][1])} with the "
            f"{about.get('weights', SETTINGS['weights'][1])} weights"
            for about in abouts
        ),
    }
    hidden = [
        f"{group.name}: {' '.join(group.settings)}"
        for group in groups
        if set(" ".join(group.settings).split()) - set(group.name.split())
    ]
    notes["rows"] = "; ".join(hidden)
    return {name: text for name, text in notes.items() if text}


def warnings_on(
    groups: Sequence[Group], base: Group | None, refused: Mapping[str, str]
) -> list[str]:
    """Rows that were not tested alike, cells that are missing, comparisons that cannot be made."""
    found = [
        f"{group.name}: {len(group.tested)} of {len(group.runs)} seeds; {name}: {why}"
        for group in groups
        for name, why in group.absent.items()
    ]
    found += [f"{group.name}: no cell of it exists" for group in groups if not group.runs]
    if base is not None and not base.tested:
        found.append(f"the baseline row, {base.name}, is not tested: no differences")
    if base is None and len(groups) > 1:
        found.append("no baseline, so no differences: give --baseline ROW")
    found += [f"{name} is not compared with the baseline: {why}" for name, why in refused.items()]
    found += _optimistic(groups)
    found += unlike_tests([(group.name, run.about) for group in groups for run in group.tested])
    for group in groups:
        seeds = [run.seed for run in group.tested if run.seed is not None]
        if len(set(seeds)) < len(seeds):
            found.append(f"{group.name}: seeds {', '.join(map(str, seeds))}: one is there twice")
        found += identical_predictions([read_tested(run.home) for run in group.tested])
    return found


def _optimistic(groups: Sequence[Group]) -> list[str]:
    names = [
        group.name
        for group in groups
        if any(CHOSE in str(run.about.get("data")) for run in group.tested)
    ]
    if not names:
        return []
    return [
        f"tested on the validation videos, {CHOSE}: {', '.join(names)}; hold out a test split "
        "(DIR/test, or data.test)"
    ]


def _each(texts: Any) -> str:
    return "; ".join(dict.fromkeys(texts))
