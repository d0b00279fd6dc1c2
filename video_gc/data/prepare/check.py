"""Decode every frame of every video below a folder and list what fails."""

import csv
from pathlib import Path

from video_gc.atomic import atomic_path
from video_gc.data.annotations import find_videos
from video_gc.decode.reader import DecodeError, open_video
from video_gc.progress import track


def check_videos(folder: Path, out: Path) -> int:
    """Write `path, reason` of each damaged video to `out`; return how many there are.

    Raises FileNotFoundError for a missing folder, DataError for one without videos.
    """
    files = find_videos(folder)
    damaged: list[tuple[Path, str]] = []
    for file in track(files, "Checking", len(files)):
        try:
            with open_video(file) as reader:
                for _ in reader.frames(range(len(reader)), size=(16, 16)):
                    pass
        except DecodeError as error:
            damaged.append((file, error.reason))
    with atomic_path(out) as part, part.open("w", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(["path", "reason"])
        writer.writerows(damaged)
    return len(damaged)
