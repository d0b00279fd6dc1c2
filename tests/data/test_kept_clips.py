"""Clips kept in memory: the same samples, files opened once, within the bytes, never out of date."""

import os
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.conftest import SMALL, counted_frames
from video_gc.data import reading
from video_gc.data.batches.kept_clips import KeptClips
from video_gc.data.batches.loader import training_loader
from video_gc.data.dataset import Sample, TrainingClips, VideoViews
from video_gc.data.index import VideoIndex
from video_gc.data.reading import Decoding
from video_gc.data.sampling import ClipConfig
from video_gc.decode.open import open_video
from video_gc.decode.write import write_video

FIXED = ClipConfig(
    frames=8, stride=1, crop=32, short_side=[32, 32], test_crop=32, test_short_side=32
)
CLIP_BYTES = 8 * 32 * 32 * 3
PLENTY = 1 << 24


@pytest.fixture
def videos(tmp_path: Path, damaged: dict[str, Path]) -> VideoIndex:
    """Square videos of 8 frames, as many as a clip has; 2 is damaged, 3 has 5 frames."""
    paths = [
        write_video(tmp_path / f"{n}.mp4", counted_frames(count, 32, 32, seed=n))
        for n, count in enumerate((8, 8, 8, 5))
    ]
    paths[2] = damaged["text"]
    return VideoIndex.build(paths, [0, 1, 0, 1], ["a", "b"])


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """How often each file is opened, by name."""
    times: Counter[str] = Counter()

    def counting(path: Path, *options: object, **limits: object) -> object:
        times[Path(path).name] += 1
        return open_video(path, *options, **limits)  # type: ignore[arg-type]

    monkeypatch.setattr(reading, "open_video", counting)
    return times


def clips_of(
    index: VideoIndex, clip: ClipConfig = FIXED, *, keep: int = PLENTY, transfer: str = "rgb"
) -> TrainingClips:
    decoding = Decoding(transfer=transfer)
    return TrainingClips(index, clip, seed=3, flip=0.5, decoding=decoding, keep=keep)


def views_of(index: VideoIndex, *, keep: int = PLENTY, transfer: str = "rgb") -> VideoViews:
    clip, decoding = replace(FIXED, frames=4, test_crop=24), Decoding(transfer=transfer)
    return VideoViews(index, clip, clips=2, crops=10, decoding=decoding, keep=keep)


def epoch_of(clips: TrainingClips, epoch: int) -> list[Sample]:
    return [sample for row in range(len(clips)) for sample in clips[(epoch, row)]]


def facts(samples: list[Sample]) -> list[dict[str, object]]:
    """Everything in the samples, in a form that can be compared."""
    found = []
    for sample in samples:
        clip, label = np.asarray(sample.clip), np.asarray(sample.label)
        found.append(
            {**vars(sample), "clip": (clip.shape, clip.tobytes()), "label": label.tolist()}
            | {"problems": list(sample.problems)}
        )
    return found


@pytest.mark.parametrize(
    ("clip", "transfer", "multi_label", "opens"),
    [
        (FIXED, "rgb", False, 1),
        (replace(FIXED, repeats=2), "yuv", True, 1),
        (replace(FIXED, target_fps=30.0, past_end="loop"), "rgb", True, 1),
        (replace(FIXED, short_side=[32, 48]), "rgb", False, 4),
        (replace(FIXED, frames=3, crop=16, crop_area=[0.2, 1.0]), "yuv", False, 4),
    ],
)
def test_samples_of_every_epoch_are_those_of_the_files(
    videos: VideoIndex,
    opened: Counter[str],
    clip: ClipConfig,
    transfer: str,
    multi_label: bool,
    opens: int,
) -> None:
    if multi_label:
        hot = [[0], [1, 0], [], [1]]
        videos = VideoIndex.build(list(videos.paths), hot, ["a", "b"], multi_label=True)
    plain, kept = (clips_of(videos, clip, keep=n, transfer=transfer) for n in (0, PLENTY))
    expected = [facts(epoch_of(plain, epoch)) for epoch in range(4)]
    opened.clear()
    assert [facts(epoch_of(kept, epoch)) for epoch in range(4)] == expected
    # a replacement of video 2 may be video 0, 1 or 3: where crops vary, it is opened for that too
    least, damaged = min(opened[f"{n}.mp4"] for n in (0, 1, 3)), opened["text.mp4"]
    assert least == opens
    assert damaged >= 4
    resumed = clips_of(videos, clip, transfer=transfer)
    assert [facts(epoch_of(resumed, epoch)) for epoch in (2, 3)] == expected[2:]
    if clip.frames == 8:  # in each epoch the problem of video 3 is passed on again
        assert all([p.kind for p in kept[(epoch, 3)][0].problems] == ["short"] for epoch in (4, 5))


