import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tests.conftest import counted_frames, slow
from video_gc.backbones.receptive_field import receptive_field
from video_gc.config import compose_train
from video_gc.data.annotations.class_folders import read_class_folders
from video_gc.data.generated.motions import (
    CLIPS_PER_CLASS,
    MOTIONS,
    generate_motions,
    open_motions,
)
from video_gc.data.generated.painting import NUM_FRAMES, SIZE, Track, paint
from video_gc.data.generated.tasks import GAP, TASKS, render_clip
from video_gc.decode.open import open_video
from video_gc.models.build import build_model

FEW = {"train": 2, "val": 1, "test": 1}
EVERY_CLASS = [(task, name) for task, classes in TASKS.items() for name in list(classes)[-2:]]
FAR = [(task, name) for task, name in EVERY_CLASS if task != "one_object"]
"""Classes of two far objects, or of two far groups of them."""


@pytest.mark.parametrize("task", [slow(t) if t == "one_object" else t for t in TASKS])
def test_generated_files_are_real_videos_and_the_same_every_time(tmp_path: Path, task: str) -> None:
    one = generate_motions(tmp_path / "one", task, clips_per_class=FEW)
    two = generate_motions(tmp_path / "two", task, clips_per_class=FEW)
    assert one == tmp_path / "one" / task
    files = sorted(path.relative_to(one) for path in one.rglob("*.mp4"))
    assert len(files) == len(TASKS[task]) * 4
    assert all((one / file).read_bytes() == (two / file).read_bytes() for file in files)
    assert len({(one / file).read_bytes() for file in files}) == len(files)
    index = read_class_folders(one / "train")
    assert index.names == sorted(TASKS[task])
    with open_video(index.paths[0]) as reader:
        assert (len(reader), reader.size) == (NUM_FRAMES, (SIZE, SIZE))


@pytest.fixture
def painted(monkeypatch: pytest.MonkeyPatch) -> None:
    """Clips of two frames, quickly drawn."""
    short = counted_frames(2)
    monkeypatch.setattr("video_gc.data.generated.motions.render_clip", lambda *_: short)


@pytest.mark.usefixtures("painted")
def test_a_complete_set_is_left_alone_and_any_seed_will_do(tmp_path: Path) -> None:
    root = tmp_path / "m"
    few = {"train": 1}
    folder = generate_motions(root, "alike", seed=1, clips_per_class=few)
    stamps = {path: path.stat().st_mtime_ns for path in root.rglob("*")}
    assert generate_motions(root, "alike", seed=1, clips_per_class=few) == folder
    assert open_motions(root, "alike") == folder
    with pytest.raises(FileExistsError, match="motions of another seed or version"):
        generate_motions(root, "alike", seed=0, clips_per_class=few)
    assert {path: path.stat().st_mtime_ns for path in root.rglob("*")} == stamps
    generate_motions(root, "presence", seed=0, clips_per_class=few)  # beside it
    assert sorted(path.name for path in root.iterdir()) == ["alike", "presence"]
    (folder / "motions.json").write_text(json.dumps({"version": 1}))
    with pytest.raises(FileExistsError, match="motions of another seed or version"):
        open_motions(root, "alike")


def test_another_seed_draws_other_videos(tmp_path: Path) -> None:
    few = {"train": 1}
    one, two = (
        generate_motions(tmp_path / str(seed), "alike", seed=seed, clips_per_class=few)
        for seed in (0, 1)
    )
    paths = list(one.rglob("*.mp4"))
    assert len(paths) == 2
    for path in paths:
        assert path.read_bytes() != (two / path.relative_to(one)).read_bytes()


def test_a_folder_with_something_else_is_not_touched(tmp_path: Path) -> None:
    (tmp_path / "alike").mkdir()
    (tmp_path / "alike" / "mine.txt").write_text("precious")
    (tmp_path / "presence").write_text("precious")
    before = sorted(tmp_path.rglob("*"))
    for task in ("alike", "presence"):
        with pytest.raises(FileExistsError, match="has other contents, and no motions.json"):
            open_motions(tmp_path, task)
    assert sorted(tmp_path.rglob("*")) == before
    assert (tmp_path / "alike" / "mine.txt").read_text() == "precious"


def test_a_misspelt_folder_is_no_place_for_them(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="leave data.root out"):
        open_motions(tmp_path / "dta" / "motions", "alike")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.usefixtures("painted")
