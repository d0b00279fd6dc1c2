"""From a checkpoint to test results on disk, on one process or many; a test can be resumed."""

from collections.abc import Mapping
from contextlib import nullcontext
from dataclasses import dataclass, fields, replace
from functools import partial
from pathlib import Path
from typing import Any

import torch

from video_gc.data.batches.workers import guarded_workers
from video_gc.data.config import DataConfig
from video_gc.data.dataset import VideoViews
from video_gc.data.fingerprint import same_copy
from video_gc.data.index import DataError
from video_gc.data.skipped_videos import SKIPPED, SkippedVideos
from video_gc.data.transforms import Normalisation
from video_gc.deploy.exported import check_exported, is_exported
from video_gc.deploy.fastest import Way
from video_gc.deploy.inference_network import FastNetwork
from video_gc.evaluate.checkpoint_networks import (
    WEIGHTS,
    check_fastest,
    chosen_way,
    load_networks,
    own_device,
    ready_networks,
)
from video_gc.evaluate.journal import (
    FOLDER,
    claim_journals,
    identity_of,
    open_journal,
    read_journals,
    remove_journals,
)
from video_gc.evaluate.results import (
    BESIDE,
    check_free,
    check_same,
    new_skipped,
    remove_beside,
    results_folder,
    write_results,
    write_skipped,
)
from video_gc.evaluate.scores import Scores, VideoScore, put_together
from video_gc.evaluate.selection import selection_note, selection_of
from video_gc.evaluate.tested_videos import (
    EvaluatedVideos,
    fingerprint_of,
    subset_of,
    videos_to_test,
)
from video_gc.evaluate.views import check_videos, score_videos
from video_gc.locks import locked
from video_gc.progress import counted, progress_bar, say
from video_gc.train.checkpoint import is_published
from video_gc.train.distributed.world import World, from_first, joined, this_world, to_all
from video_gc.train.options import decoding_of
from video_gc.train.view_options import ViewConfig


@dataclass(frozen=True, kw_only=True)
class TestOptions:
    """The options of a test; None: as in the checkpoint's config."""

    __test__ = False  # pytest: not a class of tests

    data: Path | None = None
    """folder of class folders, or list; None: the run's test videos"""
    root: Path | None = None
    """folder for relative paths of a list"""
    subset: int | None = None
    """number of videos, for a quick look"""
    weights: str | None = None
    """raw, ema or both; None: all that the checkpoint has"""
    clips: int | None = None
    crops: int | None = None
    micro_batch: int | None = None
    precision: str | None = None
    backend: str | None = None
    """these five: see `ViewConfig`"""
    fastest: bool = False
    """as `video-gc benchmark predict --choose` found it to run fastest here, for the weights that
    `predict` takes"""
    workers: int | None = None
    """decoding processes"""
    device: str | None = None
    """cpu or cuda; None: cuda if available"""
    out: Path | None = None
    """folder for the results, shared by all processes; None: a folder in the run"""

    def views(self, trained: dict[str, Any], way: Way | None) -> ViewConfig:
        """The views: the options given here, the rest as the way or the training's config says."""
        trained = trained | ({"micro_batch": way.micro_batch} if way else {})
        given = {field.name: getattr(self, field.name, None) for field in fields(ViewConfig)}
        chosen = {name: value for name, value in given.items() if value is not None}
        return ViewConfig(**trained | chosen)


@dataclass(frozen=True)
class Evaluation:
    """A finished test."""

    title: str
    results: dict[str, Scores]
    """weights (ema, raw) → their scores"""
    files: list[Path]
    skipped: Path
    coverage: dict[str, int]
    """number of listed and of scored videos, and of the others by cause"""
    note: str = ""
    """what must stand beside the accuracy; see `selection_note`"""

    @property
    def result(self) -> Scores:
        """The scores of the first weights, whose files are in the folder itself."""
        return next(iter(self.results.values()))


