"""The two loaders of a training, and the fingerprints of its videos."""

from collections.abc import Iterable
from pathlib import Path

import torch
from torch.utils.data import DataLoader

from video_gc.data.augment import sided_labels, some_names
from video_gc.data.batches.batch import Batch
from video_gc.data.batches.loader import ThreadLoader, training_loader, view_loader
from video_gc.data.batches.workers import WorkerLoader
from video_gc.data.config import DataConfig
from video_gc.data.dataset import TrainingClips, VideoViews
from video_gc.data.fingerprint import fingerprint_splits, same_copy
from video_gc.data.splits import Splits, data_manifest
from video_gc.progress import say
from video_gc.train.distributed.world import World, pick_gpu
from video_gc.train.options import TrainConfig, decoding_of
from video_gc.train.resume.signals import worker_signals
from video_gc.train.validation import shard

KEPT = 512 * 2**20
"""Most bytes of decoded clips that the workers of one loader keep, all together."""


def build_loaders(
    splits: Splits, config: TrainConfig, world: World, *, gpu: bool
) -> tuple["WorkerLoader | ThreadLoader", Iterable[Batch]]:
    """This process's part of the training clips, and of one centre view per validation video.

    Classes with a side in their names are never mirrored. gpu: whether training runs on one.
    Raises ValueError for sizes that do not fit.
    """
    data, clip = config.data, config.clip
    decoding = decoding_of(data)
    if data.transfer == "yuv" and not torch.cuda.is_available():
        say("data.transfer=yuv: there is no CUDA device here; the CPU converts the colours")
    names = splits.train.names
    sided = sided_labels(names) if data.flip else []
    if sided:
        say(f"Never mirrored, because their names have a side: {some_names(names, sided)}")
    clips = TrainingClips(
        splits.train,
        clip,
        seed=config.seed,
        flip=data.flip,
        sided=sided,
        decoding=decoding,
        keep=KEPT // max(data.workers, 1),  # in time, each worker sees every video
    )
    group = config.test.views_in_call(clip, "cuda" if gpu else "cpu")
    rows = shard(len(splits.val), world, group)
    # each worker sees the same videos in every epoch, and no others
    views = VideoViews(splits.val, clip, clips=1, crops=1, decoding=decoding, rows=rows, keep=KEPT)
    decodes = pick_gpu(world) if data.decode_device == "cuda" else None
    training = training_loader(
        clips,
        batch_size=config.batch_size,
        workers=data.workers,
        pin_memory=gpu,
        rank=world.rank,
        ranks=world.size,
        accumulate=config.accumulate,
        device=decodes,
    )
    validation = view_loader(
        views, micro_batch=group, workers=data.workers, group=group, device=decodes
    )
    shield_workers([training, validation])
    return training, validation


def shield_workers(loaders: Iterable[object]) -> None:
    """Give each torch loader its own generator, and workers that ignore signals.

    A loader draws a seed when it starts its workers; a resumed run would draw it once more.
    """
    for loader in loaders:
        if isinstance(loader, DataLoader):
            loader.generator = torch.Generator().manual_seed(0)
            loader.worker_init_fn = worker_signals


def fingerprints(
    splits: Splits, data: DataConfig, kept: dict[str, str] | None = None
) -> dict[str, str]:
    """Split → fingerprint of its videos; of their contents if there is a manifest.

    kept: fingerprints in the checkpoint to resume from. If all its videos still exist, these are
        returned, and no file sizes are read.
    """
    parts = {name: getattr(splits, name) for name in ("train", "val", "test")}
    if kept and all(index.file for index in parts.values()):  # the index that the run kept
        return dict(kept)
    return fingerprint_splits(parts, data_manifest(data))


def check_same_videos(run: Path, kept: dict[str, str], splits: Splits, data: DataConfig) -> None:
    """Raise ValueError if the training or validation videos are not those of the run.

    kept: fingerprints in the run's checkpoint.
    """
    parts = {name: getattr(splits, name) for name in ("train", "val") if kept.get(name)}
    for name, found in fingerprint_splits(parts, data_manifest(data)).items():
        if same_copy(kept[name], found) is False:
            raise ValueError(
                f"{run}: the {name} videos differ from those at the start of "
                f"the run (fingerprint {found}, the checkpoint's is {kept[name]}); put them "
                "back, also those that a newer manifest leaves out, or give name=OTHER"
            )
