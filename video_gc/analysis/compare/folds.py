"""The tests of all folds of a run as one test, in which each video is tested once."""

import hashlib
import json
import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from itertools import chain
from pathlib import Path, PurePath
from typing import Any, Protocol, TypeVar

from video_gc.analysis.compare.predictions import TestedRun
from video_gc.data.divide import Fold
from video_gc.data.index import DataError

SUFFIX = re.compile(r"(?P<stem>.+)_fold(?P<number>\d+)of(?P<count>\d+)")
"""A run directory of a fold; see `Fold.suffix`."""


def fold_in(name: str) -> tuple[str, Fold] | None:
    """The name without its fold, and the fold, of a run directory; None for a run without folds."""
    found = SUFFIX.fullmatch(name)
    return found and (found["stem"], Fold(int(found["number"]), int(found["count"])))


def pool_folds(tests: Sequence[TestedRun]) -> list[TestedRun]:
    """The tests, with those of one run's folds as one, in the place of the first of them.

    Raises ValueError for a fold given twice, DataError if one is missing, or a video is tested in
    two folds.
    """
    return with_folds_pooled(tests, pooled)


class _Named(Protocol):
    @property
    def name(self) -> str: ...
    @property
    def home(self) -> Path: ...


Named = TypeVar("Named", bound=_Named)


def with_folds_pooled(runs: Sequence[Named], pool: Callable[[list[Named]], Named]) -> list[Named]:
    """The runs, with the folds of each one put together by `pool`, in the place of the first."""
    together: dict[object, list[Named]] = {}
    for number, run in enumerate(runs):
        found = fold_in(run.name)
        key = number if found is None else (run.home.resolve().parent, found[0], found[1].count)
        together.setdefault(key, []).append(run)
    return [pool(own) if isinstance(key, tuple) else own[0] for key, own in together.items()]


def pooled(folds: Sequence[TestedRun]) -> TestedRun:
    """One test of all folds of a run. Raises as `pool_folds`."""
    by_number = {found[1].number: test for test in folds if (found := fold_in(test.name))}
    stem, fold = fold_in(folds[0].name) or ("", Fold(0, 1))
    name, times = Counter(test.name for test in folds).most_common(1)[0]
    if times > 1:
        file = next(test.file for test in reversed(folds) if test.name == name)
        raise ValueError(f"{file}: fold {name} is given twice; name each fold once")
    if missing := [str(Fold(n, fold.count)) for n in range(fold.count) if n not in by_number]:
        raise DataError(
            f"{stem}: no test of {'folds' if len(missing) > 1 else 'fold'} {', '.join(missing)}; "
            "every fold is needed, so that each video counts once"
        )
    tests = [by_number[number] for number in sorted(by_number)]
    homes = Counter(path for test in tests for path in set(test.paths))
    path, times = homes.most_common(1)[0]
    if times > 1:
        raise DataError(
            f"{path}: is tested in {times} folds of {stem}; their data or options differ: train "
            "the folds again with one command (another name)"
        )
    names = [sorted(PurePath(path).name for path in test.paths) for test in tests]
    digests = {"division": _digest(names), "names": _digest(sorted(chain(*names)))}
    return TestedRun(
        name=stem,
        home=tests[0].home,
        file=tests[0].file,
        about=_about(tests) | digests,
        paths=[path for test in tests for path in test.paths],
        labels=[label for test in tests for label in test.labels],
        top=[top for test in tests for top in test.top],
        first_scores=[score for test in tests for score in test.first_scores],
        groups=[group for test in tests for group in test.groups or test.paths]
        if any(test.groups for test in tests)
        else None,
        folds=tests,
    )


def _digest(names: object) -> str:
    return hashlib.blake2b(json.dumps(names).encode(), digest_size=6).hexdigest()


def _about(tests: Sequence[TestedRun]) -> dict[str, Any]:
    """accuracy.json of the pooled test; settings are those of the first fold."""
    abouts = [test.about for test in tests]
    about = dict(abouts[0]) | {"fold": None}
    for level in ("video_level", "clip_level"):
        about[level] = _level([one.get(level, {}) for one in abouts])
    for name in ("videos", "not_scored"):
        about[name] = sum(one.get(name) or 0 for one in abouts)
    about["fingerprint"] = _fingerprint([str(one.get("fingerprint") or "") for one in abouts])
    return about


def _level(levels: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Shares of all videos; None for those that are no shares of videos, such as mAP."""
    counts = [int(level.get("count") or 0) for level in levels]
    videos = sum(counts)
    found: dict[str, Any] = {**dict.fromkeys(levels[0]), "count": videos}
    for name in ("top1", "top5"):
        if videos and all(name in level for level in levels):
            found[name] = sum(n * one[name] for n, one in zip(counts, levels, strict=True)) / videos
    return found


def _fingerprint(prints: Sequence[str]) -> str:
    """Equal for equal videos in every fold; empty if one is unknown. See `same_videos`."""
    each = [dict(part.split(":", 1) for part in text.split()) for text in prints]
    kinds = [kind for kind in ("contents", "sizes") if all(kind in one for one in each)]
    texts = ["".join(one[kind] for one in each).encode() for kind in kinds]
    digests = [hashlib.blake2b(text, digest_size=6).hexdigest() for text in texts]
    return " ".join(f"{kind}:{digest}" for kind, digest in zip(kinds, digests, strict=True))
