"""What a training reads: its two loaders, and which copy of the data set that is."""

from collections.abc import Iterable
from pathlib import Path

import torch
from torch.utils.data import DataLoader

from video_gc.data.augment import sided_labels, some_names
from video_gc.data.batches.loader import ThreadLoader, training_loader, view_loader
from video_gc.data.batches.workers import WorkerLoader
from video_gc.data.config import DataConfig
from video_gc.data.dataset import Batch, TrainingClips, VideoViews
from video_gc.data.fingerprint import fingerprint_splits, same_copy
from video_gc.data.splits import Splits, data_manifest
from video_gc.progress import say
from video_gc.train.distributed.world import World, pick_gpu
from video_gc.train.options import TrainConfig, decoding_of
from video_gc.train.resume.signals import worker_signals
from video_gc.train.validation import shard


def build_loaders(
    splits: Splits, config: TrainConfig, world: World, *, gpu: bool
) -> tuple["WorkerLoader | ThreadLoader", Iterable[Batch]]:
    """Training clips, and one centre view of each validation video: this process's part of them.

    Classes whose names have a side are never mirrored. gpu: whether the training runs on one.
    Raises ValueError for sizes that do not fit.
    """
    data, clip = config.data, config.clip
    decoding = decoding_of(data)
    if data.transfer == "yuv" and not torch.cuda.is_available():
        say("data.transfer=yuv: there is no CUDA device here; the CPU makes the colours, too")
    names = splits.train.names
    sided = sided_labels(names) if data.flip else []
    if sided:
        say(f"Never mirrored, for their names have a side: {some_names(names, sided)}")
    clips = TrainingClips(
        splits.train, clip, seed=config.seed, flip=data.flip, sided=sided, decoding=decoding
    )
    group = config.test.micro_batch
    rows = shard(len(splits.val), world, group)
    views = VideoViews(splits.val, clip, clips=1, crops=1, decoding=decoding, rows=rows)
    training = training_loader(
        clips,
        batch_size=config.batch_size,
        workers=data.workers,
        pin_memory=gpu,
        rank=world.rank,
        ranks=world.size,
        accumulate=config.accumulate,
        device=pick_gpu(world) if data.decode_device == "cuda" else None,
    )
    validation = view_loader(views, micro_batch=group, workers=data.workers, group=group)
    shield_workers([training, validation])
    return training, validation


def shield_workers(loaders: Iterable[object]) -> None:
    """Give each torch loader a generator of its own, and workers that leave signals alone.

    A loader that begins its workers draws a seed, which a resumed run would draw once more.
    """
    for loader in loaders:
        if isinstance(loader, DataLoader):
            loader.generator = torch.Generator().manual_seed(0)
            loader.worker_init_fn = worker_signals


def fingerprints(
    splits: Splits, data: DataConfig, kept: dict[str, str] | None = None
) -> dict[str, str]:
    """Split → fingerprint of its videos, by the contents where there is a manifest.

    kept: of the checkpoint that a run is resumed from; where its videos are still all there, these
        count, and no file is asked for its size again.
    """
    parts = {name: getattr(splits, name) for name in ("train", "val", "test")}
    if kept and all(index.file for index in parts.values()):  # as they were kept
        return dict(kept)
    return fingerprint_splits(parts, data_manifest(data))


def check_same_videos(run: Path, kept: dict[str, str], splits: Splits, data: DataConfig) -> None:
    """Raise ValueError where the videos that train or choose are others than the run's.

    kept: fingerprints in the run's checkpoint.
    """
    parts = {name: getattr(splits, name) for name in ("train", "val") if kept.get(name)}
    for name, found in fingerprint_splits(parts, data_manifest(data)).items():
        if same_copy(kept[name], found) is False:
            raise ValueError(
                f"{run}: the {name} videos are not those that the run was "
                f"started with (fingerprint {found}, the checkpoint's is {kept[name]}); put them "
                "back, also those that a newer manifest leaves out, or give name=OTHER"
            )
