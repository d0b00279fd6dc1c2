"""What a training reads: its two loaders, and which copy of the data set that is."""

from collections.abc import Iterable
from pathlib import Path

import torch
from torch.utils.data import DataLoader

from video_gc.data.augment import sided_labels, some_names
from video_gc.data.batches.loader import training_loader, videos_of, view_loader
from video_gc.data.config import DataConfig
from video_gc.data.dataset import Batch, TrainingClips, VideoViews, collate
from video_gc.data.fingerprint import fingerprint_splits
from video_gc.data.reading import Decoding
from video_gc.data.sampling import ClipConfig
from video_gc.data.splits import Splits, data_manifest
from video_gc.models.weights.reading.read import read_file
from video_gc.progress import say
from video_gc.train.checkpoint import KEY
from video_gc.train.ranks.shards import shard
from video_gc.train.ranks.world import World, pick_gpu


def check_inputs(
    data: DataConfig, clip: ClipConfig, batch_size: int, accumulate: int = 1, ranks: int = 1
) -> None:
    """Raise ValueError for options that do not fit together, or not this machine."""
    videos_of(batch_size, clip.repeats, ranks, accumulate)
    decoding_of(data).check_even(clip, "crop", "test_crop", "test_short_side")


def decoding_of(data: DataConfig) -> Decoding:
    """How the videos are read. Raises ValueError where this machine cannot."""
    return Decoding(data.decoder, data.decode_device, data.transfer, data.max_pixels)


def build_loaders(
    splits: Splits,
    data: DataConfig,
    clip: ClipConfig,
    *,
    seed: int,
    batch_size: int,
    micro_batch: int,
    pin_memory: bool,
    accumulate: int = 1,
    world: World | None = None,
) -> tuple[Iterable[Batch], Iterable[Batch]]:
    """Training clips, and one centre view of each validation video: this process's part of them.

    Classes whose names have a side are never mirrored. Raises ValueError for what `check_inputs`
    refuses.
    """
    decoding = decoding_of(data)
    if data.transfer == "yuv" and not torch.cuda.is_available():
        say("data.transfer=yuv: there is no CUDA device here; the CPU makes the colours, too")
    names = splits.train.names
    sided = sided_labels(names) if data.flip else []
    if sided:
        say(f"Never mirrored, for their names have a side: {some_names(names, sided)}")
    clips = TrainingClips(
        splits.train, clip, seed=seed, flip=data.flip, sided=sided, decoding=decoding
    )
    world = world or World()
    rows = shard(len(splits.val), world, micro_batch)
    views = VideoViews(splits.val, clip, clips=1, crops=1, decoding=decoding, rows=rows)
    gpu = data.decode_device == "cuda"
    return (
        training_loader(
            clips,
            batch_size=batch_size,
            workers=data.workers,
            pin_memory=pin_memory,
            rank=world.rank,
            ranks=world.size,
            accumulate=accumulate,
            device=pick_gpu(world) if gpu else None,
        ),
        # a process without videos has a batch all the same: Lightning would leave out the end of
        # its validation, where the others wait for it
        view_loader(views, micro_batch=micro_batch, workers=data.workers, group=micro_batch)
        if rows
        else DataLoader([collate([])], batch_size=None),  # type: ignore[arg-type]
    )


def fingerprints(splits: Splits, data: DataConfig, last: Path | None = None) -> dict[str, str]:
    """Split → fingerprint of its videos, by the contents where there is a manifest.

    last: the checkpoint that a run goes on from; where its videos are still all there, what it says
        counts, and no file is asked for its size again.
    """
    parts = {name: getattr(splits, name) for name in ("train", "val", "test")}
    if last is not None and all(index.file for index in parts.values()):  # as they were kept
        kept = read_file(last, mapped=True)[KEY]
        if kept.get("fingerprint"):
            return dict(kept["fingerprint"])
    return fingerprint_splits(parts, data_manifest(data))
