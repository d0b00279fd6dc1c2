"""A long list: memory stays as it is after the first videos."""

import os
from pathlib import Path

import pytest

from tests.conftest import counted_frames
from video_gc.decode.write import write_video
from video_gc.predict.decoders import Decoders
from video_gc.scale.scoring import ScoreOptions, Scorer, Work

COUNT = 100_000


@pytest.mark.slow
def test_memory_is_flat_over_100_000_videos(
    bag_run: Path, damaged: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("video_gc.scale.scoring.Decoders", Decoders)
    videos = [
        *(write_video(tmp_path / f"{n}.mp4", counted_frames(8, seed=n)) for n in range(97)),
        *damaged.values(),
    ]
    checkpoint = bag_run / "checkpoints" / "best.ckpt"
    work = Work(checkpoint=checkpoint, options=ScoreOptions(), device="cpu", decoders=2)
    listed = ((n, str(videos[n % len(videos)])) for n in range(COUNT))
    seen, status = list[list[int]](), list[str]()
    with Scorer(work.recognizer(), work) as scorer:
        for row in scorer.rows(listed):
            status.append(row["status"])
            if row["row"] % (COUNT // 10) == COUNT // 10 - 1:
                seen.append([resident(pid) for pid in (os.getpid(), *pids())])
    assert status.count("error") == sum(n % len(videos) >= 97 for n in range(COUNT))
    assert len(status) == COUNT
    early, late = (sum(map(sum, part)) / len(part) for part in (seen[1:4], seen[-3:]))
    assert late - early < 24, seen


def pids() -> list[int]:
    """Of the processes that decode, wherever they are at work."""
    tasks = Path(f"/proc/{os.getpid()}/task").glob("*/children")
    return sorted(int(child) for task in tasks for child in task.read_text().split())


def resident(pid: int) -> int:
    """MiB of memory of a process."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS"):
            return int(line.split()[1]) // 1024
    return 0
