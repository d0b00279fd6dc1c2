"""Videos → micro-batches of their views, the same whatever process or worker makes them.

A micro-batch never mixes groups of videos (when testing, a group is one video), so that the scores
of a video depend neither on its neighbours nor on who scores them.
"""

from collections.abc import Iterator, Sequence
from itertools import chain, islice

from torch.utils.data import IterableDataset, get_worker_info

from video_gc.data.dataset import Batch, VideoViews, collate


def micro_batch_size(views: int, micro_batch: int) -> int:
    """Views in each micro-batch of a group with so many: an even split, at most `micro_batch`."""
    return -(-views // -(-views // micro_batch))


class ViewBatches(IterableDataset[Batch]):
    """The views of `views.rows` in micro-batches; loader workers take whole groups in turns.

    group: neighbours in `views.rows` whose views share micro-batches. Its length is exact, an upper
    bound where videos are damaged.
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
