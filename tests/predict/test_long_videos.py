"""Videos joined from clips of known classes: segments, their files, and what a killed run keeps."""

import json
import os
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from tests.conftest import SMALL
from video_gc.config import compose_train
from video_gc.data.annotations.tables import read_table
from video_gc.decode.open import open_video
from video_gc.decode.reader import DecodeError
from video_gc.decode.write import write_video
from video_gc.predict import recognizer, windows
from video_gc.predict.recognizer import Recognizer
from video_gc.predict.segment_files import VideoSegments, segment_all
from video_gc.predict.segments import SegmentOptions
from video_gc.train.loop import train

PARTS = (("bright", 3), ("dark", 4), ("bright", 2), ("dark", 3))
"""Class, number of clips of 20 frames at 30 Hz."""
HALF = 3.5 / 30
"""Half a window of the checkpoint, s: 4 frames, 2 apart, span 7."""


@pytest.fixture(scope="module")
def joined(clips_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    frames = []
    for label, count in PARTS:
        for file in sorted((clips_folder / label).glob("*.mp4"))[:count]:
            with open_video(file) as reader:
                frames.append(reader.read(range(len(reader))))
    file = tmp_path_factory.mktemp("joined") / "joined.mp4"
    return write_video(file, np.concatenate(frames), keyframe_interval=20)


@pytest.fixture
def scored(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The brightness of a clip instead of a network; the numbers of clips scored are listed."""
    calls: list[int] = []

    def scores(_: Recognizer, clips: Tensor) -> Tensor:
        calls.append(len(clips))
        bright = torch.sigmoid(20 * (clips.mean((1, 2, 3, 4)) + 1.2))
        return torch.stack([bright, 1 - bright], dim=1)

    monkeypatch.setattr(Recognizer, "scores", scores)
    return calls


def segments_of(checkpoint: Path, video: Path, out: Path, **given: float) -> VideoSegments:
    (found,) = segment_all(checkpoint, [video], out, SegmentOptions(**given), "cpu")  # type: ignore[arg-type]
    assert isinstance(found, VideoSegments), found
    return found


def truth() -> Iterator[tuple[str, float, float]]:
    start = 0.0
    for label, count in PARTS:
        yield label, start, start + count * 20 / 30
        start += count * 20 / 30


def largest_error(found: VideoSegments) -> float:
    """Seconds between the ends of segments and the truth."""
    expected = list(truth())
    assert [segment.label for segment in found.segments] == [label for label, _, _ in expected]
    return max(
        max(abs(segment.start - start), abs(segment.end - end))
        for segment, (_, start, end) in zip(found.segments, expected, strict=True)
    )


@pytest.mark.usefixtures("scored")
def test_segments_and_their_files(checkpoint: Path, joined: Path, tmp_path: Path) -> None:
    found = segments_of(checkpoint, joined, tmp_path)
    assert largest_error(found) <= HALF
    assert (tmp_path / f"{joined.parent.name}_joined.mp4.png").is_file()
    content = json.loads((tmp_path / "segments.json").read_text())
    assert content["version"] == "VERSION 1.3"
    rows = content["results"]["joined"]
    assert [row["label"] for row in rows] == [label for label, _, _ in truth()]
    assert rows[0]["segment"] == [0.0, round(found.segments[0].end, 3)]
    table = read_table(
        tmp_path / "segments.csv", columns={"path": "video", "start": "start", "end": "end"}
    )
    assert [table.names[label] for label in table.labels] == [label for label, _, _ in truth()]
    assert table.segments() == [tuple(row["segment"]) for row in rows]
    assert {str(table.path(row)) for row in range(4)} == {str(joined)}


@pytest.mark.usefixtures("scored")
def test_no_segment_is_an_empty_list(checkpoint: Path, joined: Path, tmp_path: Path) -> None:
    found = segments_of(checkpoint, joined, tmp_path, min_length=9.0)
    assert found.segments == []
    assert json.loads((tmp_path / "segments.json").read_text())["results"] == {"joined": []}
    assert (tmp_path / "segments.csv").read_text().split() == ["video,label,start,end,score"]
    assert len(list(tmp_path.glob("*.png"))) == 1


def test_a_killed_run_goes_on_at_its_last_part(
    checkpoint: Path,
    joined: Path,
    tmp_path: Path,
    scored: list[int],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(windows, "PART", 16)
    whole = segments_of(checkpoint, joined, tmp_path / "whole")
    count = sum(scored)
    assert count == 68  # (240 - 7) / 3.5 and the first, rounded up
    scored.clear()
    plain = Recognizer.scores

    def killed(recognizer: Recognizer, clips: Tensor) -> Tensor:
        if sum(scored) >= 40:
            raise KeyboardInterrupt
        return plain(recognizer, clips)

    monkeypatch.setattr(Recognizer, "scores", killed)
    with pytest.raises(KeyboardInterrupt):
        segments_of(checkpoint, joined, tmp_path / "out")
    monkeypatch.setattr(Recognizer, "scores", plain)
    scored.clear()
    assert segments_of(checkpoint, joined, tmp_path / "out") == whole
    assert sum(scored) == count - 32  # two parts were kept
    files = [next((tmp_path / out / "windows").glob("*.npz")) for out in ("whole", "out")]
    one, two = (np.load(file) for file in files)
    assert {name: one[name].tolist() for name in one} == {name: two[name].tolist() for name in two}
    assert not (tmp_path / "out" / "windows" / "unfinished").exists()


@pytest.mark.slow
def test_kept_scores_are_used_for_the_same_video_and_network(
    checkpoint: Path,
    joined: Path,
    tmp_path: Path,
    scored: list[int],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    video = tmp_path / "clips" / "a.mp4"
    video.parent.mkdir()
    shutil.copy(joined, video)
    out = tmp_path / "out"
    first = segments_of(checkpoint, video, out)
    (file,) = (out / "windows").glob("*.npz")

    def computed(**given: float) -> int:
        scored.clear()
        segments_of(checkpoint, video, out, **given)
        return sum(scored)

    assert computed(threshold=0.9, leave=0.2, smooth=5) == 0
    assert computed(overlap=0.0) == 35
    file.write_bytes(file.read_bytes()[:900])  # a disk's error
    assert computed(overlap=0.0) == 35
    os.utime(video, (1, 1))
    assert computed(overlap=0.0) == 35
    other = tmp_path / "other" / "clips" / "a.mp4"  # another video with the same names
    other.parent.mkdir(parents=True)
    shutil.copy(joined, other)
    assert segments_of(checkpoint, other, out).segments == first.segments
    assert computed(overlap=0.0) == 0
    assert len(list((out / "windows").glob("*.npz"))) == 2
    load = recognizer.load_network

    def other_options(path: Path) -> Any:  # that the weights do not show
        network, contents = load(path)
        return network, replace(contents, model=replace(contents.model, dropout=0.1))

    monkeypatch.setattr(recognizer, "load_network", other_options)
    assert computed(overlap=0.0) == 35


@pytest.mark.usefixtures("scored")
def test_a_damaged_file_does_not_stop_the_others(
    checkpoint: Path, joined: Path, damaged: dict[str, Path], tmp_path: Path
) -> None:
    given = [damaged["text"], joined, damaged["zero-byte"], joined]
    done = list(segment_all(checkpoint, given, tmp_path, SegmentOptions(), "cpu"))
    assert [isinstance(each, DecodeError) for each in done] == [True, False, True]  # joined once
    assert list(json.loads((tmp_path / "segments.json").read_text())["results"]) == ["joined"]


@pytest.mark.usefixtures("scored")
def test_a_folder_that_cannot_be_written_is_no_fault_of_a_video(
    checkpoint: Path, joined: Path, tmp_path: Path
) -> None:
    (tmp_path / "windows").write_text("a file, not a folder")
    with pytest.raises(OSError, match="windows"):
        list(segment_all(checkpoint, [joined], tmp_path, SegmentOptions(), "cpu"))


@pytest.mark.usefixtures("scored")
def test_hard_names_have_their_own_files(
    checkpoint: Path, joined: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(windows, "PART", 16)
    names = [os.fsdecode(b"caf\xe9.mp4"), "ü" * 120 + "-.mp4", "$x$ [red].mp4", "a.mkv", "a.mp4"]
    (tmp_path / "in").mkdir()
    for name in names:
        shutil.copy(joined, tmp_path / "in" / name)
    done = list(segment_all(checkpoint, [tmp_path / "in"], tmp_path, SegmentOptions(), "cpu"))
    assert [type(each) for each in done] == [VideoSegments] * 5
    results = json.loads((tmp_path / "segments.json").read_text())["results"]
    assert {str(tmp_path / "in" / "a.mkv"), "$x$ [red]", "caf\\xe9"} < set(results)
    assert len({json.dumps(rows) for rows in results.values()}) == 1
    for kind in ("windows/*.npz", "*.png"):
        assert len(list(tmp_path.glob(kind))) == 5


@pytest.mark.usefixtures("scored")
def test_a_caller_that_stops_has_the_files_of_what_was_done(
    checkpoint: Path, joined: Path, video: Path, tmp_path: Path
) -> None:
    found = segment_all(checkpoint, [joined, video], tmp_path, SegmentOptions(), "cpu")
    next(found)
    found.close()
    assert list(json.loads((tmp_path / "segments.json").read_text())["results"]) == ["joined"]


@pytest.mark.slow
def test_what_was_found_trains_again(clips_folder: Path, joined: Path, tmp_path: Path) -> None:
    given = [*SMALL, "epochs=8", f"data.root={clips_folder}", f"runs={tmp_path}", "name=long"]
    trained = train(compose_train(given)) / "checkpoints" / "last.ckpt"
    for overlap, most in (
        (0.0, 0.72),
        (0.75, 0.51),
        (0.5, 0.51),
    ):  # the table in docs/long_videos.md
        found = segments_of(trained, joined, tmp_path / "out", overlap=overlap)
        assert largest_error(found) / (2 * HALF) <= most
    again = train(
        compose_train(
            [
                *SMALL[2:], "data=list", "data.kind=table", "epochs=1", "batch_size=2",
                f"data.train={tmp_path / 'out' / 'segments.csv'}", "data.path_column=video",
                "data.start_column=start", "data.end_column=end",
                f"data.val={tmp_path / 'out' / 'segments.csv'}", f"runs={tmp_path}",
                f"model.weights={trained}", "name=again",
            ]
        )
    )  # fmt: skip
    assert (again / "checkpoints" / "last.ckpt").is_file()
