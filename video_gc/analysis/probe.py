"""A linear classifier on frozen features, cross-validated: the baseline of a user with 50 clips.

Logistic regression (scikit-learn, L2 with C = 1) on the standardised mean features of each video.
The folds divide no group, and are those of a training with `fold=0/5`. Each video is predicted by
the classifier that has not seen its group.
"""

import json
import os
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from rich.table import Table

from video_gc.analysis.compare.bootstrap import Difference, accuracy_figures, levels
from video_gc.data.annotations.groups import with_groups
from video_gc.data.annotations.tables import columns_of, read_table
from video_gc.data.divide import divide, groups_of, is_grouped
from video_gc.data.index import DataError, VideoIndex
from video_gc.escape import readable
from video_gc.extras import need
from video_gc.outputs import Outputs, fill_csv
from video_gc.predict.windows import DAMAGED, SCORES, opened
from video_gc.progress import say

FILE = "probe.csv"
PATTERN = "--group PATTERN"
MOST_STEPS = 2000
"""Most iterations of the optimiser."""


@dataclass(frozen=True)
class Features:
    """The features of a video, from a file of video-gc features."""

    video: str
    rows: np.ndarray
    """(K, C)"""
    centre: np.ndarray
    """(K,) seconds"""
    end: float
    """of the last window, s"""
    source: tuple[str, str]
    """layer, and hash of the weights"""
    pooled: bool

    def mean(self, segment: tuple[float, float] | None) -> np.ndarray:
        """(C,): over the windows whose centre is in the segment, else over the nearest one.

        Raises DataError for a segment outside the video, or of pooled features.
        """
        if segment is None:
            return self.rows.mean(0)
        if self.pooled:
            raise DataError(
                f"{self.video}: its features are one row for the whole video, and the labels are "
                "of parts; run video-gc features without --pool"
            )
        start, end = segment
        if not start < min(end, self.end):
            raise DataError(
                f"{self.video}: the segment {start:g}…{end:g} s lies outside the video, which ends "
                f"at {self.end:g} s; correct the table of labels"
            )
        inside = (self.centre >= start) & (self.centre < end)
        if not inside.any():
            middle = (start + min(end, float(self.centre[-1]))) / 2
            inside[np.abs(self.centre - middle).argmin()] = True
        return self.rows[inside].mean(0)


@dataclass(frozen=True)
class Probe:
    """The predictions for all videos, and their accuracy."""

    index: VideoIndex
    layer: str
    channels: int
    predicted: np.ndarray
    """(V,) class numbers"""
    fold: np.ndarray
    """(V,) the fold that tests each video"""
    groups: np.ndarray
    """(V,) numbers of groups"""
    accuracy: Difference
    """per cent, with a 95 % interval over videos, or over groups where there are any"""
    mean_class: Difference


def probe(folder: Path, labels: Path | None, group: str | None, folds: int = 5) -> Probe:
    """Cross-validate a linear classifier on the features in `folder`, and write `probe.csv` there.

    labels: a table (CSV) with columns path (or video) and label, and perhaps start and end in
        seconds, and group; None: a video's label is the name of its folder.
    group: a pattern for the paths; see groups.py.

    Raises ImportError without scikit-learn, DataError for features or labels that cannot be used.
    """
    need("probe", "sklearn", by="the classifier")
    features = read_features(folder)
    index = labelled(features, labels, group)
    segments = index.segments() or [None] * len(index)
    by_path = {one.video: one for one in features}
    rows = [
        by_path[os.fspath(path)].mean(segment)
        for path, segment in zip(index.paths, segments, strict=True)
    ]
    groups, names = groups_of(index)
    if len(names) < folds:
        what = "groups" if is_grouped(index) else "videos"
        way_out = "give fewer --folds" if len(names) > 1 else "there must be at least two"
        raise DataError(f"{folder}: {len(names)} {what} for {folds} folds; {way_out}")
    if len(np.unique(index.labels)) < 2:
        raise DataError(f"{folder}: all videos are of class {index.names[index.labels[0]]!r}")
    for number in np.unique(index.labels):
        if len(np.unique(groups[index.labels == number])) == 1:
            what = "group" if is_grouped(index) else "video"
            name = readable(index.names[number])
            say(f"{name}: one {what}, so no classifier that is tested on it knows it", "yellow")
    fold = divide(groups, index.labels, [1 / folds] * folds)[groups]
    predicted = cross_validated(np.stack(rows), index.labels, fold)
    right = (predicted == index.labels)[None]
    drawn = groups if is_grouped(index) else None
    accuracy, _, mean_class = levels(*accuracy_figures(index.labels, right, right, drawn), 1)
    layer, channels = features[0].source[0], rows[0].shape[0]
    found = Probe(index, layer, channels, predicted, fold, groups, accuracy, mean_class)
    write_probe(found, folder)
    return found


def cross_validated(features: np.ndarray, labels: np.ndarray, fold: np.ndarray) -> np.ndarray:
    """The class of each video (V,), predicted by a classifier of the other folds.

    features (V, C), labels (V,), fold (V,). Mean and deviation are those of the training videos.
    """
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    predicted = np.empty_like(labels)
    for number in np.unique(fold):
        tested = fold == number
        known = np.unique(labels[~tested])
        if len(known) == 1:
            predicted[tested] = known[0]
            continue
        classifier = make_pipeline(StandardScaler(), LogisticRegression(max_iter=MOST_STEPS))
        classifier.fit(features[~tested], labels[~tested])
        predicted[tested] = classifier.predict(features[tested])
    return predicted


