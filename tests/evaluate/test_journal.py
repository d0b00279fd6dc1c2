"""What is kept of scored videos comes back bit for bit; what was torn does not count."""

from pathlib import Path

import numpy as np
import pytest

from video_gc.data.dataset import VideoProblem
from video_gc.evaluate.journal import claim_journals, open_journal, read_journals, remove_journals
from video_gc.evaluate.scores import VideoScore

IDENTITY = {"weights": "raw:0123", "views": "2 × 3, mean"}


def videos(count: int) -> list[VideoScore]:
    random = np.random.default_rng(0)
    scores = random.random((count, 2, 5), np.float32)
    scores[0, 0, :3] = np.nan, np.inf, 1e-45
    problem = VideoProblem("ä b.mp4", "short", "3 frames", 1)
    return [
        VideoScore(0, 6, scores[0], hits=np.array([[1, 2], [3, 4]])),
        VideoScore(1, 6, scores[1], each=random.random((2, 6, 5), np.float32), problems=[problem]),
        *(VideoScore(row, 0, 0 * scores[1]) for row in range(2, count)),
    ]


def same(one: VideoScore, other: VideoScore) -> bool:
    arrays = [(a.scores, a.hits, a.each) for a in (one, other)]
    pairs = zip(*arrays, strict=True)
    return (one.row, one.views, one.problems) == (other.row, other.views, other.problems) and all(
        (a is None and b is None) or np.array_equal(a, b, equal_nan=True) for a, b in pairs
    )


def write(folder: Path, rank: int, some: list[VideoScore]) -> Path:
    claim_journals(folder, rank + 1)
    with open_journal(folder, rank, IDENTITY) as journal:
        for video in some:
            journal.add(video)
    return folder / f"{rank}.jsonl"


def test_scores_come_back_bit_for_bit_from_all_processes_and_starts(tmp_path: Path) -> None:
    some = videos(5)
    write(tmp_path, 1, some[2:3])
    write(tmp_path, 0, some[:2])
    write(tmp_path, 0, some[3:])
    found, differs = read_journals(tmp_path, IDENTITY)
    assert not differs
    assert sorted(found) == [0, 1, 2, 3, 4]
    assert all(same(found[video.row], video) for video in some)
    with (
        open_journal(tmp_path, 1, IDENTITY),
        pytest.raises(BlockingIOError, match="another test is writing"),
        open_journal(tmp_path, 1, IDENTITY),
    ):
        pass
    remove_journals(tmp_path)
    remove_journals(tmp_path)
    assert read_journals(tmp_path, IDENTITY) == ({}, [])
    assert not tmp_path.exists()


def test_a_file_may_be_torn_anywhere(tmp_path: Path) -> None:
    file = write(tmp_path, 0, videos(4))
    content = file.read_bytes()
    ends = [number + 1 for number, byte in enumerate(content) if byte == ord("\n")]
    for length in [*range(0, len(content), 37), *ends, *(end - 2 for end in ends)]:
        file.write_bytes(content[:length])
        whole = sum(end <= length for end in ends)
        found, differs = read_journals(tmp_path, IDENTITY)
        assert sorted(found) == list(range(max(whole - 1, 0)))
        assert not differs
    write(tmp_path, 0, videos(4)[2:])  # a start after the last of them
    assert sorted(read_journals(tmp_path, IDENTITY)[0]) == [0, 1, 2, 3]
    for place, left in ((ends[1] + 90, [0, 2, 3]), (40, [])):  # a bit of a video, of the identity
        hurt = bytearray(content)
        hurt[place] ^= 1
        file.write_bytes(hurt)
        assert sorted(read_journals(tmp_path, IDENTITY)[0]) == left


def test_another_identity_does_not_count(tmp_path: Path) -> None:
    write(tmp_path, 0, videos(3))
    found, differs = read_journals(tmp_path, IDENTITY | {"views": "10 × 3, mean", "new": "x"})
    assert (found, differs) == ({}, ["views", "new"])


def test_files_of_somebody_elses_stay(tmp_path: Path) -> None:
    mine = {"x": "mine", "a-b.journal": "mine", "1.jsonl": "my diary", "journal": ""}
    for name, content in mine.items():
        (tmp_path / name).write_text(content)
    write(tmp_path, 0, videos(3))
    with pytest.raises(FileExistsError, match="1.jsonl: exists, .* so it is kept"):
        claim_journals(tmp_path, 2)
    assert len(read_journals(tmp_path, IDENTITY)[0]) == 3
    remove_journals(tmp_path)
    assert {file.name: file.read_text() for file in tmp_path.iterdir()} == mine