@dataclass(frozen=True)
class _Work:
    """The work of a test, of which each process does a part."""

    networks: list[FastNetwork]
    views: VideoViews
    normalisation: Normalisation
    config: ViewConfig
    workers: int
    device: torch.device
    identity: dict[str, str]


def evaluate(checkpoint: Path, asked: TestOptions = TestOptions()) -> Evaluation:
    """Test a checkpoint.

    With several processes (torchrun, srun) each scores a part, and only the first prints and
    writes; numbers and files equal those of one process. Rerun a stopped test to resume it, on any
    number of processes.

    Raises FileNotFoundError; ValueError for an unusable checkpoint or option; DataError for data;
    BlockingIOError if another test writes to `out`; FileExistsError if `out` has files that no test
    wrote, or if it is not given and the run's folder has the results of a different test.
    """
    world = this_world()
    device = own_device(checkpoint, asked.device, world)
    with joined(world, gpu=device.type == "cuda"):
        if asked.data is None and is_published(checkpoint):
            raise ValueError(f"{checkpoint}: published weights have no videos; give --data DIR")
        if asked.fastest:
            given = asked.precision, asked.backend, asked.weights
            check_fastest(checkpoint, given, world.size)
        if is_exported(checkpoint):
            check_exported(checkpoint, device, precision=asked.precision, backend=asked.backend)
        models, contents = load_networks(checkpoint, asked.weights, first=asked.fastest)
        if asked.data is None and not (contents.config or is_published(checkpoint)):
            raise ValueError(
                f"{checkpoint}: lies in no run's folder, so its test videos are unknown; give "
                "--data DIR"
            )
        way = chosen_way(checkpoint, models, contents.clip, device) if asked.fastest else None
        config = asked.views(contents.config.get("test", {}), way)
        trained = DataConfig(**contents.config.get("data", {}))
        videos = from_first(
            world, lambda: videos_to_test(checkpoint, contents, trained, asked.data, asked.root)
        )
        videos = videos if asked.subset is None else subset_of(videos, asked.subset)
        found = from_first(world, lambda: fingerprint_of(videos, contents, trained, asked.data))
        val = contents.fingerprint.get("val", "")
        chose = videos.validation or (asked.data is not None and same_copy(val, found))
        part = bool(videos.part)
        out = results_folder(checkpoint, asked.out, part=part, fastest=asked.fastest)
        # a network trained on a GPU may be tested without one
        where = trained.decode_device if device.type == "cuda" else "cpu"
        decoding = decoding_of(replace(trained, decode_device=where))
        views = VideoViews(
            videos.index, contents.clip, clips=config.clips, crops=config.crops, decoding=decoding
        )
        about = {
            "checkpoint": str(checkpoint),
            "data": str(asked.data or videos.title),
            "selection": selection_of(checkpoint) if chose else None,
            "subset": videos.part or None,
            "clips": views.clips,
            "crops": views.crops,
            "fuse": config.fuse,
            "seed": contents.config.get("seed"),
            "trained_in": contents.config.get("precision"),
            "fold": None if asked.data else contents.config.get("fold"),
            "fingerprint": found,
        }
        from_first(world, lambda: check_free(out, *list(models)[1:]))
        if asked.out is None and not videos.part:
            from_first(world, lambda: check_same(out, about | {"weights": next(iter(models))}))
        networks = ready_networks(models.values(), contents.clip, config, device, world, way)
        using = {"precision": networks[0].precision, "backend": networks[0].backend}
        about |= using
        more = {"precision": ", ".join(using.values()), "files": found}
        more |= {"way": str(way)} if way else {}
        identity = identity_of(models, contents, views, config, device.type, **more)
        workers = trained.workers if asked.workers is None else asked.workers
        work = _Work(networks, views, contents.normalisation, config, workers, device, identity)
        lock = locked(out, what="test", way="--out OTHER") if world.first else nullcontext()
        with lock:
            scored = put_together(views.index, _score(work, out, world))
            results = dict(zip(models, scored, strict=True))
            return from_first(world, lambda: _write(results, videos, out, about))


