"""Loaders that neither draw from the run's generators nor lose workers to a signal."""

from collections.abc import Iterable

import torch
from torch.utils.data import DataLoader

from video_gc.train.resume.signals import worker_signals


def shield_workers(loaders: Iterable[object]) -> None:
    """Give each torch loader a generator of its own, and workers that leave signals alone.

    A loader that begins its workers draws a seed, which a resumed run would draw once more.
    """
    for loader in loaders:
        if isinstance(loader, DataLoader):
            loader.generator = torch.Generator().manual_seed(0)
            loader.worker_init_fn = worker_signals
