import json
from pathlib import Path

import numpy as np
import pytest

from tests.conftest import counted_frames
from video_gc.data.annotations.class_folders import read_class_folders
from video_gc.data.generated.motions import (
    CLASSES,
    CLIPS_PER_CLASS,
    MOTIONS,
    PAIRS,
    generate_motions,
    open_motions,
    render_clip,
)
from video_gc.data.generated.painting import NUM_FRAMES, SIZE
from video_gc.decode.open import open_video

FEW = {"train": 2, "val": 1, "test": 1}


@pytest.mark.slow
def test_generated_files_are_real_videos_and_the_same_every_time(tmp_path: Path) -> None:
    one = generate_motions(tmp_path / "one", clips_per_class=FEW)
    two = generate_motions(tmp_path / "two", clips_per_class=FEW)
    files = sorted(path.relative_to(one) for path in one.rglob("*.mp4"))
    assert len(files) == 8 * 4
    assert all((one / file).read_bytes() == (two / file).read_bytes() for file in files)
    assert len({(one / file).read_bytes() for file in files}) == len(files)
    index = read_class_folders(one / "train")
    assert index.names == sorted(CLASSES)
    with open_video(index.paths[0]) as reader:
        assert (len(reader), reader.size) == (NUM_FRAMES, (SIZE, SIZE))


def test_a_complete_set_is_left_alone_and_any_seed_will_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    short = counted_frames(2)
    monkeypatch.setattr("video_gc.data.generated.motions.render_clip", lambda *_: short)
    root = generate_motions(tmp_path / "m", seed=1, clips_per_class={"train": 1})
    stamps = {path: path.stat().st_mtime_ns for path in root.rglob("*")}
    assert generate_motions(root, seed=1, clips_per_class={"train": 1}) == root
    assert open_motions(root) == root
    with pytest.raises(FileExistsError, match="motions of another seed or version"):
        generate_motions(root, seed=0, clips_per_class={"train": 1})
    assert {path: path.stat().st_mtime_ns for path in root.rglob("*")} == stamps
    (root / "motions.json").write_text(json.dumps({"version": 0}))
    with pytest.raises(FileExistsError, match="motions of another seed or version"):
        open_motions(root)


def test_another_seed_draws_other_videos(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    two_classes = dict(list(CLASSES.items())[:2])
    monkeypatch.setattr("video_gc.data.generated.motions.CLASSES", two_classes)
    few = {"train": 1}
    one, two = (generate_motions(tmp_path / str(s), seed=s, clips_per_class=few) for s in (0, 1))
    paths = list(one.rglob("*.mp4"))
    assert len(paths) == 2
    for path in paths:
        assert path.read_bytes() != (two / path.relative_to(one)).read_bytes()


def test_a_folder_with_something_else_is_not_touched(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("precious")
    for root in (tmp_path, tmp_path / "mine.txt"):
        with pytest.raises(FileExistsError, match="has other contents, and no motions.json"):
            open_motions(root)
    assert (tmp_path / "mine.txt").read_text() == "precious"
    assert list(tmp_path.iterdir()) == [tmp_path / "mine.txt"]


def test_a_misspelt_folder_is_no_place_for_them(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="leave data.root out"):
        open_motions(tmp_path / "dta" / "motions")
    assert list(tmp_path.iterdir()) == []


def test_it_is_said_where_they_are_generated(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    two_classes = dict(list(CLASSES.items())[:2])
    monkeypatch.setattr("video_gc.data.generated.motions.CLASSES", two_classes)
    monkeypatch.setattr("video_gc.data.generated.motions.CLIPS_PER_CLASS", {"train": 1})
    short = counted_frames(2)
    monkeypatch.setattr("video_gc.data.generated.motions.render_clip", lambda *_: short)
    (tmp_path / "empty").mkdir()
    for root in (MOTIONS, Path("empty"), Path("new")):  # no folder `data` is needed for the first
        assert open_motions(root) == root
        assert len(list(root.rglob("*.mp4"))) == 2
        said = capsys.readouterr().err.splitlines()
        assert said[0].startswith(f"{root}: has no motions yet; generating 2 small videos")


def test_the_full_set_has_several_hundred_clips_in_pairs() -> None:
    assert sum(CLIPS_PER_CLASS.values()) * len(CLASSES) >= 800
    assert [c for pair in PAIRS for c in pair] == list(CLASSES)


def onset(values: np.ndarray) -> float:
    """Frame of the largest distance from the first frame's value."""
    return float(np.abs(values - values[0]).argmax())


@pytest.mark.parametrize("seed", range(20))
def test_the_relation_is_what_the_name_says(seed: int) -> None:
    def tracks(name: str) -> list:
        return CLASSES[name](np.random.default_rng(seed))

    upper, lower = tracks("upper_moves_first")
    assert upper.y[0] < lower.y[0]
    assert onset(upper.x) < onset(lower.x)
    upper, lower = tracks("lower_moves_first")
    assert onset(lower.x) < onset(upper.x)
    for name, sign in (("in_step", 1), ("in_opposition", -1)):
        one, two = tracks(name)
        assert sign * np.corrcoef(one.y, two.y)[0, 1] > 0.99
        assert abs(one.x[0] - two.x[0]) > 25
    for name, same in (("returns_same_side", True), ("returns_other_side", False)):
        (track,) = tracks(name)
        assert ((track.x[0] < SIZE / 2) == (track.x[-1] < SIZE / 2)) == same
        assert track.y.min() < -track.radius[0]  # out of the picture in between
    for name, sign in (("pulse_then_hop", 1), ("hop_then_pulse", -1)):
        pulse, hop = tracks(name)
        assert sign * (onset(hop.x) - onset(pulse.radius)) > 0
        assert np.ptp(pulse.x) == np.ptp(hop.radius) == 0


@pytest.mark.parametrize("name", CLASSES)
def test_objects_stay_in_the_picture_and_can_be_seen(name: str) -> None:
    for seed in range(10):
        for track in CLASSES[name](np.random.default_rng(seed)):
            assert (track.x - track.radius > -4).all()
            assert (track.x + track.radius < SIZE + 4).all()
            if not name.startswith("returns"):
                assert (track.y - track.radius > -4).all()
                assert (track.y + track.radius < SIZE + 4).all()
        if seed > 1:
            continue
        frames = render_clip(name, np.random.default_rng(seed))
        assert frames.shape == (NUM_FRAMES, SIZE, SIZE, 3)
        assert frames.dtype == np.uint8
