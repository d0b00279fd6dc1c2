"""Predictions for many files, one after the other; a damaged one does not stop the others."""

from collections.abc import Iterator, Sequence
from pathlib import Path

from video_gc.data.annotations import find_videos
from video_gc.decode.reader import DecodeError
from video_gc.inference.recognizer import Prediction, Recognizer
from video_gc.inference.timeline import draw_timeline
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

    Yields a Prediction, or the DecodeError of a file that cannot be read, in order.
    Raises FileNotFoundError for a path that does not exist, DataError for a folder without videos.
    """
    files: list[Path] = []
    for video in videos:
        if not video.exists():
            raise FileNotFoundError(f"{video}: no such file or folder")
        files += find_videos(video) if video.is_dir() else [video]
    recognizer = Recognizer(checkpoint, device=device, precision=precision, backend=backend)
    say(f"{checkpoint}: {recognizer.network.about}")
    drawn: set[str] = set()
    with progress_bar() as progress:
        for file in progress.track(files, description="Predicting"):
            try:
                prediction = recognizer.predict(file)
            except DecodeError as error:
                yield error
                continue
            name = _unused(f"{file.parent.name}_{file.name}", drawn)
            draw_timeline(prediction, out / f"{name}.png", count)
            yield prediction


def _unused(name: str, taken: set[str]) -> str:
    number, free = 2, name
    while free in taken:
        free, number = f"{name}-{number}", number + 1
    taken.add(free)
    return free
