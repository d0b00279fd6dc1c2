"""Whether a row's accuracy is as predicted, from the interval of its mean over seeds."""

from dataclasses import dataclass

from video_gc.ablate.spec import Predicted
from video_gc.analysis.table.accuracy import Figure

PREDICTED = "top1 video"
"""The figure that predictions are about."""
ROUNDED = 9
"""Decimals: 57 of 100 videos are 56.99999999999999 %, which is not below 57."""


@dataclass(frozen=True)
class Outcome:
    """A prediction's outcome, per cent."""

    mean: float | None
    """over seeds; None if nothing is tested"""
    low: float | None
    """lower end of the 95 % interval of the mean, Student's t; None with fewer than two seeds"""
    high: float | None
    word: str
    """yes, no, open, one seed, or not measured"""
    sentence: str
    """the reason, the figures and the word"""


def outcome(row: str, predicted: Predicted | None, figure: Figure | None) -> Outcome | None:
    """None if nothing is predicted. row: its name; figure: its `PREDICTED`, None if untested."""
    if predicted is None:
        return None
    reason = predicted.because.strip()
    reason += "" if reason.endswith((".", "!", "?")) else "."
    said = f"{row}: predicted {predicted.text} %. {reason}"
    if figure is None:
        return Outcome(None, None, None, "not measured", f"{said} Not measured yet.")
    found = figure.over_seeds
    if found is None:
        said += f" Measured: {figure.mean:.2f} % with one seed, which has no interval: open."
        return Outcome(figure.mean, None, None, "one seed", said)
    low, high = found
    word = _word(predicted, low, high)
    seeds = f"mean of {len(figure.values)} seeds, 95 % interval {low:.2f} to {high:.2f}"
    said += f" Measured: {figure.mean:.2f} % ({seeds}): {word}."
    return Outcome(figure.mean, low, high, word, said)


def _word(predicted: Predicted, low: float, high: float) -> str:
    """yes if all of the interval is as predicted, no if none of it is, else open; the bounds
    themselves are as predicted."""
    least = 0.0 if predicted.at_least is None else predicted.at_least
    most = 100.0 if predicted.at_most is None else predicted.at_most
    least, low, high, most = (round(value, ROUNDED) for value in (least, low, high, most))
    if least <= low and high <= most:
        return "yes"
    return "no" if high < least or low > most else "open"
