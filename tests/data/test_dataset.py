"""Randomness from (seed, epoch, index) alone; each test video opened once; damage never silent."""

from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.conftest import counted_frames
from video_gc.data import dataset
from video_gc.data.annotations import VideoIndex, read_class_folders
from video_gc.data.dataset import EpochSampler, TrainingClips, VideoViews, collate
from video_gc.data.loader import training_loader, view_loader
from video_gc.data.sampling import ClipConfig, crop_boxes, uniform_clips
from video_gc.data.transforms import Normalisation, prepare_clips
from video_gc.data.views import stream_views
from video_gc.decode.memory import FrameReader
from video_gc.decode.reader import DecodeError

CLIP = ClipConfig(
    frames=4, stride=2, crop=32, short_side=[32, 40], test_crop=32, test_short_side=32
)


@pytest.fixture
def index(clips_folder: Path) -> VideoIndex:
    return read_class_folders(clips_folder)


@pytest.fixture
def partly_damaged(index: VideoIndex, damaged: dict[str, Path]) -> VideoIndex:
    """Video 1 is a text file and video 7 is cut off."""
    paths = list(index.paths)
    paths[1], paths[7] = damaged["text"], damaged["truncated"]
    return VideoIndex(paths, index.labels, index.names)


def training(index: VideoIndex, **options: float) -> TrainingClips:
    return TrainingClips(index, CLIP, **{"seed": 3, "flip": 0.5} | options)


def test_a_sample_depends_on_seed_epoch_and_index_alone(index: VideoIndex) -> None:
    one, again, other = training(index), training(index), training(index, seed=4)
    again[(0, 5)]  # what was read before must not matter
    a, b = one[(2, 7)], again[(2, 7)]
    assert np.array_equal(a.clip, b.clip)
    assert a.flip == b.flip
    assert a.clip.shape == (4, 32, 32, 3)
    assert not np.array_equal(a.clip, one[(3, 7)].clip)
    assert not np.array_equal(a.clip, other[(2, 7)].clip)


def test_batches_do_not_depend_on_the_number_of_workers(index: VideoIndex) -> None:
    def batches(workers: int) -> list[torch.Tensor]:
        loader = training_loader(training(index), batch_size=5, workers=workers)
        loader.sampler.set_epoch(1)
        return [batch.clips for batch in loader]

    alone, shared = batches(0), batches(2)
    assert len(alone) == len(shared) == 2  # 12 videos, the last 2 are left out
    assert all(torch.equal(a, b) for a, b in zip(alone, shared, strict=True))


def test_the_order_changes_with_the_epoch_and_covers_every_video() -> None:
    sampler = EpochSampler(9, seed=1)
    first = list(sampler)
    assert sorted(first) == [(0, row) for row in range(9)]
    sampler.set_epoch(1)
    assert [row for _, row in sampler] != [row for _, row in first]


def test_flips_come_as_often_as_asked(index: VideoIndex) -> None:
    data = training(index, flip=0.25)
    share = np.mean([data[(epoch, 0)].flip for epoch in range(120)])
    assert 0.1 < share < 0.4


def test_in_training_a_damaged_video_is_replaced_deterministically(
    partly_damaged: VideoIndex,
) -> None:
    one, two = (training(partly_damaged)[(0, 1)] for _ in range(2))
    assert one.video == two.video not in (1, 7)
    assert one.label == partly_damaged.labels[one.video]  # the label of what is seen
    assert np.array_equal(one.clip, two.clip)
    assert [(t.kind, t.video) for t in one.troubles][0] == ("damaged", 1)
    assert "text.mp4: cannot be read as a video" in one.troubles[0].reason
    videos = {training(partly_damaged)[(epoch, 1)].video for epoch in range(8)}
    assert len(videos) > 1


def test_after_ten_damaged_videos_a_sample_has_no_frames(damaged: dict[str, Path]) -> None:
    index = VideoIndex([damaged["text"]] * 3, np.zeros(3, int), ["a"])
    sample = training(index)[(0, 0)]
    assert sample.clip.size == 0
    assert len(sample.troubles) == 10


@pytest.mark.parametrize("workers", [0, 1, 3])
def test_the_view_loader_knows_its_length(index: VideoIndex, workers: int) -> None:
    views = VideoViews(index.take(np.arange(7)), CLIP, clips=2, crops=3)
    loader = view_loader(views, micro_batch=4, workers=workers)
    assert len(loader) == len(list(loader))


def test_views_of_a_video(index: VideoIndex) -> None:
    views = list(VideoViews(index, CLIP, clips=3, crops=3).views(2))
    assert len(views) == 9
    assert all(view.clip.shape == (4, 32, 32, 3) for view in views)
    assert {view.video for view in views} == {2}
    assert len({view.clip.tobytes() for view in views}) > 6  # they differ


