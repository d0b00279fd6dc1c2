"""The same batches whatever decodes them; threads that end when nobody wants them any more."""

import threading
import time
import tracemalloc
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from tests.conftest import slow
from tests.data.conftest import CLIP
from video_gc.data import reading
from video_gc.data.batches.batch import Batch
from video_gc.data.batches.loader import (
    ThreadLoader,
    ThreadViewLoader,
    ViewBatches,
    training_loader,
    view_loader,
)
from video_gc.data.batches.sampler import EpochSampler
from video_gc.data.batches.threads import in_threads
from video_gc.data.batches.workers import WorkerLoader
from video_gc.data.dataset import TrainingClips, VideoViews
from video_gc.data.index import VideoIndex
from video_gc.data.reading import Decoding
from video_gc.data.sampling import ClipConfig
from video_gc.decode.open import open_video

pytestmark = pytest.mark.filterwarnings("ignore:This DataLoader will create")  # 3 workers


def training(index: VideoIndex, clip: ClipConfig = CLIP) -> TrainingClips:
    return TrainingClips(index, clip, seed=3, flip=0.5)


def equal(one: Batch, two: Batch) -> bool:
    names = ("clips", "labels", "videos", "flips", "seeds", "colours")
    same = [torch.equal(getattr(one, name), getattr(two, name)) for name in names]
    return all(same) and one.problems == two.problems


def decoders() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name.startswith("decode")]


@pytest.mark.parametrize("workers", [slow(1), 3])
def test_batches_do_not_depend_on_the_number_of_workers(index: VideoIndex, workers: int) -> None:
    def batches(workers: int) -> list[Batch]:
        loader = training_loader(training(index), batch_size=5, workers=workers)
        loader.sampler.set_epoch(1)
        return list(loader)

    alone, shared = batches(0), batches(workers)
    assert len(alone) == len(shared) == 2  # 12 videos, the last 2 are left out
    assert all(equal(a, b) for a, b in zip(alone, shared, strict=True))


@pytest.mark.parametrize("threads", [slow(1), 3])
def test_threads_give_the_same_batches(index: VideoIndex, damaged: dict, threads: int) -> None:
    paths = [*list(index.paths)[:-1], damaged["text"]]
    data = training(VideoIndex.build(paths, index.labels, index.names))
    usual = training_loader(data, batch_size=5, workers=0)
    threaded = ThreadLoader(data, EpochSampler(12, 3), batch_size=5, threads=threads)
    for epoch in (0, 4):
        for loader in (usual, threaded):
            loader.sampler.set_epoch(epoch)
        pairs = list(zip(usual, threaded, strict=True))
        assert len(pairs) == len(usual) == len(threaded)
        assert all(equal(a, b) for a, b in pairs)
    assert not decoders()


def test_threads_give_the_same_views(index: VideoIndex) -> None:
    views = VideoViews(index.take(np.arange(5)), CLIP, clips=4, crops=3)
    usual = view_loader(views, micro_batch=7, workers=0)
    threaded = ThreadViewLoader(ViewBatches(views, micro_batch=7), threads=2)
    pairs = list(zip(usual, threaded, strict=True))
    assert len(pairs) == len(threaded) == 10
    assert all(equal(a, b) for a, b in pairs)


def test_resumed_epochs_see_what_they_would_have_seen(index: VideoIndex) -> None:
    def epoch(number: int, loader: object) -> list[Batch]:
        loader.sampler.set_epoch(number)  # type: ignore[attr-defined]
        return list(loader)  # type: ignore[call-overload]

    going_on = training_loader(training(index), batch_size=4, workers=0)
    first, second = epoch(0, going_on), epoch(1, going_on)
    resumed = epoch(1, training_loader(training(index), batch_size=4, workers=0))
    assert all(equal(a, b) for a, b in zip(second, resumed, strict=True))
    assert not equal(first[0], second[0])


def test_the_order_changes_with_the_epoch_and_covers_every_video() -> None:
    sampler = EpochSampler(9, seed=1)
    first = list(sampler)
    assert sorted(first) == [(0, row) for row in range(9)]
    sampler.set_epoch(1)
    assert [row for _, row in sampler] != [row for _, row in first]


