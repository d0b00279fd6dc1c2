"""From a checkpoint to test results on disk, on one process or many, in one go or in several."""

from collections.abc import Iterable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from video_gc.data.annotations import DataError
from video_gc.data.batches.view_batches import micro_batch_size
from video_gc.data.batches.workers import guarded_workers
from video_gc.data.dataset import VideoViews
from video_gc.data.reading import Decoding
from video_gc.data.sampling import ClipConfig
from video_gc.data.skipped_videos import SKIPPED, SkippedVideos
from video_gc.data.source import DataConfig
from video_gc.data.transforms import Normalisation
from video_gc.deploy.device import pick_device
from video_gc.deploy.inference_network import FastNetwork, choose, fast_network
from video_gc.evaluate.earlier_results import check_same
from video_gc.evaluate.identity import identity_of
from video_gc.evaluate.journal import (
    FOLDER,
    Journal,
    next_start,
    read_journals,
    remove_journals,
)
from video_gc.evaluate.results import (
    BESIDE,
    check_free,
    new_skipped,
    remove_beside,
    write_results,
    write_skipped,
)
from video_gc.evaluate.scores import Scores, VideoScore, put_together
from video_gc.evaluate.scoring import (
    Network,
    check_videos,
    score_videos,
    view_bar,
)
from video_gc.evaluate.test_videos import (
    TestVideos,
    fingerprint_of,
    kept_videos,
    subset_of,
    videos_to_test,
)
from video_gc.evaluate.tested_weights import WEIGHTS, load_networks
from video_gc.locks import locked
from video_gc.progress import say
from video_gc.train.checkpoint import default_output, is_published
from video_gc.train.ranks.world import (
    World,
    from_first,
    joined,
    pick_gpu,
    this_world,
    to_all,
)
from video_gc.train.test_options import ViewConfig


@dataclass(frozen=True)
class Evaluation:
    """A test that was run."""

    title: str
    results: dict[str, Scores]
    """weights (ema, raw) → their scores"""
    files: list[Path]
    skipped: Path
    coverage: dict[str, int]
    """listed videos, how many were scored, and why the others were not"""

    @property
    def result(self) -> Scores:
        """The scores of the first weights, whose files lie in the folder itself."""
        return next(iter(self.results.values()))


@dataclass(frozen=True)
class _Test:
    """What every process scores its part of."""

    networks: Sequence[Network]
    views: VideoViews
    normalisation: Normalisation
    config: ViewConfig
    workers: int
    device: torch.device
    identity: dict[str, str]


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
    micro_batch: int | None = None,
    precision: str | None = None,
    backend: str | None = None,
    weights: str | None = None,
    subset: int | None = None,
) -> Evaluation:
    """Test a checkpoint; what is not given is taken from the config that it carries.

    Started as several processes (torchrun, srun), each scores a part, and the first alone prints
    and writes; the numbers and files are those of one process. A test that was stopped goes on
    where it was when it is started again, by any number of processes; `out` must be a folder that
    all of them see. weights: raw, ema or both; both by default where the checkpoint has both.
    subset: so many videos, for a quick look.

    Raises FileNotFoundError, ValueError for an unusable checkpoint or option, DataError for data,
    BlockingIOError where another test writes to `out`, FileExistsError where it has files that no
    test wrote, or where none is given and the run's has the results of another measurement.
    """
    world = this_world()
    where = _own_device(device, world)
    with joined(world, gpu=where.type == "cuda"):
        if data is None and is_published(checkpoint):
            raise ValueError(f"{checkpoint}: published weights have no videos; give --data DIR")
        models, contents = load_networks(checkpoint, weights)
        chosen: dict[str, Any] = {
            "clips": clips, "crops": crops, "micro_batch": micro_batch, "precision": precision,
            "backend": backend,
        }  # fmt: skip
        given = {name: value for name, value in chosen.items() if value is not None}
        config = ViewConfig(**contents.config.get("test", {}) | given)
        trained = DataConfig(**contents.config.get("data", {}))
        videos = from_first(
            world, lambda: videos_to_test(checkpoint, contents, trained, data, root)
        )
        whole = len(videos.index)
        videos = videos if subset is None else subset_of(videos, subset)
        part = f"a subset of {len(videos.index)} of {whole} videos" if videos.outside_subset else ""
        found = from_first(world, lambda: fingerprint_of(videos, contents, trained, data))
        asked = out is not None or bool(part)
        out = out or default_output(checkpoint, "test_subset" if part else "test")
        decoding = Decoding(
            trained.decoder,
            # a network that was trained on a GPU may well be tested without one
            trained.decode_device if where.type == "cuda" else "cpu",
            trained.transfer,
            trained.max_pixels,
        )
        views = VideoViews(
            videos.index, contents.clip, clips=config.clips, crops=config.crops, decoding=decoding
        )
        about = {
            "checkpoint": str(checkpoint),
            "data": str(data) if data else kept_videos(checkpoint),
            "subset": part or None,
            "clips": views.clips,
            "crops": views.crops,
            "fuse": config.fuse,
            "seed": contents.config.get("seed"),
            "fingerprint": found,
        }
        first = about | {"weights": next(iter(models))}
        from_first(world, lambda: check_free(out, *list(models)[1:]))
        from_first(world, lambda: None if asked else check_same(out, first))
        networks = _ready(models.values(), contents.clip, config, where, world)
        kind = f"{networks[0].precision}, {networks[0].backend}"
        identity = identity_of(models, contents, views, config, kind, where, found)
        test = _Test(
            networks, views, contents.normalisation, config,
            trained.workers if workers is None else workers, where, identity,
        )  # fmt: skip
        about |= {"precision": networks[0].precision, "backend": networks[0].backend}
        lock = locked(out, what="test", way="--out OTHER") if world.first else nullcontext()
        with lock:
            scored = put_together(views.index, _score(test, out, world))
            results = dict(zip(models, scored, strict=True))
            return from_first(world, lambda: _write(results, videos, out, about))


