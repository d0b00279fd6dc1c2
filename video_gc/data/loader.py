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


class ViewLoader(DataLoader[Batch]):
    """Views in micro-batches; its length is exact, an upper bound where videos are damaged."""

    def __len__(self) -> int:
        views = self.dataset
        assert isinstance(views, VideoViews)
        assert self.batch_size
        workers = max(self.num_workers, 1)
        per_worker = (len(range(w, len(views.index), workers)) for w in range(workers))
        each = views.clips * views.crops
        return sum(-(-videos * each // self.batch_size) for videos in per_worker)


def view_loader(views: VideoViews, *, micro_batch: int, workers: int) -> ViewLoader:
    """Views in micro-batches that run on from one video to the next."""
    workers = min(workers, len(views.index))
    return ViewLoader(
        views,  # type: ignore[arg-type]
        batch_size=micro_batch,
        collate_fn=collate,
        num_workers=workers,
        persistent_workers=workers > 0,
    )
