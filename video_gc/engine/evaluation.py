"""From a checkpoint to test results on disk."""

from dataclasses import dataclass
from pathlib import Path

from video_gc.data.annotations import DataError, VideoIndex, read_class_folders, read_list
from video_gc.data.dataset import VideoViews
from video_gc.data.source import DataConfig, open_splits
from video_gc.engine.checkpoint import (
    CheckpointContents,
    default_output,
    is_published,
    load_network,
)
from video_gc.engine.device import pick_device
from video_gc.engine.testing import Scores, ViewConfig, score_views, write_results
from video_gc.engine.troubles import TroubleLog


@dataclass(frozen=True)
class Evaluation:
    """A test that was run."""

    title: str
    result: Scores
    files: list[Path]
    skipped: Path


def evaluate(
    checkpoint: Path,
    *,
    data: Path | None = None,
    root: Path | None = None,
    clips: int | None = None,
    crops: int | None = None,
    out: Path | None = None,
    workers: int | None = None,
    device: str | None = None,
) -> Evaluation:
    """Test a checkpoint; what is not given is taken from the config that it carries.

    Raises FileNotFoundError, ValueError for an unusable checkpoint or option, DataError for data.
    """
    if data is None and is_published(checkpoint):
        raise ValueError(f"{checkpoint}: published weights have no videos; give --data DIR")
    model, contents = load_network(checkpoint)
    given = {
        name: value for name, value in (("clips", clips), ("crops", crops)) if value is not None
    }
    config = ViewConfig(**contents.config.get("test", {}) | given)
    workers = DataConfig(**contents.config.get("data", {})).workers if workers is None else workers
    views = VideoViews(
        _videos(checkpoint, contents, data, root),
        contents.clip,
        clips=config.clips,
        crops=config.crops,
    )
    out = out or default_output(checkpoint, "test")
    log = TroubleLog(out / "skipped.csv")
    log.file.unlink(missing_ok=True)
    result = score_views(
        model,
        views,
        contents.normalisation,
        micro_batch=config.micro_batch,
        workers=workers,
        device=pick_device(device),
        log=log,
    )
    log.write()
    if not result.video_level.count:
        raise DataError(f"none of {len(views.index)} videos could be read; {log.file} lists why")
    about = {
        "checkpoint": str(checkpoint),
        "data": str(data) if data else _kept_videos(checkpoint),
        "clips": views.clips,
        "crops": views.crops,
        "seed": contents.config.get("seed"),
    }
    title = (
        f"{checkpoint} on {about['data']}: {len(views.index)} videos, "
        f"{views.clips} × {views.crops} views each"
    )
    return Evaluation(title, result, write_results(result, out, about=about), log.file)


def _kept_videos(checkpoint: Path) -> str:
    """What the run's test videos are, said plainly."""
    val, test = (default_output(checkpoint, "splits") / f"{name}.txt" for name in ("val", "test"))
    if val.is_file() and val.read_text() == test.read_text():
        return (
            "the validation videos, which chose the best checkpoint: an optimistic score "
            "(no test videos were given)"
        )
    return "the run's test videos"


def _videos(
    checkpoint: Path, contents: CheckpointContents, data: Path | None, root: Path | None
) -> VideoIndex:
    if data is None:
        kept = default_output(checkpoint, "splits") / "test.txt"
        if kept.is_file():  # the very videos that were set aside when the training started
            return read_list(kept, names=contents.names)
        index = open_splits(DataConfig(**contents.config["data"])).test
        if list(index.names) != contents.names:
            raise ValueError(
                f"the checkpoint knows {len(contents.names)} classes, the data {len(index.names)}; "
                "give --data with the classes it was trained on"
            )
        return index
    if data.is_file():
        return read_list(data, root, contents.names)
    if not data.is_dir():
        raise FileNotFoundError(f"{data}: no such list or folder (--data)")
    return read_class_folders(data, contents.names)