@pytest.mark.parametrize("transfer", ["rgb", "yuv"])
def test_views_of_every_epoch_are_those_of_the_files(
    videos: VideoIndex, opened: Counter[str], transfer: str
) -> None:
    expected = facts(list(views_of(videos, keep=0, transfer=transfer)))
    assert [sample["video"] for sample in expected if sample["problems"]] == [2]
    opened.clear()
    kept = views_of(videos, transfer=transfer)
    assert [facts(list(kept)) for _ in range(3)] == [expected] * 3
    assert opened == {"0.mp4": 1, "1.mp4": 1, "3.mp4": 1, "text.mp4": 3}
    half = views_of(videos, transfer=transfer)
    next(iter(half))  # views that nobody took to the end are not kept
    assert facts(list(half)) == expected


def test_nothing_is_kept_of_videos_whose_clips_vary(
    videos: VideoIndex, opened: Counter[str]
) -> None:
    one = videos.take(np.array([0]))
    clips = clips_of(one, replace(FIXED, short_side=[32, 64]))
    clips[(0, 0)]
    assert clips._kept.bytes == CLIP_BYTES
    for epoch in range(1, 5):
        clips[(epoch, 0)]
        assert clips._kept.bytes == 0
    assert opened == {"0.mp4": 5}


def test_a_set_that_needs_more_bytes_is_not_kept(videos: VideoIndex, opened: Counter[str]) -> None:
    sound = videos.take(np.array([0, 1, 3]))
    for keep, opens, held in ((3 * CLIP_BYTES - 1, 3, 0), (3 * CLIP_BYTES, 1, 3 * CLIP_BYTES)):
        opened.clear()
        clips = clips_of(sound, keep=keep)
        for epoch in range(3):
            epoch_of(clips, epoch)
        assert opened == dict.fromkeys(("0.mp4", "1.mp4", "3.mp4"), opens)
        assert clips._kept.bytes == held
    half = clips_of(sound, keep=3 * CLIP_BYTES // 2, transfer="yuv")  # planes are half as large
    epoch_of(half, 0)
    assert half._kept.bytes == 3 * CLIP_BYTES // 2


def test_the_limit_holds_whatever_was_expected(tmp_path: Path) -> None:
    file = tmp_path / "a"
    file.touch()
    kept, clip = KeptClips[str](100, 1), np.zeros(40, np.uint8)
    state = kept.state(0, file)
    for video in (0, 1, 2, 0):  # the third finds no room; the first is replaced
        kept.keep(video, state, "", [clip])
    assert kept.bytes == 80
    assert [kept.get(video, state) is not None for video in range(3)] == [True, True, False]
    kept.keep(0, state, "", [clip, clip])
    assert kept.bytes == 40
    assert kept.get(0, state) is None


def _rewritten(file: Path) -> None:
    """Other frames in as many bytes with the same time: only the time of the change differs."""
    before, number = os.stat(file), 50
    while True:
        write_video(file.with_name("new.mp4"), counted_frames(8, 32, 32, seed=number))
        content = file.with_name("new.mp4").read_bytes()
        if len(content) <= before.st_size:
            break
        number += 1
    file.write_bytes(content.ljust(before.st_size, b"\0"))
    os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))


@pytest.mark.parametrize("change", [_rewritten, Path.unlink])
def test_a_file_that_changes_is_read_again(
    videos: VideoIndex, change: Callable[[Path], None]
) -> None:
    clips, views = clips_of(videos), views_of(videos)
    before = facts(clips[(0, 0)]), facts(list(views.views(0)))
    change(videos.path(0))
    after = facts(clips[(0, 0)]), facts(list(views.views(0)))
    plain = clips_of(videos, keep=0)[(0, 0)], list(views_of(videos, keep=0).views(0))
    assert after == (facts(plain[0]), facts(plain[1]))
    assert after[0] != before[0]
    assert after[1] != before[1]


