"""What the numbers of a comparison say, in words."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from video_gc.analysis.compare.bootstrap import Difference
from video_gc.analysis.compare.tested import SharedVideos, TestedRun
from video_gc.data.fingerprint import same_copy

GAINS = (0.2, 1.3)
"""Points of top-1 that papers on context blocks usually report as their gain."""
SETTINGS = {
    "clips": ("clips a video", None),
    "crops": ("crops", None),
    "fuse": ("fusion of the views", "mean"),
    "precision": ("precision", "fp32"),
    "weights": ("weights", "raw"),
    "subset": ("subset", None),
}
"""Entry of accuracy.json → what it is, and what was meant before the entry existed."""


def how_tested(about: Mapping[str, Any]) -> dict[str, Any]:
    """What a setting is → its value, for all in which tests may differ. about: accuracy.json."""
    found = {meaning: about.get(key, before) for key, (meaning, before) in SETTINGS.items()}
    stem = Path(about.get("checkpoint", "best")).stem
    # published weights have a name of their own, and are neither
    found["checkpoint"] = stem if stem == "last" or stem.startswith("step-") else "best"
    return found


def word_for(found: Difference, test: bool | None) -> str:
    """`better` or `worse`, said of the side that is named first, or `noise`.

    test: whether McNemar's test sees a difference too, None where there is no such test; only both
        together are believed, as the bootstrap alone says too much of a handful of videos.
    """
    if not found.sure or test is False:
        return "noise"
    return "better" if found.difference > 0 else "worse"


def verdict(
    figure: str,
    found: Difference,
    *,
    names: tuple[str, str],
    videos: int,
    test: bool | None,
    trainings: tuple[int, int],
) -> str:
    """One sentence: what the second of `names` has more than the first, the word for it, and why.

    test: see `word_for`; trainings: runs of each side.
    """
    word, single = word_for(found, test), trainings == (1, 1)
    text = (
        f"{names[1]} − {names[0]}: {found.difference:+.2f} points of {figure} "
        f"(95 % interval {found.low:+.2f} to {found.high:+.2f}), {word}"
    )
    if word != "noise":
        about = "; with one training each this is about two networks, not about two methods"
        return f"{text}{about if single else ''}."
    if found.sure:
        text += f": {name_of_test(trainings)} sees no difference"
    elif test and single:
        text += f", though {name_of_test(trainings)} sees a difference: more videos would tell"
    elif test:
        text += f", though {name_of_test(trainings)} sees a difference: more trainings would tell"
    text += f"; {power(found, videos, trainings)}"
    if found.detectable > GAINS[1]:
        text += f", and gains in this field are {GAINS[0]} to {GAINS[1]}"
    return f"{text}."


def power(found: Difference, videos: int, trainings: tuple[int, int]) -> str:
    """How large a difference must be to be seen here."""
    seen_by = f"{videos} video{'s' * (videos > 1)}"
    if trainings != (1, 1):
        seen_by += f" and {trainings[0]} + {trainings[1]} trainings"
    shows = "shows" if seen_by == "1 video" else "show"
    return f"{seen_by} {shows} a difference of {found.detectable:.1f} points or more (4 times in 5)"


def name_of_test(trainings: tuple[int, int]) -> str:
    """What the test of `Changes` is called: with several runs it is of the videos' shares."""
    return "McNemar's test" if trainings == (1, 1) else "the sign test over the videos"


def warnings_about(
    a: Sequence[TestedRun], b: Sequence[TestedRun], videos: SharedVideos
) -> list[str]:
    """What the comparison does not cover, and where the two sides were not tested alike."""
    runs = [*a, *b]
    found = [_trainings(len(a), len(b)), *_copies(runs), *_settings(runs), *twins(a), *twins(b)]
    for run, left_out in zip(runs, videos.left_out, strict=True):
        if left_out:
            found.append(f"{run.name}: {left_out} videos that another run lacks are left out")
    if videos.moved:
        found.append(
            f"the videos lie elsewhere in {runs[0].name} than in another run: they are matched by "
            "their paths below the common folder"
        )
    return [line for line in found if line]


def _trainings(a: int, b: int) -> str:
    """With one training each nobody knows what another seed would have given."""
    advice = "give several with --a RUN… --b RUN…"
    if a == b == 1:
        return (
            "one training each: the interval is about these two networks; how far another seed "
            f"would have come is not in it ({advice})"
        )
    single = [side for side, runs in (("A", a), ("B", b)) if runs == 1]
    if single:
        return f"{single[0]} is one training: its spread is not in the interval ({advice})"
    return ""


def _copies(runs: Sequence[TestedRun]) -> list[str]:
    first = runs[0]
    return [
        f"{first.name} and {run.name} were tested on other copies of the videos (fingerprints "
        f"{first.about['fingerprint']} and {run.about['fingerprint']})"
        for run in runs[1:]
        if first.about.get("fingerprint")
        and run.about.get("fingerprint")
        and same_copy(first.about["fingerprint"], run.about["fingerprint"]) is False
    ]


def _settings(runs: Sequence[TestedRun]) -> list[str]:
    known = [run for run in runs if run.about]
    unknown = ", ".join(run.name for run in runs if not run.about)
    found = [f"no accuracy.json, so nobody knows how it was tested: {unknown}"] if unknown else []
    for meaning in how_tested({}):
        values = [how_tested(run.about)[meaning] for run in known]
        if any(value != values[0] for value in values):
            each = ", ".join(
                f"{value} in {run.name}" for value, run in zip(values, known, strict=True)
            )
            found.append(f"not tested alike, {meaning}: {each}")
    return found


def twins(side: Sequence[TestedRun]) -> list[str]:
    """Two seeds that say the very same are one seed."""
    return [
        f"{one.name} and {other.name} predict exactly the same: are they two trainings?"
        for place, one in enumerate(side)
        for other in side[place + 1 :]
        if (one.paths, one.top, one.first_scores) == (other.paths, other.top, other.first_scores)
    ]
