"""What a training reads: its two loaders, and which copy of the data set that is."""

from collections.abc import Iterable

import torch

from video_gc.data.augment import sided_labels
from video_gc.data.config import DataConfig
from video_gc.data.dataset import Batch, TrainingClips, VideoViews
from video_gc.data.fingerprint import fingerprint
from video_gc.data.loader import training_loader, view_loader
from video_gc.data.manifest import choose_manifest
from video_gc.data.reading import Decoding
from video_gc.data.sampling import ClipConfig
from video_gc.data.source import Splits
from video_gc.progress import say


def build_loaders(
    splits: Splits,
    data: DataConfig,
    clip: ClipConfig,
    *,
    seed: int,
    batch_size: int,
    micro_batch: int,
    pin_memory: bool,
) -> tuple[Iterable[Batch], Iterable[Batch]]:
    """Training clips, and one centre view of each validation video.

    Classes whose names have a side are never mirrored. Raises ValueError for a way of decoding that
    this machine has not, or for sizes that do not fit together.
    """
    decoding = Decoding(data.decoder, data.decode_device, data.transfer)
    if data.transfer == "yuv" and not torch.cuda.is_available():
        say("data.transfer=yuv: there is no CUDA device here; the CPU makes the colours, too")
    names = splits.train.names
    sided = sided_labels(names) if data.flip else []
    if sided:
        shown = ", ".join(names[n] for n in sided[:4]) + (", …" if len(sided) > 4 else "")
        say(f"Never mirrored, for their names have a side: {shown} ({len(sided)} classes)")
    clips = TrainingClips(
        splits.train, clip, seed=seed, flip=data.flip, sided=sided, decoding=decoding
    )
    views = VideoViews(splits.val, clip, clips=1, crops=1, decoding=decoding)
    return (
        training_loader(clips, batch_size=batch_size, workers=data.workers, pin_memory=pin_memory),
        view_loader(views, micro_batch=micro_batch, workers=data.workers),
    )


def fingerprints(splits: Splits, data: DataConfig) -> dict[str, str]:
    """Split → fingerprint of its videos, by the contents where there is a manifest."""
    manifest = choose_manifest(data.manifest, data.root)
    return {name: fingerprint(getattr(splits, name), manifest) for name in ("train", "val", "test")}
