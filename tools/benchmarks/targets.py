"""What the figures are meant to reach, and whether they do."""

from collections.abc import Sequence
from dataclasses import dataclass

from benchmarks.peers import DECORD, FLOOR, GET_CLIP, OURS, PER_VIEW, TORCHCODEC
from benchmarks.turns import Row

LONG_GROUP = 48
"""Frames from one key frame to the next from which a group of pictures counts as long."""


@dataclass(frozen=True)
class Target:
    """One number beside its limit."""

    what: str
    number: float
    limit: float
    at_least: bool = False
    """rather than at most"""

    @property
    def met(self) -> bool:
        """As it was measured, unrounded."""
        return self.number >= self.limit if self.at_least else self.number <= self.limit

    def line(self) -> str:
        """In words."""
        sign = "≥" if self.at_least else "≤"
        return f"{self.what}: {self.number:.2f} (target {sign} {self.limit:g})"


def decode_targets(rows: Sequence[Row], long: Sequence[Row]) -> list[Target]:
    """Those that the rows have figures for; ratios of medians."""
    targets: list[Target] = []
    for video in dict.fromkeys(row.video for row in rows):
        found = [row for row in rows if row.video == video]
        targets += _training(video, {r.name: r for r in found if r.sample == "8x8" and r.seconds})
        targets += _views(video, {r.name: r for r in found if r.sample == "views" and r.seconds})
    times = [row.median for row in long if row.name == OURS and row.median]
    if len(times) == 2:
        what = "a clip of a 15-minute file against one of 10 seconds"
        targets.append(Target(what, times[1] / times[0], 2.0))
    return targets


def loader_target(one: float, two: float, what: str) -> Target:
    """Clips per second of one worker and of two."""
    return Target(f"two workers against one, {what}", two / one, 1.8, at_least=True)


def _training(video: str, rows: dict[str, Row]) -> list[Target]:
    if OURS not in rows:
        return []
    limit = 0.8 if rows[OURS].group >= LONG_GROUP else 1.0
    against = [(DECORD, 1.3), (TORCHCODEC, 1.3), (GET_CLIP, 2.5)]
    what = f"{video}, 8×8"
    return _floor(rows, what, limit) + _faster(rows, what, against)


def _views(video: str, rows: dict[str, Row]) -> list[Target]:
    if OURS not in rows:
        return []
    limit = 1.0 if min(rows[OURS].size) >= 720 else 0.9
    what = f"{video}, 30 views"
    return _floor(rows, what, limit) + _faster(rows, what, [(PER_VIEW, 10.0)])


def _floor(rows: dict[str, Row], what: str, limit: float) -> list[Target]:
    ours, floor = rows[OURS].median, rows[FLOOR].median if FLOOR in rows else None
    return [Target(f"{what}, × floor", ours / floor, limit)] if ours and floor else []


def _faster(rows: dict[str, Row], what: str, against: Sequence[tuple[str, float]]) -> list[Target]:
    ours, targets = rows[OURS].median, []
    for name, limit in against:
        theirs = rows[name].median if name in rows else None
        if ours and theirs:
            text = f"{what}, times as fast as {name}"
            targets.append(Target(text, theirs / ours, limit, at_least=True))
    return targets