def read_features(folder: Path) -> list[Features]:
    """The features of all files in a folder.

    Raises FileNotFoundError, DataError for a folder without any, or with those of two networks.
    """
    if not folder.is_dir():
        raise FileNotFoundError(f"{folder}: no such folder; video-gc features makes one")
    found = []
    for file in sorted(folder.glob("*.npz")):
        try:
            with opened(file) as kept:
                about = json.loads(str(kept["identity"]))
                source = str(kept["layer"]), str(kept["weights"])
                rows = kept[SCORES if source[0] == SCORES else "features"]
                video = str(about["video"][0])
                centre, end = kept["centre"], float(kept["end"][-1])
                found.append(Features(video, rows, centre, end, source, bool(about["pool"])))
        except DAMAGED as error:
            raise DataError(f"{file}: no file of video-gc features; remove it") from error
        if found[-1].source != found[0].source:
            raise DataError(
                f"{file}: features from {found[-1].source[0]} of weights {found[-1].source[1][:8]},"
                f" others are from {found[0].source[0]} of weights {found[0].source[1][:8]}; give "
                "each its own folder (video-gc features --out)"
            )
    if not found:
        raise DataError(f"{folder}: no features in this folder; run video-gc features first")
    return found


def labelled(features: list[Features], labels: Path | None, group: str | None) -> VideoIndex:
    """The labelled videos that have features, with the groups that the pattern `group` finds.

    A video is found by its path, or by its name if no other video or row has it. Rows without
    features and features without a row are counted in a line. As in a training, the pattern sees
    paths from the folder of the classes' folders, or those of the table.
    """
    if labels is None:
        of_videos = [Path(one.video).parent.name for one in features]
        names = sorted(set(of_videos))
        numbers = [names.index(name) for name in of_videos]
        root = os.path.commonpath([Path(one.video).parent.parent for one in features])
        paths = [os.path.relpath(one.video, root) for one in features]
        return with_groups(VideoIndex.build(paths, numbers, names, root=root), group, PATTERN)
    there = columns_of(labels)
    columns: dict[str, str] = {name: name for name in ("start", "end") if name in there}
    if "path" not in there and "video" in there:  # segments.csv
        columns["path"] = "video"
    index = read_table(labels, columns=columns, option="a table with this column")
    by_name: dict[str, list[str]] = {}
    for one in features:
        by_name.setdefault(Path(one.video).name, []).append(one.video)
    known = {one.video for one in features}
    rows_of = Counter(os.path.basename(path) for path in set(map(os.path.abspath, index.paths)))
    rows, paths = list[int](), list[str]()
    for row, path in enumerate(index.paths):
        own = os.path.abspath(path)
        alike = by_name.get(path.name, []) if rows_of[path.name] == 1 else []
        same = [own] if own in known else alike
        if len(same) == 1 and index.labels[row] >= 0:
            rows.append(row)
            paths.append(same[0])
    if not rows:
        raise DataError(f"{labels}: none of its {len(index)} rows names a video with features")
    if missing := len(index) - len(rows):
        say(f"{labels}: {missing} of {len(index)} rows have no features or no label", "yellow")
    if unused := len(known - set(paths)):
        say(f"{labels}: {unused} of {len(known)} videos with features have no row", "yellow")
    table = with_groups(index.take(rows), group, PATTERN).table
    more = {
        name: table[name].to_pylist()
        for name in ("start", "end", "group")
        if name in table.column_names
    }
    return VideoIndex.build(paths, index.labels[rows], index.names, **more)


def write_probe(found: Probe, folder: Path) -> None:
    """A line for each video, or each labelled part of one."""
    index, names = found.index, found.index.names
    segments = index.segments() or [None] * len(index)
    rows = [
        (path, *(segment or ("", "")), names[label], names[predicted], fold)
        for path, segment, label, predicted, fold in zip(
            index.paths, segments, index.labels, found.predicted, found.fold, strict=True
        )
    ]
    with Outputs(folder).path(FILE) as part:
        fill_csv(part, ["video", "start", "end", "label", "predicted", "fold"], rows)


def probe_table(found: Probe) -> Table:
    """Accuracy with its interval, and the classes."""
    labels, names = found.index.labels, found.index.names
    grouped = is_grouped(found.index)
    videos = "parts" if found.index.segments() else "videos"
    count = f"{len(labels)} {videos}"
    count += f", {len(np.unique(found.groups))} groups" if grouped else ""
    table = Table(title=f"Linear classifier on {found.layer} ({found.channels} channels): {count}")
    for name in ("", "%", "95 % interval", videos, "groups"):
        table.add_column(name, justify="right" if name else "left", overflow="fold")
    for title, each in (("top-1", found.accuracy), ("mean class", found.mean_class)):
        interval = f"{each.low:.1f} – {each.high:.1f}"
        table.add_row(title, f"{each.b[0]:.1f}", interval, f"{len(labels)}", "")
    largest = np.bincount(labels).max() / len(labels)
    table.add_row("always the largest class", f"{100 * largest:.1f}", end_section=True)
    for number, name in enumerate(names):
        own = labels == number
        if own.any():
            right = 100 * (found.predicted[own] == number).mean()
            groups = f"{len(np.unique(found.groups[own]))}" if grouped else ""
            table.add_row(readable(name), f"{right:.1f}", "", f"{own.sum()}", groups)
    return table
