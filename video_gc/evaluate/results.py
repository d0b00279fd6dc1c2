"""The files of a test; each appears under its name when it is complete."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from video_gc.atomic import remove_stale_parts
from video_gc.data.skipped_videos import NOTES, SKIPPED, SkippedVideos
from video_gc.deploy.exported import is_exported
from video_gc.evaluate.confusions import (
    EXAMPLES,
    ConfusedPair,
    class_results,
    confused_pairs,
    confusion_counts,
)
from video_gc.evaluate.metrics import CALIBRATION_BINS, average_precisions
from video_gc.evaluate.plots import (
    class_accuracy,
    confusion_matrix,
    draw_calibration,
    draw_confused_pairs,
    save,
)
from video_gc.evaluate.ranking import ranking
from video_gc.evaluate.scores import Scores
from video_gc.evaluate.tensorboard import EVENTS, write_events
from video_gc.outputs import Outputs, output_path, write_csv, write_output
from video_gc.train.checkpoint import default_output

RESULTS = (
    *("predictions.csv", "scores.npy", "accuracy.json", "classes.csv", "confusion.csv"),
    *("confusion.png", "pairs.csv", "pairs.png", "calibration.png", "classes.png"),
    EVENTS,
)
DRAWN_PAIRS = 8
BESIDE = "beside"
"""Key in accuracy.json of further weights: the first weights of the same test."""


def results_folder(checkpoint: Path, out: Path | None, *, part: bool, fastest: bool) -> Path:
    """`out`, or RUN/test; for a part of the videos, an exported model or the fastest way a folder
    beside it.

    Raises ValueError for the fastest way in RUN/test, for tables of runs read that folder.
    """
    name = "test_subset" if part else "test"
    if is_exported(checkpoint):
        name += f"_{checkpoint.stem}_{checkpoint.suffix[1:]}"
    if fastest and out and out.resolve() == default_output(checkpoint, "test").resolve():
        raise ValueError(f"--out {out}: tables of runs read it, and their rows are tested alike")
    return out or default_output(checkpoint, f"{name}_fastest" if fastest else name)


def check_free(directory: Path, *beside: str) -> None:
    """Raise FileExistsError if a result would replace a file that no test wrote.

    beside: subfolders for the results of further weights.
    """
    remove_stale_parts(directory)
    for folder in (directory, *(directory / name for name in beside)):
        Outputs(folder).check([*RESULTS, SKIPPED, NOTES])


def check_same(folder: Path, about: Mapping[str, Any]) -> None:
    """Raise FileExistsError if `folder` has the results of a different test.

    about: the content of accuracy.json for this test. Another precision, or the same checkpoint
    trained further, is the same test; videos are compared by name or by fingerprint.
    """
    file = folder / "accuracy.json"
    if not file.is_file():
        return
    older = {"weights": about["weights"]}  # older files lack it
    there = older | json.loads(file.read_text("utf-8"))
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
    """The settings that a metric depends on, in words."""
    fused = f", {about['fuse']} over them" if about.get("fuse") not in (None, "mean") else ""
    return {
        "checkpoint": Path(about["checkpoint"]).name,
        "weights": f"{about['weights']} weights",
        "data": about["data"],
        "views": f"{about['clips']} × {about['crops']} views{fused}",
    }


def new_skipped(directory: Path) -> Path:
    """Remove the lists of unreadable and other files, and note that they are rewritten often."""
    outputs = Outputs(directory)
    for name in (SKIPPED, NOTES):
        outputs.remove(name)
    outputs.claim(NOTES)
    return outputs.claim(SKIPPED)


def write_results(result: Scores, directory: Path, *, about: Mapping[str, object]) -> list[Path]:
    """Write the files of one network to `directory`; return their paths.

    predictions.csv; scores.npy (float32, a row for each line of predictions.csv, a column for each
    line of classes.csv); accuracy.json; classes.csv; for TensorBoard `EVENTS`; with one label per
    video also confusion.csv, confusion.png, pairs.csv, calibration.png, classes.png and (if a video
    was wrong) pairs.png. Other files of an earlier test are removed.

    Raises FileExistsError if a file that no test wrote has one of these names.
    """
    directory.mkdir(parents=True, exist_ok=True)
    summary = dict(about) | {
        "videos": len(result.index),
        "not_scored": result.not_scored,
        "video_level": asdict(result.video_level),
        "clip_level": asdict(result.clip_level),
    }
    if result.calibration is not None:
        summary["calibration_error"] = {
            "value": result.calibration,
            "of": f"expected, video level, {CALIBRATION_BINS} bins, l1",
        }
    files = [
        write_predictions(result, directory / "predictions.csv"),
        write_scores(result, directory / "scores.npy"),
        write_output(directory / "accuracy.json", json.dumps(summary, indent=2)),
        write_classes(result, directory / "classes.csv"),
    ]
    if not result.index.multi_label:
        files += _confusions(result, directory)
    pictures = [file for file in files if file.suffix == ".png"]
    files.append(write_events(result.video_level.figures, pictures, directory / EVENTS))
    _remove_results(directory, keep=files)
    return files


def remove_beside(directory: Path) -> bool:
    """Remove the subfolder of a test of several weights; returns whether it did.

    The results of a separate test in that folder stay.
    """
    summary = directory / "accuracy.json"
    if not (Outputs(directory).is_ours(summary.name) and summary.is_file()):
        return False
    if BESIDE not in json.loads(summary.read_text("utf-8")):
        return False
    _remove_results(directory)
    if not any(directory.iterdir()):
        directory.rmdir()
    return True


def _remove_results(directory: Path, keep: Sequence[Path] = ()) -> None:
    outputs = Outputs(directory)
    for name in RESULTS:
        if directory / name not in keep:
            outputs.remove(name)


def _confusions(result: Scores, directory: Path) -> list[Path]:
    """The files for one label per video."""
    names, counts = result.index.names, confusion_counts(result)
    rows = ((name, *row.tolist()) for name, row in zip(names, counts, strict=True))
    pairs, (sure, said) = confused_pairs(result), result.best
    files = [
        write_csv(directory / "confusion.csv", ["true", *names], rows),
        save(confusion_matrix(names, counts), directory / "confusion.png"),
        write_pairs(pairs, directory / "pairs.csv"),
        draw_calibration(sure, said == result.targets, directory / "calibration.png"),
        save(class_accuracy(names, counts), directory / "classes.png"),
    ]
    drawn = directory / "pairs.png"
    return [*files, draw_confused_pairs(pairs[:DRAWN_PAIRS], drawn)] if pairs else files


def write_classes(result: Scores, file: Path) -> Path:
    """One line per class, in the order of the columns of scores.npy; see `class_results`.

    With several labels: name, videos of the class, average precision (empty without videos).
    """
    if not result.index.multi_label:
        lines = [
            (one.name, one.videos, one.right, f"{one.top1:.6f}" if one.videos else "",
             one.taken_for, one.times)
            for one in class_results(result)
        ]  # fmt: skip
        return write_csv(file, ["class", "videos", "right", "top1", "taken_for", "times"], lines)
    labels = result.targets
    each = average_precisions(result.scores[result.rows], labels).tolist()
    counts = labels.sum(0).int().tolist()
    named = zip(result.index.names, counts, each, strict=True)
    precise = [(name, count, f"{share:.6f}" if count else "") for name, count, share in named]
    return write_csv(file, ["class", "videos", "average_precision"], precise)


def write_pairs(pairs: Sequence[ConfusedPair], file: Path) -> Path:
    """A line per pair: true, predicted, count, example1, example2, example3 (paths or empty)."""
    lines = []
    for pair in pairs:
        paths = [example.path for example in pair.examples]
        missing = [""] * (EXAMPLES - len(paths))
        lines.append((pair.true, pair.predicted, pair.count, *paths, *missing))
    examples = [f"example{number}" for number in range(1, EXAMPLES + 1)]
    return write_csv(file, ["true", "predicted", "count", *examples], lines)


def write_predictions(result: Scores, file: Path) -> Path:
    """One line per scored video, in the order of the list: path, label (several: a;b), group (if
    the index has groups), top-5 names and scores, views. A score has all digits of a float32.
    """
    names = result.index.names
    scores, classes = ranking(result.scores, 5)
    count = classes.shape[1]
    grouped = "group" in result.index.table.column_names
    header = ["path", "label", *["group"] * grouped]
    header += [f"{what}{rank}" for rank in range(1, count + 1) for what in ("top", "score")]

    def lines() -> Iterator[list[object]]:
        for row, path in enumerate(result.index.paths):
            if not result.views[row]:
                continue
            ranked = zip(classes[row].tolist(), scores[row].tolist(), strict=True)
            cells = [cell for number, score in ranked for cell in (names[number], f"{score:.9g}")]
            label = ";".join(result.index.label_names(row))
            group = [result.index.group(row) or path] if grouped else []
            yield [path, label, *group, *cells, int(result.views[row])]

    return write_csv(file, [*header, "views"], lines())


def write_scores(result: Scores, file: Path) -> Path:
    """float32 (scored videos, classes), for numpy.load."""
    with output_path(file) as part, part.open("wb") as stream:
        np.save(stream, result.scores[result.rows].numpy())
    return file


def write_skipped(result: Scores, file: Path) -> None:
    """The unreadable videos, and beside them the short ones, in the order of the index."""
    skipped = SkippedVideos(new_skipped(file.parent))
    skipped.replace(result.problems)
    for path in (skipped.file, skipped.notes):
        if not path.is_file():
            Outputs(file.parent).remove(path.name)  # from the note too