def test_an_image_of_a_folder_that_changes_is_read_again(tmp_path: Path) -> None:
    from PIL import Image

    folder = tmp_path / "frames"
    folder.mkdir()

    def draw(value: int) -> None:
        for number in range(8):
            Image.new("RGB", (32, 32), (value,) * 3).save(folder / f"{number:03}.png")

    clips = clips_of(VideoIndex.build([folder], [0], ["a"]))
    for value in (10, 200):  # the folder's own time stays
        draw(value)
        assert np.asarray(clips[(0, 0)][0].clip).mean() == pytest.approx(value, abs=3)


def test_a_changed_sample_does_not_change_the_next_epoch(videos: VideoIndex) -> None:
    clips, views = clips_of(videos), views_of(videos)
    expected = facts(clips_of(videos)[(0, 0)]), facts(list(views_of(videos).views(0)))
    for _ in range(3):
        samples, found = clips[(0, 0)], list(views.views(0))
        assert facts(samples) == expected[0]
        assert facts(found) == expected[1]
        for sample in (*samples, *found):
            np.asarray(sample.clip).fill(7)
            sample.problems.append("mine")  # type: ignore[arg-type]


def test_a_worker_keeps_clips_between_epochs(
    videos: VideoIndex, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = tmp_path / "opened"

    def noting(path: Path, *options: object, **limits: object) -> object:
        with log.open("a") as file:
            file.write(f"{Path(path).name}\n")
        return open_video(path, *options, **limits)  # type: ignore[arg-type]

    monkeypatch.setattr(reading, "open_video", noting)
    sound = videos.take(np.array([0, 1, 3]))
    batches, opens = [], []
    for keep in (0, PLENTY):
        loader = training_loader(clips_of(sound, keep=keep), batch_size=3, workers=1)
        batches.append([batch for _ in range(3) for batch in loader])
        opens.append(Counter(log.read_text().split()))
        log.unlink()
    assert opens == [dict.fromkeys(("0.mp4", "1.mp4", "3.mp4"), times) for times in (3, 1)]
    for plain, kept in zip(*batches, strict=True):
        assert plain.clips is not None
        assert kept.clips is not None
        assert torch.equal(plain.clips, kept.clips)
        assert torch.equal(plain.seeds, kept.seeds)
        assert [p.kind for p in plain.problems] == [p.kind for p in kept.problems] == ["short"]


@pytest.mark.slow
def test_a_training_opens_each_file_once_and_ends_with_the_same_weights(
    videos: VideoIndex, opened: Counter[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from video_gc.config import compose_train
    from video_gc.train import inputs
    from video_gc.train.loop import train

    root = tmp_path / "set"
    for name in "ab":
        (root / name).mkdir(parents=True)
        for number in range(5):
            frames = counted_frames(8, 32, 32, seed=number)
            write_video(root / name / f"{name}{number}.mp4", frames)
    given = [*SMALL, f"data.root={root}", f"runs={tmp_path}", "epochs=3", "clip.frames=8",
             "clip.stride=1", "clip.short_side=[32,32]"]  # fmt: skip
    ends, opens = [], []
    for name, limit in (("kept", inputs.KEPT), ("plain", 0)):
        monkeypatch.setattr(inputs, "KEPT", limit)
        opened.clear()
        run = train(compose_train([*given, f"name={name}"]))
        ends.append(torch.load(run / "checkpoints/last.ckpt", weights_only=True))
        opens.append(Counter(opened.values()))
    assert opens[0].keys() <= {1, 2, 3}
    assert opens[0][1] == 2  # of validation; training's are also opened to learn their frame rate
    assert opens[0][3] <= 1  # the first file is also opened to test the decoder
    assert max(opens[1]) >= 4
    states = [end["state_dict"] for end in ends]
    assert states[0].keys() == states[1].keys()
    assert all(torch.equal(states[0][name], states[1][name]) for name in states[0])
