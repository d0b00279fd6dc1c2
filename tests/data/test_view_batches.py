"""Micro-batches that never mix groups of videos, whoever makes them."""

from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from tests.conftest import slow
from tests.data.conftest import CLIP
from video_gc.data.batches.batch import Batch
from video_gc.data.batches.loader import ViewBatches, micro_batch_size, view_loader
from video_gc.data.dataset import VideoViews
from video_gc.data.index import VideoIndex

pytestmark = pytest.mark.filterwarnings("ignore:This DataLoader will create")  # 3 workers


@given(st.integers(1, 400), st.integers(1, 64))
def test_views_are_split_evenly(views: int, micro_batch: int) -> None:
    size = micro_batch_size(views, micro_batch)
    assert 1 <= size <= micro_batch
    batches = -(-views // size)
    assert batches == -(-views // micro_batch)  # no more of them than needed
    assert batches * size - views < batches  # one view of padding for each at most


def by_video(batches: list[Batch]) -> dict[tuple[int, ...], list[Batch]]:
    found: dict[tuple[int, ...], list[Batch]] = {}
    for batch in batches:
        found.setdefault(tuple(sorted(set(batch.videos.tolist()))), []).append(batch)
    return found


@pytest.mark.parametrize(
    ("workers", "rank", "size"),
    [(2, 0, 1), (0, 1, 2), slow(3, 2, 3)],
)
def test_batches_of_a_video_do_not_depend_on_who_makes_them(
    index: VideoIndex, workers: int, rank: int, size: int
) -> None:
    def batches(rows: list[int] | None, workers: int) -> dict[tuple[int, ...], list[Batch]]:
        views = VideoViews(index, CLIP, clips=5, crops=3, rows=rows)
        return by_video(list(view_loader(views, micro_batch=4, workers=workers)))

    usual = batches(None, 0)
    assert sorted(usual) == [(row,) for row in range(12)]  # never two videos in one
    rows = list(range(12))[rank::size]
    found = batches(rows, workers)
    assert sorted(found) == [(row,) for row in rows]
    for video, those in found.items():
        assert [len(batch.videos) for batch in those] == [4, 4, 4, 3]
        pairs = zip(those, usual[video], strict=True)
        assert all(torch.equal(one.clips, other.clips) for one, other in pairs)  # type: ignore[arg-type]


def test_groups_share_micro_batches(index: VideoIndex) -> None:
    """As validation during training has them: one view a video."""
    for size in (1, 2):
        seen = []
        for rank in range(size):
            rows = [row for row in range(12) if row // 5 % size == rank]
            views = VideoViews(index, CLIP, clips=1, crops=1, rows=rows)
            loader = view_loader(views, micro_batch=5, workers=rank, group=5)
            seen += [tuple(batch.videos.tolist()) for batch in loader]
        assert sorted(seen) == [(0, 1, 2, 3, 4), (5, 6, 7, 8, 9), (10, 11)]


def test_damage_stays_in_its_own_micro_batches(index: VideoIndex, damaged: dict[str, Path]) -> None:
    paths = [index.path(0), damaged["text"], index.path(2)]
    views = VideoViews(VideoIndex.build(paths, [0, 0, 0], ["b"]), CLIP, clips=2, crops=3)
    batches = list(ViewBatches(views, micro_batch=4))
    assert [batch.videos.tolist() for batch in batches] == [[0] * 3] * 2 + [[]] + [[2] * 3] * 2
    assert Counter(t.video for batch in batches for t in batch.problems) == {1: 1}
    assert len(ViewBatches(views, micro_batch=4)) == 6


def test_rows_are_seen_in_their_order(index: VideoIndex) -> None:
    views = VideoViews(index, CLIP, clips=1, crops=1, rows=np.array([7, 2]))  # type: ignore[arg-type]
    assert [view.video for view in views] == [7, 2]
