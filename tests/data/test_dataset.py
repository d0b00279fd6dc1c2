"""Randomness from (seed, epoch, index) alone; each video opened once; damage never silent."""

from collections import Counter
from dataclasses import replace
from multiprocessing.reduction import ForkingPickler
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.conftest import counted_frames
from tests.data.conftest import CLIP
from video_gc.data import reading
from video_gc.data.batches.batch import collate
from video_gc.data.batches.loader import view_loader
from video_gc.data.crops import crop_boxes
from video_gc.data.dataset import TrainingClips, VideoProblem, VideoViews
from video_gc.data.index import VideoIndex
from video_gc.data.reading import crop_frames, stream_views
from video_gc.data.sampling import ClipConfig, FrameRange, fixed_clips
from video_gc.decode.open import open_video
from video_gc.decode.reader import Box, DecodeError
from video_gc.decode.whole_frames import FrameReader


@pytest.fixture
def partly_damaged(index: VideoIndex, damaged: dict[str, Path]) -> VideoIndex:
    """Video 1 is a text file and video 7 is cut off."""
    paths = list(index.paths)
    paths[1], paths[7] = damaged["text"], damaged["truncated"]
    return VideoIndex.build(paths, index.labels, index.names)


def training(index: VideoIndex, clip: ClipConfig = CLIP, **options: object) -> TrainingClips:
    return TrainingClips(index, clip, **{"seed": 3, "flip": 0.5} | options)  # type: ignore[arg-type]


def count_calls(monkeypatch: pytest.MonkeyPatch, name: str) -> tuple[Counter, Counter]:
    """How often each path is opened, and how often its reader's method `name` is called."""
    opened: Counter = Counter()
    decoded: Counter = Counter()

    def counting(path: Path, *options: object, **limits: object) -> object:
        opened[path] += 1
        reader = open_video(path, *options, **limits)
        method = getattr(reader, name)

        def count(*arguments: object, **options: object) -> object:
            decoded[path] += 1
            return method(*arguments, **options)

        setattr(reader, name, count)
        return reader

    monkeypatch.setattr(reading, "open_video", counting)
    return opened, decoded


def test_a_sample_depends_on_seed_epoch_and_index_alone(index: VideoIndex) -> None:
    one, again, other = training(index), training(index), training(index, seed=4)
    again[(0, 5)]  # what was read before must not matter
    (a,), (b,) = one[(2, 7)], again[(2, 7)]
    assert np.array_equal(a.clip, b.clip)
    assert (a.flip, a.seed) == (b.flip, b.seed)
    assert a.clip.shape == (4, 32, 32, 3)
    for different in (one[(3, 7)], other[(2, 7)]):
        assert not np.array_equal(a.clip, different[0].clip)
        assert a.seed != different[0].seed


def test_flips_come_as_often_as_asked_and_never_where_labels_have_a_side(
    index: VideoIndex,
) -> None:
    data = training(index, flip=0.25)
    assert 0.1 < np.mean([data[(epoch, 0)][0].flip for epoch in range(60)]) < 0.4
    data = training(index, flip=1.0, sided=[1])
    assert [data[(0, row)][0].flip for row in (0, 11)] == [True, False]
    hot = VideoIndex.build(
        list(index.paths)[:2], [[0, 2], [0, 1]], ["a", "b", "c"], multi_label=True
    )
    assert [training(hot, flip=1.0, sided=[2])[(0, row)][0].flip for row in (0, 1)] == [False, True]


