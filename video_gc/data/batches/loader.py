"""Data sets → batches of uint8 clips, decoded by worker processes or by threads.

Worker processes decode on the CPU. For decoding on the GPU, threads of the training process do it:
sending a CUDA tensor to another process is expensive, and the decoder releases the GIL. Both give
the same batches in the same order.
"""

from collections.abc import Iterator, Sequence
from functools import partial
from itertools import chain, islice
from typing import Any

import torch
from torch.utils.data import BatchSampler, IterableDataset, get_worker_info

from video_gc.data.batches.batch import Batch, collate
from video_gc.data.batches.sampler import EpochSampler, videos_of
from video_gc.data.batches.threads import in_threads
from video_gc.data.batches.workers import WorkerLoader
from video_gc.data.dataset import Sample, TrainingClips, VideoViews

AHEAD = 2
"""Jobs started ahead of the current one, per thread."""
HELD = 2
"""Micro-batches of views prepared ahead by each thread."""


def training_loader(
    dataset: TrainingClips,
    *,
    batch_size: int,
    workers: int,
    pin_memory: bool = False,
    rank: int = 0,
    ranks: int = 1,
    accumulate: int = 1,
    device: torch.device | None = None,
) -> "WorkerLoader | ThreadLoader":
    """Shuffled batches; the last, smaller step of an epoch is left out unless it is the only one.

    batch_size: clips per optimiser step, over all `ranks` processes; they come in `accumulate`
    batches, and this loader gives the part of process `rank`. device: the GPU that decodes.

    Raises ValueError if they do not divide evenly, or if several processes or parts have fewer
    videos than one step needs.
    """
    length, parts = len(dataset), ranks * accumulate
    videos = videos_of(batch_size, dataset.clip.repeats, ranks, accumulate)
    if length < videos and parts > 1:
        raise ValueError(
            f"batch_size ({batch_size}): {length} training videos are fewer than one step of "
            f"{videos} takes; give fewer clips, or one process and accumulate=1"
        )
    step = min(videos, length)
    sampler = EpochSampler(
        length, dataset.seed, batch=step, rank=rank, ranks=ranks, parts=accumulate
    )
    if dataset.decoding.device == "cuda":
        return ThreadLoader(
            dataset, sampler, batch_size=step // parts, threads=workers, device=device
        )
    return WorkerLoader(
        dataset,
        batch_size=step // parts,
        sampler=sampler,
        collate_fn=collate,
        drop_last=True,
        num_workers=workers,
        persistent_workers=workers > 0,
        pin_memory=pin_memory,
    )


class ThreadLoader:
    """The batches of `training_loader`, decoded by threads of this process.

    An exception is raised in place of its sample; leaving the loop early ends the threads.
    """

    def __init__(
        self,
        dataset: TrainingClips,
        sampler: EpochSampler,
        *,
        batch_size: int,
        threads: int,
        device: torch.device | None = None,
    ) -> None:
        self.dataset, self.sampler, self.device = dataset, sampler, device
        self.batch_size, self.threads = batch_size, max(threads, 1)

    def __len__(self) -> int:
        return len(self.sampler) // self.batch_size

    def __iter__(self) -> Iterator[Batch]:
        def job(key: tuple[int, int]) -> Iterator[list[Sample]]:
            yield self.dataset[key]

        batches: Any = BatchSampler(self.sampler, self.batch_size, drop_last=True)  # type: ignore[arg-type]
        # at least one batch ahead, so its first sample does not wait for this batch's last one
        ahead = max(AHEAD * self.threads, self.batch_size)
        jobs = (partial(job, key) for key in chain.from_iterable(batches))
        samples = in_threads(jobs, self.threads, ahead=ahead, device=self.device)
        yield from _batches(samples, self.batch_size)


def view_loader(
    views: VideoViews,
    *,
    micro_batch: int,
    workers: int,
    group: int = 1,
    pin_memory: bool = False,
    device: torch.device | None = None,
) -> "WorkerLoader | ThreadViewLoader":
    """Views in micro-batches that never mix groups of `group` videos; see ViewBatches.

    Workers or threads decode the next videos while a batch is used. device: the device that uses
    the batches; if a GPU decodes, it is this one.
    """
    dataset = ViewBatches(views, micro_batch=micro_batch, group=group)
    workers = min(workers, len(dataset.groups))
    if views.decoding.device == "cuda":
        return ThreadViewLoader(dataset, threads=workers, device=device)
    return WorkerLoader(
        dataset,
        batch_size=None,  # workers give complete batches
        num_workers=workers,
        persistent_workers=workers > 0,
        pin_memory=pin_memory,
    )


class ViewBatches(IterableDataset[Batch]):
    """The views of `views.rows` in micro-batches; loader workers take whole groups in turns.

    A micro-batch never mixes groups (in tests, a group is one video), so a video's scores depend
    neither on its neighbours nor on the process that scores them.
    group: number of neighbours in `views.rows` whose views share micro-batches. The length is
    exact, or an upper bound if videos are damaged.
    """

    def __init__(self, views: VideoViews, *, micro_batch: int, group: int = 1) -> None:
        rows = views.rows
        self.views, self.micro_batch = views, micro_batch
        self.groups = [rows[start : start + group] for start in range(0, len(rows), group)]

    def __len__(self) -> int:
        return sum(-(-self._count(group) // self._size(group)) for group in self.groups)

    def __iter__(self) -> Iterator[Batch]:
        worker = get_worker_info()
        first, step = (worker.id, worker.num_workers) if worker else (0, 1)
        for group in self.groups[first::step]:
            yield from self.batches(group)

    def batches(self, group: Sequence[int]) -> Iterator[Batch]:
        """The micro-batches of one group."""
        samples = chain.from_iterable(self.views.views(row) for row in group)
        while some := list(islice(samples, self._size(group))):
            yield collate(some)

    def _count(self, group: Sequence[int]) -> int:
        return len(group) * self.views.clips * self.views.crops

    def _size(self, group: Sequence[int]) -> int:
        return micro_batch_size(self._count(group), self.micro_batch)


def micro_batch_size(views: int, micro_batch: int) -> int:
    """Sizes of a group's micro-batches: an even split, at most `micro_batch` views each."""
    return -(-views // -(-views // micro_batch))


class ThreadViewLoader:
    """The batches of `view_loader` without workers, decoded by threads of this process."""

    def __init__(
        self, dataset: ViewBatches, *, threads: int, device: torch.device | None = None
    ) -> None:
        self.dataset, self.threads, self.device = dataset, max(threads, 1), device

    def __len__(self) -> int:
        return len(self.dataset)

    def __iter__(self) -> Iterator[Batch]:
        jobs = (partial(self.dataset.batches, group) for group in self.dataset.groups)
        ahead = AHEAD * self.threads
        return in_threads(jobs, self.threads, ahead=ahead, held=HELD, device=self.device)


def _batches(samples: Iterator[Any], size: int) -> Iterator[Batch]:
    try:
        while group := list(islice(samples, size)):
            yield collate(group)
    finally:
        samples.close()  # type: ignore[attr-defined]
