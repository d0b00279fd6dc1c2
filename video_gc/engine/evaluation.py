"""From a checkpoint to test results on disk."""

import filecmp
from dataclasses import dataclass
from pathlib import Path

from video_gc.data.annotations import (
    DataError,
    VideoIndex,
    leave_out_missing,
    read_class_folders,
)
from video_gc.data.annotations.choice import LISTS, kind_of_list, read_listed
from video_gc.data.dataset import VideoViews
from video_gc.data.fingerprint import fingerprint, fingerprint_warning, published_count_note
from video_gc.data.manifest import choose_manifest
from video_gc.data.reading import Decoding
from video_gc.data.source import (
    DataConfig,
    data_manifest,
    need_labels,
    open_splits,
    read_splits,
    say_missing,
    without_damaged,
)
from video_gc.engine.checkpoint import (
    CheckpointContents,
    default_output,
    is_published,
    load_network,
)
from video_gc.engine.device import pick_device
from video_gc.engine.testing import Scores, ViewConfig, score_views, write_results
from video_gc.engine.troubles import TroubleLog
from video_gc.progress import say


@dataclass(frozen=True)
class Evaluation:
    """A test that was run."""

    title: str
    result: Scores
    files: list[Path]
    skipped: Path


@dataclass(frozen=True)
class ScoredVideos:
    """What is tested."""

    index: VideoIndex
    left_out: int
    """others that were listed: missing ones, and what a manifest calls damaged"""
    manifest: Path | None


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
    trained = DataConfig(**contents.config.get("data", {}))
    where = pick_device(device)
    videos = _videos(checkpoint, contents, trained, data, root)
    views = VideoViews(
        videos.index,
        contents.clip,
        clips=config.clips,
        crops=config.crops,
        decoding=Decoding(
            trained.decoder,
            # a network that was trained on a GPU may well be tested without one
            trained.decode_device if where.type == "cuda" else "cpu",
            trained.transfer,
        ),
    )
    found = _fingerprint(videos, contents, trained, data)
    out = out or default_output(checkpoint, "test")
    log = TroubleLog(out / "skipped.csv")
    log.file.unlink(missing_ok=True)
    result = score_views(
        model,
        views,
        contents.normalisation,
        micro_batch=config.micro_batch,
        workers=trained.workers if workers is None else workers,
        device=where,
        log=log,
        fuse=config.fuse,
    )
    log.write()
    if not result.video_level.count:
        raise DataError(f"none of {len(views.index)} videos could be read; {log.file} lists why")
    about = {
        "checkpoint": str(checkpoint),
        "data": str(data) if data else _kept_videos(checkpoint),
        "clips": views.clips,
        "crops": views.crops,
        "fuse": config.fuse,
        "seed": contents.config.get("seed"),
        "fingerprint": found,
        "left_out": videos.left_out,
    }
    title = (
        f"{checkpoint} on {about['data']}: {len(views.index)} videos, "
        f"{views.clips} × {views.crops} views each"
    )
    return Evaluation(title, result, write_results(result, out, about=about), log.file)


def _fingerprint(
    videos: ScoredVideos, contents: CheckpointContents, trained: DataConfig, data: Path | None
) -> str:
    """Which copy is tested; says where it is another one than the training's, or the published."""
    found = fingerprint(videos.index, videos.manifest)
    name = str(data or f"{trained.kind} {trained.root}")
    for line in (
        fingerprint_warning(contents.fingerprint, found),
        published_count_note(name, len(videos.index), len(contents.names)),
    ):
        if line:
            say(line, style="yellow")
    return found


def _kept_videos(checkpoint: Path) -> str:
    """What the run's test videos are, said plainly."""
    splits = default_output(checkpoint, "splits")
    for ending in ("arrow", "txt"):
        val, test = splits / f"val.{ending}", splits / f"test.{ending}"
        if val.is_file() and test.is_file() and filecmp.cmp(val, test, shallow=False):
            chosen = ", which chose this checkpoint: an optimistic score"
            which = chosen if checkpoint.name.startswith("best") else ""
            return f"the validation videos{which} (the run has no other test videos)"
    return "the run's test videos"


def _videos(
    checkpoint: Path,
    contents: CheckpointContents,
    trained: DataConfig,
    data: Path | None,
    root: Path | None,
) -> ScoredVideos:
    if data is None:
        return _trained_for(checkpoint, contents, trained)
    if (data / "train").is_dir():
        raise ValueError(f"{data}: holds splits; give one of them, such as --data {data / 'val'}")
    if data.is_file():
        index = _listed(data, trained, contents, root)
    elif data.is_dir() and trained.multi_label:
        raise ValueError(
            f"{data}: class folders have one label a video, this checkpoint was trained with "
            "several; give --data a table or list"
        )
    elif data.is_dir():
        index, root = read_class_folders(data, contents.names), data
    else:
        raise FileNotFoundError(f"{data}: no such list or folder (--data)")
    listed = len(index)
    manifest = choose_manifest(None, root, [data])
    if manifest is not None:
        index = without_damaged(index, manifest)
    if data.is_file():
        index, missing = leave_out_missing(index)
        say_missing(missing, listed)
    need_labels(index, "test")
    return ScoredVideos(index, listed - len(index), manifest)


def _trained_for(
    checkpoint: Path, contents: CheckpointContents, trained: DataConfig
) -> ScoredVideos:
    """The very videos that were set aside when the training started, else the config's."""
    manifest = data_manifest(trained)
    folder = default_output(checkpoint, "splits")
    kept = folder.is_dir()
    splits = read_splits(folder, manifest, only=("test",)) if kept else open_splits(trained)
    names = splits.test.names
    if names != contents.names:
        raise ValueError(
            f"the checkpoint knows {len(contents.names)} classes, the data {len(names)}; "
            "give --data with the classes it was trained on"
        )
    return ScoredVideos(splits.test, splits.left_out["test"], manifest)


def _listed(
    data: Path, config: DataConfig, contents: CheckpointContents, root: Path | None
) -> VideoIndex:
    """A list or table, read as the training read its own where that was of the same kind."""
    kind = config.kind if config.kind in LISTS else kind_of_list(data)
    return read_listed(
        data,
        kind=kind,
        root=root,
        names=contents.names,
        multi_label=config.multi_label,
        columns=config.table_columns,
    )
