"""Predictions for many files; a damaged file does not stop the others."""

import os
from collections.abc import Iterator, Sequence
from pathlib import Path

from video_gc.atomic import remove_stale_parts
from video_gc.data.annotations.folder_scan import find_videos
from video_gc.decode.ffmpeg.source import file_status
from video_gc.decode.reader import DecodeError, decode_error
from video_gc.escape import readable
from video_gc.outputs import Outputs
from video_gc.predict.recognizer import Prediction, Recognizer
from video_gc.predict.timeline import draw_timeline
from video_gc.progress import progress_bar, say


def predict_all(
    checkpoint: Path,
    videos: Sequence[Path],
    out: Path,
    count: int = 5,
    device: str | None = None,
    precision: str = "auto",
    backend: str = "auto",
) -> Iterator[Prediction | DecodeError]:
    """Predict each file, and each video in each folder; draw its timeline into `out`.

    Yields a Prediction or an error for each file in order, before its timeline is drawn. An error
    while drawing is only printed. Pictures of an earlier prediction are replaced, other files are
    not.
    Raises FileNotFoundError for a path that does not exist, DataError for a folder without videos.
    """
    files = video_files(videos)
    recognizer = Recognizer(checkpoint, device=device, precision=precision, backend=backend)
    say(f"{checkpoint}: {recognizer.about}")
    remove_stale_parts(out)
    outputs = Outputs(out)
    with progress_bar() as progress:
        for file in progress.track(files, description="Predicting"):
            try:
                prediction = recognizer.predict(file)
            except Exception as error:  # a file can make decoders raise anything
                yield decode_error(file, error)
                continue
            yield prediction
            try:
                stem = outputs.free(readable(f"{file.parent.name}_{file.name}"), ".png")
                with outputs.path(f"{stem}.png") as part:
                    draw_timeline(prediction, part, count)
            except Exception as error:  # the disk, or what matplotlib cannot draw
                say(f"{decode_error(file, error)}: its timeline is not drawn", style="yellow")


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