def test_it_is_said_where_they_are_generated(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("video_gc.data.generated.motions.CLIPS_PER_CLASS", {"train": 1})
    (tmp_path / "empty").mkdir()
    for root in (MOTIONS, Path("empty"), Path("new")):  # no folder `data` is needed for the first
        assert open_motions(root, "alike") == root / "alike"
        assert len(list(root.rglob("*.mp4"))) == 2
        said = capsys.readouterr().err.splitlines()
        assert said[0].startswith(f"{root}/alike: has no motions yet; generating 2 small videos")


def test_the_test_videos_make_a_standard_error_of_at_most_two_points() -> None:
    assert 50 / (CLIPS_PER_CLASS["test"] * 2) ** 0.5 < 2.1


def steps(track) -> np.ndarray:
    """Movement per frame: (T - 1, 2)."""
    return np.diff(np.stack([track.x, track.y], 1), axis=0)


@pytest.mark.parametrize("seed", range(20))
def test_the_relation_is_what_the_name_says(seed: int) -> None:
    def tracks(task: str, name: str) -> list:
        return TASKS[task][name](np.random.default_rng(seed))

    for name, sign in (("alike", 1), ("opposite", -1)):
        one, two = tracks("alike", name)
        assert np.allclose(steps(one), sign * steps(two))
        assert np.hypot(*steps(one)[0]) >= 0.9
    moving, still = (
        [np.abs(steps(t)).max() > 0 for t in tracks("presence", name)]
        for name in ("moving", "still")
    )
    assert sorted(moving) == [False, True]
    assert still == [False, False]


def windows_of(track: Track) -> list[tuple[int, ...]]:
    """What the stem of a bag network sees of a blink: for each window that sees it, the frames in
    which it does, counted from the window's middle."""
    seen = [
        tuple(step for step in range(-2, 3) if min(max(middle + step, 0), 7) == track.frame)
        for middle in range(0, NUM_FRAMES, 2)
    ]
    return sorted(window for window in seen if window)


@pytest.mark.parametrize("task", ["order", "same_frame"])
def test_a_window_shows_of_a_blink_only_that_it_happened(task: str) -> None:
    frames = {}
    for name, draw in TASKS[task].items():
        clips = [draw(np.random.default_rng(seed)) for seed in range(40)]
        assert all(windows_of(track) == [(-1,), (1,)] for clip in clips for track in clip)
        frames[name] = {(red.frame, cyan.frame) for red, cyan in clips}
    if task == "order":
        assert frames == {"red_first": {(1, 5)}, "cyan_first": {(5, 1)}}
    else:
        assert frames == {"together": {(1, 1), (5, 5)}, "apart": {(1, 5), (5, 1)}}


@pytest.mark.parametrize(("name", "disagreeing"), [("match", 0), ("mismatch", 2)])
def test_the_classes_of_match_differ_in_the_pairs_alone(name: str, disagreeing: int) -> None:
    for seed in range(100):
        tracks = TASKS["match"][name](np.random.default_rng(seed))
        left, right = (
            {t.hue: t.frame is not None for t in tracks if (t.x[0] > SIZE / 2) == side}
            for side in (False, True)
        )
        assert left.keys() == right.keys()
        assert sum(left.values()) == sum(right.values()) == 2
        assert sum(left[hue] != right[hue] for hue in left) == disagreeing


def test_a_blink_is_in_one_frame_and_a_hue_is_seen() -> None:
    flat = np.full((NUM_FRAMES, SIZE, SIZE, 3), 0.5, np.float32)
    still = np.full(NUM_FRAMES, 20.0)
    canvas = paint(flat, Track(still, still, 3.0, hue=1 / 3, frame=5), np.random.default_rng(0))
    changed = (canvas != flat).any((1, 2, 3))
    assert changed.tolist() == [frame == 5 for frame in range(NUM_FRAMES)]
    red, green, blue = canvas[5, 20, 20]
    assert green > 0.85
    assert max(red, blue) < 0.15


def test_each_object_alone_looks_the_same_in_both_classes() -> None:
    """The directions of the right object in `opposite`, drawn like those in `alike`."""
    for name in TASKS["alike"]:
        angles = []
        for seed in range(2000):
            _, right = TASKS["alike"][name](np.random.default_rng(seed))
            angles.append(np.arctan2(*steps(right)[0]))
        counts, _ = np.histogram(angles, 8, (-np.pi, np.pi))
        assert ((counts - 250) ** 2 / 250).sum() < 24.3  # chi-squared, 7 degrees: 99.9 %


@pytest.mark.parametrize(("task", "name"), EVERY_CLASS)
def test_objects_stay_in_the_picture_and_apart(task: str, name: str) -> None:
    for seed in range(200):
        tracks = TASKS[task][name](np.random.default_rng(seed))
        for track in tracks:
            for centre in (track.x, track.y):
                assert centre.min() - track.radius - 0.5 >= -1e-9
                assert centre.max() + track.radius + 0.5 <= SIZE - 1 + 1e-9
        if (task, name) in FAR:
            left = max(t.x.max() + t.radius + 0.5 for t in tracks if t.x.max() < SIZE / 2)
            right = min(t.x.min() - t.radius - 0.5 for t in tracks if t.x.min() > SIZE / 2)
            assert right - left >= GAP - 1e-9


@pytest.mark.parametrize(("task", "name"), FAR)
def test_no_window_touches_both_sides(task: str, name: str) -> None:
    """The pixels themselves, not the tracks."""
    flat = np.full((NUM_FRAMES, SIZE, SIZE, 3), 0.5, np.float32)
    for seed in range(50):
        random = np.random.default_rng(seed)
        canvas = flat
        for track in TASKS[task][name](random):
            canvas = paint(canvas, track, random)
        columns = np.flatnonzero((canvas != flat).any((0, 1, 3)))
        assert np.diff(columns).max() >= GAP


def test_frames_are_pictures() -> None:
    for task, name in EVERY_CLASS:
        frames = render_clip(task, name, np.random.default_rng(0))
        assert (frames.shape, frames.dtype) == ((NUM_FRAMES, SIZE, SIZE, 3), np.uint8)


def test_the_demos_network_sees_less_than_the_gap() -> None:
    field = receptive_field(
        build_model(replace(compose_train(["experiment=demo"]).model, num_classes=2))
    )
    assert field is not None
    assert field[2] <= GAP
