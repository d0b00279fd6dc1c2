"""Data sets → batches of uint8 clips."""

from torch.utils.data import DataLoader

from video_gc.data.dataset import Batch, EpochSampler, TrainingClips, VideoViews, collate


def training_loader(
    dataset: TrainingClips, *, batch_size: int, workers: int, pin_memory: bool = False
) -> DataLoader[Batch]:
    """Shuffled batches; the last, smaller one of an epoch is left out where there is another."""
    return DataLoader(
        dataset,  # type: ignore[arg-type]
        batch_size=min(batch_size, len(dataset)),
        sampler=EpochSampler(len(dataset), dataset.seed),
        collate_fn=collate,
        drop_last=True,
        num_workers=workers,
        persistent_workers=workers > 0,
        pin_memory=pin_memory,
    )


def view_loader(views: VideoViews, *, micro_batch: int, workers: int) -> DataLoader[Batch]:
    """Views in micro-batches that run on from one video to the next."""
    workers = min(workers, len(views.index))
    return DataLoader(
        views,  # type: ignore[arg-type]
        batch_size=micro_batch,
        collate_fn=collate,
        num_workers=workers,
        persistent_workers=workers > 0,
    )