def test_several_clips_come_from_one_decode(
    index: VideoIndex, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened, decoded = count_calls(monkeypatch, "read_clips")
    samples = training(index, replace(CLIP, repeats=3))[(0, 4)]
    assert len(samples) == 3
    assert list(opened.values()) == list(decoded.values()) == [1]
    assert len({sample.clip.tobytes() for sample in samples}) == 3
    assert len({sample.seed for sample in samples}) == 3
    alone = training(index)[(0, 4)]
    assert np.array_equal(alone[0].clip, samples[0].clip)  # more clips do not change the first


def test_clips_at_a_target_rate_and_of_segments(index: VideoIndex) -> None:
    # 20 frames at 30 Hz; at 15 Hz, τ = 2 means every fourth: a whole clip of 5 spans 17 of them
    slower = replace(CLIP, frames=5, target_fps=15.0, test_crop=32)
    (view,) = VideoViews(index, slower, clips=1, crops=1).views(0)
    with open_video(index.path(0)) as reader:
        expected = reader.read([0, 4, 8, 13, 17], size=(32, 43))[:, :, 5:37]
        # MMAction2 counts 5 · 2 · 2 = 20 frames: no room, and 0, 4.75, 9.5, 14.25, 19 rounded down
        spread = reader.read([0, 4, 9, 14, 19], size=(32, 43))[:, :, 5:37]
    assert np.array_equal(view.clip, spread)
    assert not np.array_equal(view.clip, expected)
    (view,) = VideoViews(index, replace(CLIP, sampling="segments"), clips=1, crops=1).views(0)
    with open_video(index.path(0)) as reader:
        assert np.array_equal(view.clip, reader.read([2, 7, 12, 17], size=(32, 43))[:, :, 5:37])


def test_only_the_segment_of_an_untrimmed_file_is_seen(index: VideoIndex) -> None:
    paths = [index.path(0)] * 3
    cut = VideoIndex.build(paths, [0, 0, 0], ["a"], start=[0.2, None, 9.0], end=[0.5, 0.1, 10.0])
    (view,) = VideoViews(cut, CLIP, clips=1, crops=1).views(0)  # frames 6…14, centred: 7
    with open_video(index.path(0)) as reader:
        assert np.array_equal(view.clip, reader.read([7, 9, 11, 13], size=(32, 43))[:, :, 5:37])
    (view,) = VideoViews(cut, CLIP, clips=1, crops=1).views(1)  # frames 0, 1, 2
    assert np.array_equal(view.clip[1], view.clip[3])
    (outside,) = VideoViews(cut, CLIP, clips=1, crops=1).views(2)
    assert "the segment 9…10 s lies outside the video" in outside.problems[0].reason


def test_in_training_a_damaged_video_is_replaced_deterministically(
    partly_damaged: VideoIndex,
) -> None:
    (one,), (two,) = (training(partly_damaged)[(0, 1)] for _ in range(2))
    assert one.video == two.video not in (1, 7)
    assert one.label == partly_damaged.labels[one.video]  # the label of what is seen
    assert np.array_equal(one.clip, two.clip)
    assert [(t.kind, t.video) for t in one.problems][0] == ("damaged", 1)
    assert "text.mp4: cannot be read as a video" in one.problems[0].reason
    videos = {training(partly_damaged)[(epoch, 1)][0].video for epoch in range(8)}
    assert len(videos) > 1


@pytest.mark.parametrize(
    "error", [MemoryError(), IndexError("odd"), KeyError("a"), OSError(5, "I/O")]
)
def test_any_error_of_one_video_is_a_trouble_of_it(
    index: VideoIndex, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    """At opening, and after the first views."""
    bad = index.path(1)

    def opened(path: Path, *options: object, **limits: object) -> object:
        if path == bad:
            raise error
        return open_video(path, *options, **limits)  # type: ignore[arg-type]

    def broken(reader: object, *given: object) -> object:
        for number, view in enumerate(stream_views(reader, *given)):  # type: ignore[arg-type]
            if number and reader.path == str(bad):  # type: ignore[attr-defined]
                raise error
            yield view

    with monkeypatch.context() as patch:
        patch.setattr(reading, "open_video", opened)
        (sample,) = training(index)[(0, 1)]
        assert sample.video != 1
        assert [(t.kind, t.video, t.path) for t in sample.problems] == [("damaged", 1, str(bad))]
        what = "I/O" if isinstance(error, OSError) else type(error).__name__
        assert sample.problems[0].reason.startswith(f"{bad}: {what}")
        reading.Decoding().check_decoder(bad)  # of the machine, not of this file
    monkeypatch.setattr(reading, "stream_views", broken)
    views = list(VideoViews(index, CLIP, clips=2, crops=1, rows=[0, 1, 2]))
    assert [(v.video, len(v.clip)) for v in views] == [
        (0, 4),
        (0, 4),
        (1, 4),
        (1, 0),
        (2, 4),
        (2, 4),
    ]
    assert [t.video for view in views for t in view.problems] == [1]


def test_after_ten_damaged_videos_a_sample_has_no_frames(damaged: dict[str, Path]) -> None:
    index = VideoIndex.build([damaged["text"]] * 3, [0, 0, 0], ["a"])
    (sample,) = training(index)[(0, 0)]
    assert len(sample.clip) == 0
    assert len(sample.problems) == 10


def test_views_of_a_video(index: VideoIndex) -> None:
    views = list(VideoViews(index, CLIP, clips=3, crops=3).views(2))
    assert len(views) == 9
    assert all(view.clip.shape == (4, 32, 32, 3) for view in views)
    assert {view.video for view in views} == {2}
    assert len({view.clip.tobytes() for view in views}) > 6  # they differ


def test_ten_crops_are_five_and_their_mirror_images(index: VideoIndex) -> None:
    clip = replace(CLIP, test_crop=24)
    views = list(VideoViews(index, clip, clips=2, crops=10).views(0))
    assert [view.flip for view in views] == [False, True] * 10
    for plain, mirrored in zip(views[::2], views[1::2], strict=True):
        assert np.array_equal(plain.clip, mirrored.clip)  # the device mirrors it
    assert len({view.clip.tobytes() for view in views}) == 10
    with pytest.raises(ValueError, match="crops .2. must be one of 1, 3, 10"):
        VideoViews(index, clip, clips=2, crops=2)


def test_each_video_is_opened_and_decoded_once(
    index: VideoIndex, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened, decoded = count_calls(monkeypatch, "frames")
    samples = list(VideoViews(index, CLIP, clips=10, crops=3))
    assert len(samples) == 30 * len(index)
    assert set(opened.values()) == set(decoded.values()) == {1}
    assert len(opened) == len(index)


def test_streamed_views_equal_slices_of_the_whole_video() -> None:
    frames = counted_frames(50, 32, 48)
    windows = fixed_clips(ClipConfig(frames=4, stride=5), FrameRange(0, 50, 30.0), 6)
    windows[3] = windows[3][::-1]  # frames of a looped clip do not rise
    boxes = crop_boxes((32, 48), 32, 3)
    views = list(stream_views(FrameReader(frames), windows, boxes, (32, 48)))
    assert [window for window, _ in views] == [w for w in range(6) for _ in range(3)]
    for number, (window, view) in enumerate(views):
        left = boxes[number % 3].left
        np.testing.assert_array_equal(view, frames[windows[window]][:, :, left : left + 32])


def test_a_crop_of_planes_is_the_planes_of_the_crop() -> None:
    random = np.random.default_rng(0)
    luma, chroma = (random.integers(0, 256, s, np.uint8) for s in ((3, 12, 20), (3, 2, 6, 10)))
    planes = np.concatenate([luma, chroma.reshape(3, 6, 20)], axis=1)
    cut = crop_frames(planes, Box(4, 2, 10, 8), "yuv")
    assert cut.shape == (3, 12, 10)
    np.testing.assert_array_equal(cut[:, :8], luma[:, 2:10, 4:14])
    np.testing.assert_array_equal(cut[:, 8:].reshape(3, 2, 4, 5), chroma[:, :, 1:5, 2:7])


def test_memory_does_not_grow_with_the_number_of_views() -> None:
    frames = counted_frames(400, 32, 32)
    most = {}
    for clips in (10, 80):
        windows = fixed_clips(ClipConfig(frames=4, stride=2), FrameRange(0, 400, 30.0), clips)
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
    problems = [t for batch in batches for t in batch.problems]
    assert sorted((t.kind, t.video) for t in problems) == [("damaged", 1), ("damaged", 7)]
    seen = torch.cat([batch.videos for batch in batches if batch.clips is not None])
    assert sorted(set(seen.tolist())) == [v for v in range(12) if v not in (1, 7)]
    assert all(count == 2 for count in Counter(seen.tolist()).values())


def test_a_batch_of_damaged_videos_has_no_clips(damaged: dict[str, Path]) -> None:
    index = VideoIndex.build([damaged["text"]], [0], ["a"])
    (batch,) = view_loader(VideoViews(index, CLIP, clips=1, crops=1), micro_batch=2, workers=0)
    assert batch.clips is None
    assert len(batch.labels) == 0
    assert batch.to(torch.device("cpu")).clips is None


def test_short_videos_repeat_their_last_frame_and_say_so(index: VideoIndex) -> None:
    clip = replace(CLIP, frames=8, stride=4)
    (view,) = VideoViews(index, clip, clips=1, crops=1).views(0)
    assert np.array_equal(view.clip[5], view.clip[7])
    assert not np.array_equal(view.clip[3], view.clip[4])
    assert view.problems[0].kind == "short"
    spans = "0.mp4: 20 frames, fewer than the 29 that a clip spans"
    assert view.problems[0].reason.endswith(f"{spans}; the last frame is repeated")
    (sample,) = training(index, clip)[(0, 0)]
    assert [t.kind for t in sample.problems] == ["short"]
    (looped,) = VideoViews(index, replace(clip, past_end="loop"), clips=1, crops=1).views(0)
    assert looped.problems[0].reason.endswith(f"{spans}; it is looped")
    segments = replace(clip, sampling="segments", frames=24)
    (view,) = VideoViews(index, segments, clips=1, crops=1).views(0)
    assert view.problems[0].reason.endswith("24 that a clip spans; some are seen several times")


def test_a_video_that_fails_half_way_says_so_after_its_first_views(
    index: VideoIndex, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Broken(FrameReader):
        def frames(self, indices, **options):  # type: ignore[no-untyped-def]
            for index, frame in super().frames(indices, **options):
                if index > 10:
                    raise DecodeError("x.mp4", "cannot decode frame 11 of 20")
                yield index, frame

    monkeypatch.setattr(reading, "open_video", lambda *_, **__: Broken(counted_frames(20)))
    views = list(VideoViews(index, CLIP, clips=3, crops=1).views(0))
    assert [bool(view.clip.size) for view in views] == [True, False]
    assert collate(views).problems[-1].reason == "x.mp4: cannot decode frame 11 of 20"


def test_only_the_clips_of_a_batch_are_shared_with_another_process(index: VideoIndex) -> None:
    paths = [index.path(0), index.path(1)]
    hot = VideoIndex.build(paths, [[2, 0], []], ["a", "b", "c"], multi_label=True)
    for known in (index, hot):
        whole = collate([training(known)[(0, row)] for row in range(2)])
        for batch in (whole, replace(collate([]), problems=[VideoProblem("a", "damaged", "b", 0)])):
            content = bytes(ForkingPickler.dumps(batch.share_memory()))
            assert content.count(b"rebuild_storage") == (batch.clips is not None)
            found = ForkingPickler.loads(content)
            assert found.problems == batch.problems
            for name, value in vars(batch).items():
                if isinstance(value, torch.Tensor):
                    torch.testing.assert_close(getattr(found, name), value, rtol=0, atol=0)


def test_the_host_keeps_what_it_reads(index: VideoIndex) -> None:
    batch = collate([training(index)[(0, 0)]]).to(torch.device("meta"))
    assert batch.clips is not None
    assert batch.clips.device.type == batch.labels.device.type == "meta"
    for name in ("videos", "flips", "seeds", "colours"):
        assert getattr(batch, name).device.type == "cpu"


def test_a_multi_label_batch_has_hot_rows(index: VideoIndex) -> None:
    paths = [index.path(0), index.path(1)]
    hot = VideoIndex.build(paths, [[2, 0], []], ["a", "b", "c"], multi_label=True)
    batch = collate([training(hot)[(0, row)] for row in range(2)])
    assert batch.labels.dtype == torch.float32
    assert batch.labels.tolist() == [[1, 0, 1], [0, 0, 0]]


def test_clips_of_numpy_and_of_torch_are_stacked_alike(index: VideoIndex) -> None:
    (one,), (two,) = (training(index)[(0, row)] for row in range(2))
    batch = collate([one, replace(two, clip=torch.as_tensor(two.clip))])
    assert batch.clips is not None
    assert [np.array_equal(batch.clips[i], s.clip) for i, s in enumerate((one, two))] == [True] * 2
