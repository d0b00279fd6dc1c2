"""What must stand under every table: which videos, views and precision, and what does not fit."""

from collections.abc import Mapping, Sequence
from typing import Any

from video_gc.analysis.compare.tested import read_tested
from video_gc.analysis.compare.verdict import SETTINGS, how_tested, twins
from video_gc.analysis.table.gather import Group
from video_gc.data.fingerprint import same_copy
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
    found += _unlike_settings(groups)
    found += _copies(groups)
    for group in groups:
        seeds = [run.seed for run in group.tested if run.seed is not None]
        if len(set(seeds)) < len(seeds):
            found.append(f"{group.name}: seeds {', '.join(map(str, seeds))}: one is there twice")
        found += twins([read_tested(run.home) for run in group.tested])
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


def _unlike_settings(groups: Sequence[Group]) -> list[str]:
    found = []
    for meaning in how_tested({}):
        rows: dict[Any, dict[str, None]] = {}
        for group in groups:
            for run in group.tested:
                rows.setdefault(str(how_tested(run.about)[meaning]), {})[group.name] = None
        if len(rows) > 1:
            each = "; ".join(f"{value} in {', '.join(names)}" for value, names in rows.items())
            found.append(f"not tested alike, {meaning}: {each}")
    return found


def _copies(groups: Sequence[Group]) -> list[str]:
    """Whether all were tested on the same copy of the videos."""
    known = [
        (group.name, run.name, str(run.about["fingerprint"]))
        for group in groups
        for run in group.tested
        if run.about.get("fingerprint")
    ]
    if not known:
        return []
    first = known[0]
    others = [each for each in known[1:] if same_copy(first[2], each[2]) is False]
    if not others:
        return []
    each = ", ".join(f"{run} ({printed})" for _, run, printed in others)
    return [
        f"not all rows are tested on the same videos: {first[1]} ({first[2]}), but {each}; their "
        "figures cannot be compared"
    ]


def _each(texts: Any) -> str:
    return "; ".join(dict.fromkeys(texts))