def test_each_video_is_opened_and_decoded_once(
    index: VideoIndex, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: Counter = Counter()
    decoded: Counter = Counter()

    def counting(path: Path) -> object:
        opened[path] += 1
        reader = open_video(path)
        frames = reader.frames

        def count(indices: list[int], **options: object) -> object:
            decoded[path] += 1
            return frames(indices, **options)

        reader.frames = count
        return reader

    open_video = dataset.open_video
    monkeypatch.setattr(dataset, "open_video", counting)
    samples = list(VideoViews(index, CLIP, clips=10, crops=3))
    assert len(samples) == 30 * len(index)
    assert set(opened.values()) == set(decoded.values()) == {1}
    assert len(opened) == len(index)


def test_streamed_views_equal_slices_of_the_whole_video() -> None:
    frames = counted_frames(50, 32, 48)
    windows = uniform_clips(50, 4, 5, 6)
    boxes = crop_boxes((32, 48), 32, 3)
    views = list(stream_views(FrameReader(frames), windows, boxes, (32, 48)))
    assert [window for window, _ in views] == [w for w in range(6) for _ in range(3)]
    for number, (window, view) in enumerate(views):
        left = boxes[number % 3].left
        np.testing.assert_array_equal(view, frames[windows[window]][:, :, left : left + 32])


def test_memory_does_not_grow_with_the_number_of_views() -> None:
    frames = counted_frames(400, 32, 32)
    most = {}
    for clips in (10, 80):
        windows = uniform_clips(400, 4, 2, clips)
        held, reader = [], FrameReader(frames)
        views = stream_views(reader, windows, crop_boxes((32, 32), 32, 1), (32, 32))
        for _ in views:
            held.append(len(views.gi_frame.f_locals["held"]))
        most[clips] = max(held)
    assert most[10] <= 4
    assert most[80] <= 8


def test_in_testing_a_damaged_video_has_no_views(partly_damaged: VideoIndex) -> None:
    views = VideoViews(partly_damaged, CLIP, clips=2, crops=1)
    batches = list(view_loader(views, micro_batch=4, workers=2))
    troubles = [t for batch in batches for t in batch.troubles]
    assert sorted((t.kind, t.video) for t in troubles) == [("damaged", 1), ("damaged", 7)]
    seen = torch.cat([batch.videos for batch in batches if batch.clips is not None])
    assert sorted(set(seen.tolist())) == [v for v in range(12) if v not in (1, 7)]
    assert all(count == 2 for count in Counter(seen.tolist()).values())


def test_a_batch_of_damaged_videos_has_no_clips(damaged: dict[str, Path]) -> None:
    index = VideoIndex([damaged["text"]], np.zeros(1, int), ["a"])
    (batch,) = view_loader(VideoViews(index, CLIP, clips=1, crops=1), micro_batch=2, workers=0)
    assert batch.clips is None
    assert len(batch.labels) == 0
    assert batch.to(torch.device("cpu")).clips is None


def test_short_videos_repeat_their_last_frame_and_say_so(index: VideoIndex) -> None:
    clip = ClipConfig(
        frames=8, stride=4, crop=32, short_side=[32, 32], test_crop=32, test_short_side=32
    )
    (view,) = VideoViews(index, clip, clips=1, crops=1).views(0)
    assert np.array_equal(view.clip[5], view.clip[7])
    assert not np.array_equal(view.clip[3], view.clip[4])
    assert view.troubles[0].kind == "short"
    assert "20 frames, fewer than the 29 that a clip spans" in view.troubles[0].reason
    sample = TrainingClips(index, clip, seed=0, flip=0)[(0, 0)]
    assert [t.kind for t in sample.troubles] == ["short"]


def test_a_video_that_fails_half_way_says_so_after_its_first_views(
    index: VideoIndex, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Broken(FrameReader):
        def frames(self, indices, **options):  # type: ignore[no-untyped-def]
            for index, frame in super().frames(indices, **options):
                if index > 10:
                    raise DecodeError("x.mp4", "cannot decode frame 11 of 20")
                yield index, frame

    monkeypatch.setattr(dataset, "open_video", lambda *_: Broken(counted_frames(20)))
    views = list(VideoViews(index, CLIP, clips=3, crops=1).views(0))
    assert [bool(view.clip.size) for view in views] == [True, True, False] or [
        bool(view.clip.size) for view in views
    ] == [True, False]
    assert collate(views).troubles[-1].reason == "x.mp4: cannot decode frame 11 of 20"


def test_prepare_clips_normalises_flips_and_moves_no_channel() -> None:
    clips = torch.randint(0, 256, (2, 3, 4, 5, 3), dtype=torch.uint8)
    normalisation = Normalisation(mean=[0.1, 0.2, 0.3], std=[0.5, 0.6, 0.7])
    out = prepare_clips(clips, normalisation, torch.tensor([False, True]))
    assert out.shape == (2, 3, 3, 4, 5)
    assert out.is_contiguous(memory_format=torch.channels_last_3d)
    for channel in range(3):
        expected = (clips[..., channel] / 255 - normalisation.mean[channel]) / normalisation.std[
            channel
        ]
        torch.testing.assert_close(out[0, channel], expected[0])
        torch.testing.assert_close(out[1, channel], expected[1].flip(2))