def _score(work: _Work, out: Path, world: World) -> list[VideoScore]:
    """The scores of every video, from earlier starts too; equal on all processes.

    Raises as `check_videos` and `guarded_workers`, and KeyboardInterrupt with how to resume.
    """
    views, folder = work.views, out / FOLDER
    check_videos(views)
    kept = _earlier(folder, work, world) if world.first else {}
    scored = from_first(world, lambda: set(kept))
    todo = [row for row in range(len(views.index)) if row not in scored]
    mine = VideoViews(
        views.index, views.clip, clips=views.clips, crops=views.crops, decoding=views.decoding,
        rows=todo[world.rank :: world.size],
    )  # fmt: skip
    skipped = SkippedVideos(new_skipped(out) if world.first else out / SKIPPED)
    done: list[VideoScore] = []
    every = len(kept) + len(mine.rows)
    try:
        with (
            guarded_workers(work.workers),
            open_journal(folder, world.rank, work.identity) as journal,
            progress_bar() as progress,
        ):
            bar = progress.add_task("Testing videos", total=every, completed=len(kept))
            count = len(mine.rows) * views.clips * views.crops
            view_bar = progress.add_task("Testing views", total=count)
            for video in score_videos(
                work.networks, mine, work.normalisation,
                micro_batch=work.config.views_in_call(views.clip, work.device.type),
                workers=work.workers, device=work.device, fuse=work.config.fuse,
                advance=partial(progress.advance, view_bar),
            ):  # fmt: skip
                journal.add(video)
                if world.first:
                    skipped.add(video.problems)
                done.append(video)
                progress.advance(bar)
    except KeyboardInterrupt:
        far = f"{len(kept) + len(done)} of {every} videos"
        far += "" if world.size == 1 else " of this process"
        line = f"Interrupted; {far} are scored; rerun the command to resume"
        raise KeyboardInterrupt(line) from None
    return [video for part in to_all([*kept.values(), *done], world) for video in part]


def _earlier(folder: Path, work: _Work, world: World) -> dict[int, VideoScore]:
    """The scores from earlier starts of the same test; prints how many there are."""
    kept, differs = read_journals(folder, work.identity)
    if differs:
        remove_journals(folder)
        say(
            f"{folder}: a different test began here (other {', '.join(differs)}); starting again",
            style="yellow",
        )
    if kept:
        say(f"{len(kept)} of {len(work.views.index)} videos were scored before")
    claim_journals(folder, world.size)
    return kept


def _write(
    results: dict[str, Scores], videos: EvaluatedVideos, out: Path, about: Mapping[str, object]
) -> Evaluation:
    """Write the files; returns the finished test. Raises DataError if nothing was scored."""
    first = next(iter(results.values()))
    skipped = out / SKIPPED
    write_skipped(first, skipped)
    coverage = videos.coverage(first.not_scored)
    files: list[Path] = []
    if first.video_level.count:
        for number, (name, result) in enumerate(results.items()):
            details = dict(about) | {"weights": name, "coverage": coverage}
            details["left_out"] = videos.missing + videos.damaged + videos.unexplained
            if number:
                details[BESIDE] = next(iter(results))
            files += write_results(result, out / name if number else out, about=details)
        for name in set(WEIGHTS) - set(list(results)[1:]):
            if remove_beside(out / name):
                say(f"{out / name}: the results of an earlier test are removed")
    remove_journals(out / FOLDER)
    if not first.video_level.count:
        raise DataError(f"none of {len(first.index)} videos could be read; {skipped} lists why")
    title = (
        f"{about['checkpoint']} on {about['data']}: "
        f"{about['subset'] or counted(len(first.index), 'video')}, "
        f"{about['clips']} × {about['crops']} views each, {about['precision']}, {about['backend']}"
    )
    return Evaluation(title, results, files, skipped, coverage, selection_note(about))
