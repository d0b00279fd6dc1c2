"""A long list: memory stays as it is after the first videos."""

import os
from pathlib import Path

import pytest

from tests.conftest import counted_frames
from tests.processes import children, resident
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
                seen.append([resident(pid) for pid in (os.getpid(), *children())])
    assert status.count("error") == sum(n % len(videos) >= 97 for n in range(COUNT))
    assert len(status) == COUNT
    early, late = (sum(map(sum, part)) / len(part) for part in (seen[1:4], seen[-3:]))
    assert late - early < 24, seen