@given(
    st.integers(1, 4), st.integers(1, 3), st.integers(1, 3), st.integers(0, 40), st.integers(0, 2)
)
def test_processes_and_parts_cut_each_step_of_one(
    ranks: int, accumulate: int, each: int, length: int, epoch: int
) -> None:
    batch = ranks * accumulate * each
    alone = EpochSampler(length, 1, batch=batch)
    parts = [
        EpochSampler(length, 1, batch=batch, rank=rank, ranks=ranks, parts=accumulate)
        for rank in range(ranks)
    ]
    for sampler in (alone, *parts):
        sampler.set_epoch(epoch)
    own = [list(part) for part in parts]
    assert {len(keys) for keys in own} == {len(parts[0])}
    whole = list(alone)
    assert len(whole) == len(alone) == length // batch * batch
    step = accumulate * each  # of one process
    for number in range(length // batch):
        together = [key for keys in own for key in keys[number * step : number * step + step]]
        assert sorted(together) == sorted(whole[number * batch : number * batch + batch])


@given(
    st.integers(1, 3), st.integers(1, 3), st.integers(0, 40), st.integers(0, 9), st.integers(0, 12)
)
def test_an_epoch_that_ends_early_has_the_same_order(
    ranks: int, accumulate: int, length: int, start: int, more: int
) -> None:
    given = {"batch": 2 * ranks * accumulate, "ranks": ranks, "parts": accumulate}
    for rank in range(ranks):
        sampler = EpochSampler(length, 1, rank=rank, **given)
        sampler.set_epoch(3)
        whole = list(sampler)
        sampler.set_epoch(3, start=start, stop=start + more)
        assert list(sampler) == whole[2 * start : 2 * (start + more)]
        assert list(sampler) == whole  # the next iteration is a whole one


def test_threads_stop_where_the_epoch_does(index: VideoIndex) -> None:
    loaders = [training_loader(training(index), batch_size=4, workers=0)]
    loaders += [
        ThreadLoader(training(index), EpochSampler(12, 3, batch=4), batch_size=4, threads=2)
    ]
    for loader in loaders:
        loader.sampler.set_epoch(2, start=1, stop=2)
    [one], [two] = loaders
    assert equal(one, two)


class Slow(torch.utils.data.Dataset[torch.Tensor]):
    def __len__(self) -> int:
        return 24

    def __getitem__(self, key: tuple[int, int]) -> torch.Tensor:
        time.sleep(0.6)
        return torch.tensor(key)


def looking_often(monkeypatch: pytest.MonkeyPatch) -> WorkerLoader:
    """A loader whose batches take three times as long as the wait for an answer of its workers."""
    monkeypatch.setattr("video_gc.data.batches.workers.LOOK", 2.0)
    sampler = EpochSampler(24, 0, batch=10)
    return WorkerLoader(
        Slow(), num_workers=1, batch_size=10, sampler=sampler, persistent_workers=True
    )


@pytest.mark.slow
def test_an_epoch_that_ended_early_leaves_no_batch_with_the_workers(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    loader = looking_often(monkeypatch)
    for epoch in range(2):
        loader.sampler.set_epoch(epoch, stop=1)
        first = next(iter(loader))
        assert first[:, 0].tolist() == [epoch] * 10


@pytest.mark.slow
def test_workers_that_do_not_answer_are_no_lost_process(monkeypatch: pytest.MonkeyPatch) -> None:
    loader = looking_often(monkeypatch)
    next(iter(loader))
    with pytest.raises(TimeoutError, match="no answer within 2 s from 1 decoding workers"):
        next(iter(loader))


def test_what_does_not_divide_names_what_does(index: VideoIndex) -> None:
    with pytest.raises(
        ValueError,
        match=r"batch_size \(10\) must be a multiple of the number of processes \(2\) × accumulate \(2\): 8 or 12",
    ):
        training_loader(training(index), batch_size=10, workers=0, ranks=2, accumulate=2)
    with pytest.raises(ValueError, match=r"multiple of the number of processes \(8\): 8$"):
        training_loader(training(index), batch_size=4, workers=0, ranks=8)
    with pytest.raises(ValueError, match="12 training videos are fewer than one step of 14 takes"):
        training_loader(training(index), batch_size=14, workers=0, ranks=2)
    assert len(training_loader(training(index), batch_size=14, workers=0)) == 1  # alone: all 12


def test_threads_use_the_gpu_of_their_process(monkeypatch: pytest.MonkeyPatch) -> None:
    used: dict[str, object] = {}

    def use(device: torch.device) -> None:
        used[threading.current_thread().name] = device

    monkeypatch.setattr(torch.cuda, "set_device", use)
    jobs = [lambda: iter([1]), lambda: iter([2])]
    gpu = torch.device("cuda", 3)
    assert list(in_threads(jobs, 1, ahead=1, device=gpu)) == [1, 2]
    assert list(used.values()) == [gpu]
    assert all(name.startswith("decode") for name in used)
    used.clear()
    for unnumbered in (torch.device("cuda"), torch.device("cpu")):
        assert list(in_threads(jobs, 1, ahead=1, device=unnumbered)) == [1, 2]
    assert not used


def test_views_are_decoded_on_the_gpu_of_their_process(
    index: VideoIndex, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake_cuda(monkeypatch)
    used: list[torch.device] = []
    monkeypatch.setattr(torch.cuda, "set_device", used.append)
    gpu = torch.device("cuda", 3)
    views = VideoViews(index, CLIP, clips=1, crops=1, decoding=Decoding(device="cuda"))
    assert len(list(view_loader(views, micro_batch=4, workers=1, device=gpu))) == 12
    assert used == [gpu]


def test_views_of_some_videos(index: VideoIndex) -> None:
    views = VideoViews(index, CLIP, clips=2, crops=1, rows=[1, 4, 5])
    for workers in (0, 2):
        loader = view_loader(views, micro_batch=4, workers=workers)
        found = [int(video) for batch in loader for video in batch.videos]
        assert sorted(found) == [1, 1, 4, 4, 5, 5]


def test_the_order_of_a_large_set_is_held_in_few_bytes_a_video() -> None:
    count = 100_000
    tracemalloc.start()
    try:
        assert next(iter(EpochSampler(count, seed=1)))[0] == 0
        assert tracemalloc.get_traced_memory()[1] < 20 * count
    finally:
        tracemalloc.stop()


def test_repeated_clips_fill_the_batch(index: VideoIndex) -> None:
    data = training(index, replace(CLIP, repeats=2))
    batches = list(training_loader(data, batch_size=6, workers=0))
    assert [len(batch.videos) for batch in batches] == [6] * 4
    assert all(set(Counter(batch.videos.tolist()).values()) == {2} for batch in batches)
    for batch in batches:  # mixup blends a clip with the one before it, the first with the last
        before = batch.videos.roll(1)
        assert not (batch.videos == before).any()
    with pytest.raises(ValueError, match=r"batch_size \(5\) must be a multiple of clip.repeats"):
        training_loader(data, batch_size=5, workers=0)


@pytest.mark.parametrize("workers", [0, slow(1), 3])
def test_the_view_loader_knows_its_length(index: VideoIndex, workers: int) -> None:
    views = VideoViews(index.take(np.arange(7)), CLIP, clips=2, crops=3)
    loader = view_loader(views, micro_batch=4, workers=workers)
    assert len(loader) == len(list(loader))


@given(st.lists(st.integers(0, 12), max_size=9), st.integers(1, 4), st.integers(1, 9))
def test_results_come_in_the_order_of_the_jobs(sizes: list[int], threads: int, ahead: int) -> None:
    def job(number: int) -> Iterator[tuple[int, int]]:
        yield from ((number, item) for item in range(sizes[number]))

    jobs = (partial(job, number) for number in range(len(sizes)))
    found = list(in_threads(jobs, threads, ahead=ahead, held=2))
    assert found == [(number, item) for number, size in enumerate(sizes) for item in range(size)]
    assert not decoders()


def test_an_exception_comes_in_its_turn() -> None:
    def job(number: int) -> Iterator[int]:
        if number == 3:
            raise LookupError("number 3")
        time.sleep(0.02 * (number < 3))  # the failing job is done first
        yield number

    results = in_threads((partial(job, number) for number in range(9)), 4, ahead=8)
    assert [next(results) for _ in range(3)] == [0, 1, 2]
    with pytest.raises(LookupError, match="number 3"):
        next(results)
    assert not decoders()


def test_few_jobs_are_begun_ahead_and_none_after_the_end() -> None:
    begun = []

    def job(number: int) -> Iterator[int]:
        begun.append(number)
        yield from range(100)  # more than may be held: the thread has to wait

    results = in_threads((partial(job, number) for number in range(50)), 2, ahead=3, held=4)
    assert next(results) == 0
    assert max(begun, default=0) < 3
    results.close()
    assert not decoders()
    assert max(begun) < 3


def test_leaving_a_loader_early_ends_its_threads(index: VideoIndex) -> None:
    loader = ThreadLoader(training(index), EpochSampler(12, 3), batch_size=2, threads=2)
    for _ in loader:
        break
    assert not decoders()


def fake_cuda(monkeypatch: pytest.MonkeyPatch) -> None:
    """Readers that give tensors, as those of a CUDA device do; the second video falls back."""

    def opening(path: Path, decoder: str, device: str, **limits: object) -> object:
        reader = open_video(path, decoder)
        if device == "cuda":
            reader.fell_back = path.name == "1.mp4"  # type: ignore[attr-defined]
            reader.read_tensors = lambda requests: [  # type: ignore[attr-defined]
                torch.from_numpy(clip) for clip in reader.read_clips(requests)
            ]
        return reader

    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(reading, "open_video", opening)


def test_decoding_on_the_device_goes_through_threads(
    index: VideoIndex, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake_cuda(monkeypatch)
    cuda = Decoding(device="cuda")
    usual = training_loader(training(index), batch_size=4, workers=0)
    data = TrainingClips(index, CLIP, seed=3, flip=0.5, decoding=cuda)
    threaded = training_loader(data, batch_size=4, workers=2)
    assert isinstance(threaded, ThreadLoader)
    pairs = list(zip(usual, threaded, strict=True))
    assert all(torch.equal(a.clips, b.clips) for a, b in pairs)
    said = [problem for _, batch in pairs for problem in batch.problems]
    assert sorted(problem.video for problem in said) == [1, 7]  # bright/1.mp4, dark/1.mp4
    assert {problem.kind for problem in said} == {"fell_back"}
    assert "the GPU cannot decode this h264; the CPU did" in said[0].reason

    some = index.take([2, 3, 4])
    views = [VideoViews(some, CLIP, clips=3, crops=3, decoding=d) for d in (Decoding(), cuda)]
    loaders = [view_loader(v, micro_batch=4, workers=n) for v, n in zip(views, (0, 2), strict=True)]
    assert isinstance(loaders[1], ThreadViewLoader)
    assert all(torch.equal(a.clips, b.clips) for a, b in zip(*loaders, strict=True))


def test_what_cuda_cannot_be_combined_with(monkeypatch: pytest.MonkeyPatch) -> None:
    fake_cuda(monkeypatch)
    with pytest.raises(ValueError, match="data.transfer .yuv. is for frames decoded on the CPU"):
        Decoding(device="cuda", transfer="yuv")


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_frames_decoded_on_the_gpu_are_nearly_those_of_the_cpu(index: VideoIndex) -> None:
    data = TrainingClips(index, CLIP, seed=3, flip=0.5, decoding=Decoding(device="cuda"))
    usual = training_loader(training(index), batch_size=4, workers=0)
    for cpu, gpu in zip(usual, training_loader(data, batch_size=4, workers=3), strict=True):
        assert torch.equal(cpu.seeds, gpu.seeds)
        error = (cpu.clips.float() - gpu.clips.cpu().float()).abs()
        assert error.mean() < 6  # another scaler, and chroma that is not repeated
    assert not decoders()