def _ready(
    models: Iterable[nn.Module],
    clip: ClipConfig,
    config: ViewConfig,
    where: torch.device,
    world: World,
) -> list[FastNetwork]:
    """The networks as they score, in the same precision on all machines."""
    precision, backend = from_first(world, lambda: choose(where, config.precision, config.backend))
    size = micro_batch_size(config.clips * config.crops, config.micro_batch)
    shape = (clip.frames, clip.test_crop, clip.test_crop)
    return [
        fast_network(
            model, shape, device=where, precision=precision, backend=backend, micro_batch=size
        )
        for model in models
    ]


def _own_device(name: str | None, world: World) -> torch.device:
    """`pick_device`; one of several processes takes the GPU of its own number."""
    device = pick_device(name)
    alone = world.size == 1 or device.type != "cuda" or device.index is not None
    return device if alone else pick_gpu(world) or device


def _score(test: _Test, out: Path, world: World) -> list[VideoScore]:
    """The scores of every video, of earlier starts too; the same on all processes.

    Raises as `check_videos` and `guarded_workers`, and KeyboardInterrupt that says how to go on.
    """
    views, folder = test.views, out / FOLDER
    check_videos(views)
    kept: dict[int, VideoScore] = {}
    if world.first:
        kept = _earlier(folder, test.identity, len(views.index))
    start, scored = from_first(world, lambda: (next_start(folder), set(kept)))
    todo = [row for row in range(len(views.index)) if row not in scored]
    mine = VideoViews(
        views.index, views.clip, clips=views.clips, crops=views.crops, decoding=views.decoding,
        rows=todo[world.rank :: world.size],
    )  # fmt: skip
    log = SkippedVideos(new_skipped(out) if world.first else out / SKIPPED)
    journal = Journal(folder, f"{start:03d}-{world.rank}", test.identity)
    done: list[VideoScore] = []
    try:
        with (
            guarded_workers(test.workers),
            view_bar(len(mine.rows), views.clips * views.crops, len(kept)) as (advance, count),
        ):
            for video in score_videos(
                test.networks, mine, test.normalisation, micro_batch=test.config.micro_batch,
                workers=test.workers, device=test.device, fuse=test.config.fuse, advance=advance,
            ):  # fmt: skip
                journal.add(video)
                if world.first:
                    log.add(video.troubles)
                done.append(video)
                count()
    except KeyboardInterrupt:
        far = f"{len(kept) + len(done)} of {len(kept) + len(mine.rows)} videos"
        far += "" if world.size == 1 else " of this process"
        line = f"Interrupted; {far} are scored: the same command goes on from there"
        raise KeyboardInterrupt(line) from None
    finally:
        journal.close()
    return [video for part in to_all([*kept.values(), *done], world) for video in part]


def _earlier(folder: Path, identity: dict[str, str], count: int) -> dict[int, VideoScore]:
    """What earlier starts of this very test scored; says so."""
    kept, differs = read_journals(folder, identity)
    if differs:
        remove_journals(folder)
        say(
            f"{folder}: another test was begun here (other {', '.join(differs)}); starting over",
            style="yellow",
        )
    if kept:
        say(f"{len(kept)} of {count} videos were scored before")
    return kept


def _write(
    results: dict[str, Scores], videos: TestVideos, out: Path, about: Mapping[str, object]
) -> Evaluation:
    """The files, and what is to be said of them. Raises DataError where nothing was scored."""
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
        f"{about['subset'] or f'{len(first.index)} videos'}, "
        f"{about['clips']} × {about['crops']} views each, {about['precision']}, {about['backend']}"
    )
    return Evaluation(title, results, files, skipped, coverage)
