"""Predictions for many files; a damaged file does not stop the others."""

import math
import os
from collections.abc import Generator, Sequence
from dataclasses import dataclass
from pathlib import Path

from video_gc.atomic import remove_stale_parts
from video_gc.data.annotations.folder_scan import find_videos
from video_gc.decode.ffmpeg.paths import file_status
from video_gc.decode.reader import DecodeError, decode_error
from video_gc.escape import readable
from video_gc.outputs import Outputs, fill_csv
from video_gc.predict.recognizer import Prediction, Recognizer
from video_gc.predict.timeline import draw_timeline
from video_gc.progress import progress_bar, say

TABLE = "predictions.csv"


@dataclass(frozen=True, kw_only=True)
class PredictOptions:
    """What is recognised of videos, and what is said of it."""

    top: int = 5
    """classes to show"""
    threshold: float | None = None
    """a class is named from this score; below it a video or window is `none of these`"""
    start: float | None = None
    """begin of the part to recognise, s; None: of the video"""
    end: float | None = None
    """its end, s; None: of the video"""

    def __post_init__(self) -> None:
        if self.top < 1:
            raise ValueError(f"top ({self.top}) must be at least 1")
        if self.threshold is not None and not 0 < self.threshold <= 1:
            raise ValueError(f"threshold ({self.threshold:g}) must be in (0, 1]")
        if self.segment is not None and not 0 <= self.segment[0] < self.segment[1]:
            raise ValueError(
                f"the part from {self.segment[0]:g} s to {self.segment[1]:g} s is empty; start "
                "must be at least 0 s, and end after it"
            )

    @property
    def segment(self) -> tuple[float, float] | None:
        """(start, end) in seconds; None for whole videos."""
        if self.start is None and self.end is None:
            return None
        return self.start or 0.0, math.inf if self.end is None else self.end


def predict_all(
    checkpoint: Path,
    videos: Sequence[Path],
    out: Path,
    options: PredictOptions = PredictOptions(),
    device: str | None = None,
    precision: str = "auto",
    backend: str = "auto",
) -> Generator[Prediction | DecodeError, None, None]:
    """Predict each file, and each video in each folder; draw its timeline into `out`.

    Yields a Prediction or an error for each file in order, before its timeline is drawn. An error
    while drawing is only printed. `predictions.csv` is written at the end, and if the caller stops
    early. Files of an earlier prediction are replaced, others are not.
    Raises FileNotFoundError for a path that does not exist, DataError for a folder without videos,
    FileExistsError if `out` has another predictions.csv.
    """
    files = video_files(videos)
    recognizer = Recognizer(checkpoint, device=device, precision=precision, backend=backend)
    say(f"{checkpoint}: {recognizer.about}")
    remove_stale_parts(out)
    outputs = Outputs(out)
    outputs.check([TABLE])
    rows: list[dict[str, object]] = []
    try:
        with progress_bar() as progress:
            for file in progress.track(files, description="Predicting"):
                try:
                    prediction = recognizer.predict(file, segment=options.segment)
                except Exception as error:  # a file can make decoders raise anything
                    failure = decode_error(file, error)
                    rows.append(_row(file, failure, options))
                    yield failure
                    continue
                rows.append(_row(file, prediction, options))
                yield prediction
                try:
                    stem = outputs.free(readable(f"{file.parent.name}_{file.name}"), ".png")
                    with outputs.path(f"{stem}.png") as part:
                        draw_timeline(prediction, part, options.top)
                except Exception as error:  # the disk, or what matplotlib cannot draw
                    say(f"{decode_error(file, error)}: its timeline is not drawn", style="yellow")
    finally:
        with outputs.path(TABLE) as part:
            ranks = range(1, min(options.top, len(recognizer.names)) + 1)
            ranked = (name for rank in ranks for name in (f"top{rank}", f"score{rank}"))
            header = ["path", "label", *ranked, "damaged_frames", "error"]
            fill_csv(part, header, ([row.get(name, "") for name in header] for row in rows))


def _row(file: Path, found: Prediction | DecodeError, options: PredictOptions) -> dict[str, object]:
    """The line of a file in predictions.csv, also of one that was not read."""
    if isinstance(found, Exception):
        return {"path": file, "error": found}
    row: dict[str, object] = {"path": file, "label": found.label(options.threshold or 0.0)}
    for rank, (name, score) in enumerate(found.top(options.top), start=1):
        row |= {f"top{rank}": name, f"score{rank}": round(score, 6)}
    return row | {"damaged_frames": found.damaged}


def video_files(videos: Sequence[Path]) -> list[Path]:
    """Files as they are, and each video below each folder.

    Raises FileNotFoundError for a path that does not exist, DataError for a folder without videos.
    """
    files: list[Path] = []
    for video in videos:
        file_status(str(video))
        files += find_videos(video) if video.is_dir() else [video]
    return files


def distinct_files(videos: Sequence[Path]) -> list[Path]:
    """`video_files` with their absolute paths, each once."""
    return list(dict.fromkeys(Path(os.path.abspath(file)) for file in video_files(videos)))
