"""The benchmark of loading delivers what it counts."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from benchmarks.loader import NAIVE, OURS, THREADS, NaiveClips, Row, loader_targets
from benchmarks.parts.videos import encode, look_at

TOOLS = Path(__file__).parents[2] / "tools"


@pytest.fixture(scope="module")
def video(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return encode(tmp_path_factory.mktemp("videos") / "small.mp4", 96, 64, 12, 64)


@pytest.mark.slow
def test_every_way_delivers_batches(video: Path, tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, TOOLS / "benchmark.py", "loader", video, "--workers", "0", "1",
         "--clips", "12", "--batch-size", "4", "--rounds", "1", "--out", tmp_path],
        capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    rows = json.loads((tmp_path / "loader.json").read_text())["rows"]
    assert {(r["name"], r["form"], r["workers"]) for r in rows} == {
        *((OURS, form, n) for form in ("rgb", "yuv") for n in (0, 1)),
        *((THREADS, form, 1) for form in ("rgb", "yuv")),
        *((NAIVE, "rgb", n) for n in (0, 1)),
    }
    whole = 8 * 224 * 224 * 3
    assert all(r["bytes_per_clip"] == whole // (1 + (r["form"] == "yuv")) for r in rows)
    assert {r["batch"] for r in rows} == {4}
    assert all(len(r["clips_per_second"]) == 1 and r["clips_per_second"][0] > 0 for r in rows)
    assert "| training_loader | yuv | 1 |" in (tmp_path / "loader.md").read_text()
    assert (tmp_path / "loader.png").read_bytes()[:4] == b"\x89PNG"


def test_the_naive_set_draws_from_seed_epoch_and_row(video: Path) -> None:
    clips = NaiveClips([look_at(video)], 4, seed=3)
    first = clips[0, 1]
    assert first.shape == (8, 3, 224, 224)
    assert (clips[0, 1] == first).all()
    assert not (clips[1, 1] == first).all()


def test_the_target_is_two_workers_against_one() -> None:
    rows = [Row(OURS, "rgb", n, [speed]) for n, speed in ((0, 9.0), (1, 10.0), (2, 19.0))]
    rows += [Row(NAIVE, "rgb", n, [1.0]) for n in (1, 2)]
    (target,) = loader_targets(rows)
    assert target.number == pytest.approx(1.9)
    assert target.met
