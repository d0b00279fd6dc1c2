"""The benchmark of feeding a GPU measures the copies that it names; no test asserts a time."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from benchmarks import feeding
from benchmarks.feeding import (
    FORMS,
    INTERVALS,
    KINDS,
    Demand,
    Variant,
    clip_seconds,
    decoded,
    demands,
    feeding_targets,
    measure,
    rewritten,
    to_markdown,
)
from benchmarks.parts.videos import encode

from video_gc.data.dataset import TrainingClips
from video_gc.data.index import VideoIndex
from video_gc.decode.reader import DecodeError

TOOLS = Path(__file__).parents[2] / "tools"
RATES = [(250, "8×8"), (251, "32×2"), (1700, "8×8"), (2000, "8×8")]
"""Clips a second, and the clip."""


@pytest.fixture(scope="module")
def video(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return encode(tmp_path_factory.mktemp("videos") / "small.mp4", 96, 64, 250, 70)


def variant(interval: int | None, ms: float, size: tuple[int, int] = (256, 340)) -> Variant:
    pictures = {"8×8": 40.4, "32×2": 63.0}
    times = dict.fromkeys(KINDS, ms)
    return Variant("a.mp4", interval, 12.0, size, 300, 10**6, 1.5, times, pictures)


@pytest.mark.slow
def test_a_run_writes_both_tables(video: Path, tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, TOOLS / "benchmark.py", "feeding", video, "--quick", "--out", tmp_path],
        capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    results = json.loads((tmp_path / "feeding.json").read_text())
    assert [one["interval"] for one in results["variants"]] == [None, *INTERVALS]
    assert all(set(one["ms"]) == set(KINDS) for one in results["variants"])
    assert all(ms > 0 for one in results["variants"] for ms in one["ms"].values())
    assert results["targets"] == []  # of 340×256 only
    text = (tmp_path / "feeding.md").read_text()
    assert "**small.mp4**: 70 frames of 96×64, copies of 96×64" in text
    assert "| every 12 |" in text
    assert "| Slow-only R50 with five GC | 8×8 | 41.8 | 1,184 | 11.8 |" in text


def test_copies_have_the_distances_that_they_name(video: Path, tmp_path: Path) -> None:
    files = rewritten(video, tmp_path)
    assert list(files)[0] == video
    for path, one in files.items():
        assert (one.frames, one.size, one.bytes) == (70, (64, 96), path.stat().st_size)
        assert one.distance <= (one.interval or 250)
    assert [one.distance for one in files.values()][-1] == 1
    intra = decoded(list(files)[-1], 2, 0)
    assert intra["8×8"] < 12  # the wanted ones, and few more
    assert decoded(video, 2, 0)["8×8"] > 12


def test_of_each_clip_the_shortest_time_counts(
    video: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both clips take longer the second time, and the second clip twice as long as the first."""
    seen: dict[tuple[int, int], int] = {}

    def seconds(_path: Path, dataset: TrainingClips, number: int) -> float:
        key = id(dataset), number
        seen[key] = seen.get(key, 0) + 1
        return (number + 1) * seen[key]

    monkeypatch.setattr(feeding, "clip_seconds", seconds)
    one = variant(None, 0)
    measure({video: one}, 2, 3, 0)
    assert one.ms == dict.fromkeys(KINDS, 1500)
    warm_up = [key for key in seen if key[1] == 2]
    assert len(warm_up) == len(KINDS)
    assert all(seen[key] == 3 for key in seen if key not in warm_up)


def test_a_damaged_video_is_no_fast_one(tmp_path: Path) -> None:
    (tmp_path / "a.mp4").write_bytes(b"no video")
    index = VideoIndex.build([tmp_path / "a.mp4"], [0], ["any"])
    dataset = TrainingClips(index, feeding.CLIPS["8×8"], seed=0, flip=0.5)
    with pytest.raises(DecodeError, match=r"a.mp4: .*cannot be read as a video"):
        clip_seconds(tmp_path / "a.mp4", dataset, 0)


def test_the_targets_are_of_one_distance_and_size() -> None:
    variants = [variant(8, 10), variant(12, 19), variant(12, 5, (256, 454)), variant(None, 50)]
    targets = feeding_targets(variants)
    assert [(target.number, target.met) for target in targets] == [(19, True)] * len(FORMS)


def test_networks_are_counted_and_cores_follow_from_their_own_clip() -> None:
    wanted = demands()
    assert [round(one.multiply_adds / 1e9, 1) for one in wanted] == [41.8, 106.0, 50.3, 33.1]
    one = variant(None, 10)
    one.ms["32×2 RGB"] = 20
    wanted = [Demand(f"{rate}", clip, 10**9, rate) for rate, clip in RATES]
    lines = to_markdown([one, variant(12, 8)], wanted)
    assert "**a.mp4**: 300 frames of 340×256, copies of 340×256" in lines
    assert any(
        line.startswith("| original | 1.00 | 1.00 | 1.5 | 40 | 63 | 10.0 ms") for line in lines
    )
    assert "| 250 | 8×8 | 1.0 | 250 | 56.0 | 3 | 2 | original |" in lines
    assert "| 251 | 32×2 | 1.0 | 251 | 55.8 | 6 | 3 | original |" in lines
    assert "| 1700 | 8×8 | 1.0 | 1,700 | 8.2 | 17 | 14 | every 12 |" in lines
    assert "| 2000 | 8×8 | 1.0 | 2,000 | 7.0 | 20 | 16 | NVDEC, or wait |" in lines
