"""Segments of many long videos, and their files: ActivityNet's JSON, a CSV, a picture a video."""

import json
import os
from collections import Counter
from collections.abc import Generator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from rich.progress import Progress

from video_gc.decode.reader import DecodeError, decode_error
from video_gc.escape import readable
from video_gc.outputs import Outputs, fill_csv
from video_gc.predict.batch import distinct_files
from video_gc.predict.recognizer import Recognizer
from video_gc.predict.segments import (
    Segment,
    SegmentOptions,
    check_windows,
    find_segments,
    smooth,
)
from video_gc.predict.timeline import draw_segments
from video_gc.predict.windows import SCORES, RowFiles, each_video
from video_gc.progress import say

JSON, TABLE = "segments.json", "segments.csv"
WINDOWS = "windows"
"""The folder of the windows' scores."""


@dataclass(frozen=True)
class VideoSegments:
    """The segments of a video."""

    video: str
    segments: list[Segment]
    damaged: int
    """frames used that are damaged"""

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        rows = segment_rows(self.segments)
        return {"video": self.video, "segments": rows, "damaged_frames": self.damaged}


def segment_all(
    checkpoint: Path,
    videos: Sequence[Path],
    out: Path,
    options: SegmentOptions,
    device: str | None = None,
    precision: str = "auto",
    backend: str = "auto",
) -> Generator[VideoSegments | DecodeError, None, None]:
    """Find the segments of each file, and of each video in each folder; write them into `out`.

    Yields the segments or an error for each file in order. The scores of windows are kept, so that
    a rerun continues where a killed run stopped, and other thresholds take seconds. The JSON and
    the CSV are written at the end, and if the caller stops early.
    Raises FileNotFoundError for a path that does not exist, DataError for a folder without videos,
    ValueError for a network that sees a whole video at once.
    """
    files = distinct_files(videos)
    recognizer = Recognizer(checkpoint, device=device, precision=precision, backend=backend)
    contract = recognizer.contract
    check_windows(contract)
    say(f"{checkpoint}: {recognizer.about}")
    scores = RowFiles(recognizer, out / WINDOWS, SCORES, recognizer.scores, options.overlap)
    outputs, done = Outputs(out), list[VideoSegments]()

    def work(video: Path, progress: Progress) -> VideoSegments:
        file, found = scores.rows(video, progress)
        segments = find_segments(found.rows, found.start, found.end, contract.names, options)
        try:
            with outputs.path(f"{file.stem}.png") as part:
                curve = replace(found, rows=smooth(found.rows, options.smooth))
                draw_segments(curve, contract.names, segments, options.threshold, part)
        except Exception as error:  # the disk, or what matplotlib cannot draw
            say(f"{decode_error(video, error)}: its timeline is not drawn", style="yellow")
        return VideoSegments(os.fspath(video), segments, len(found.damaged))

    try:
        for each in each_video(files, work):
            if isinstance(each, VideoSegments):
                done.append(each)
            yield each
    finally:
        write_segments(outputs, done)


def write_segments(outputs: Outputs, found: Sequence[VideoSegments]) -> None:
    """Write both files.

    A video's name in the JSON is its file's name without the suffix, as in ActivityNet; if two
    videos share it, their paths.
    """
    stems = Counter(Path(each.video).stem for each in found)

    def name(video: str) -> str:
        stem = Path(video).stem
        return readable(stem if stems[stem] == 1 else video)

    results = {name(each.video): segment_rows(each.segments) for each in found}
    content = {"version": "VERSION 1.3", "results": results, "external_data": {}}
    with outputs.path(JSON) as part:
        part.write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    rows = [
        (each.video, row["label"], *row["segment"], row["score"])
        for each in found
        for row in segment_rows(each.segments)
    ]
    with outputs.path(TABLE) as part:
        fill_csv(part, ["video", "label", "start", "end", "score"], rows)


def segment_rows(segments: Sequence[Segment]) -> list[dict[str, Any]]:
    """Segments as ActivityNet writes detections; times in ms steps."""
    return [
        {
            "label": each.label,
            "score": round(each.score, 4),
            "segment": [round(each.start, 3), round(each.end, 3)],
        }
        for each in segments
    ]
