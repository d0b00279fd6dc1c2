"""Rows of videos: what they hold, and that one video costs one row."""

import http.server
import os
import signal
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import torch

from tests.conftest import counted_frames
from video_gc import Recognizer
from video_gc.decode.write import write_video
from video_gc.predict.features import FeatureOptions, features_all
from video_gc.predict.segment_files import VideoSegments, segment_all
from video_gc.predict.segments import SegmentOptions
from video_gc.scale import scoring
from video_gc.scale.scoring import ScoreOptions, Scorer, Work
from video_gc.scale.source import _cause
from video_gc.subprocess_call import SPARE


def work(options: ScoreOptions, **more: Any) -> Work:
    return Work(checkpoint=Path("unused"), options=options, **more)


def rows_of(recognizer: Recognizer, videos: list[Path | str], **options: Any) -> list[Any]:
    """As they are read from a table."""
    timeout = options.pop("timeout", 60.0)
    wanted = ScoreOptions(**options)
    with Scorer(recognizer, work(wanted, timeout=timeout)) as scorer:
        rows = list(scorer.rows(enumerate(map(str, videos), start=5)))
    return pa.Table.from_pylist(rows, wanted.schema).to_pylist()


def test_scores_equal_those_of_the_recognizer_bit_for_bit(
    recognizer: Recognizer, clips_folder: Path, video: Path
) -> None:
    videos: list[Path | str] = [video, *sorted(clips_folder.glob("*/*.mp4"))]
    found = rows_of(recognizer, videos, top=1)
    for number, (row, file) in enumerate(zip(found, videos, strict=True)):
        expected = recognizer.predict(file)
        assert (row["row"], row["path"], row["status"]) == (number + 5, str(file), "ok")
        assert np.float32(row["scores"]).tolist() == expected.scores.tolist()
        name, score = expected.top(1)[0]
        assert row["top"] == [{"label": name, "score": np.float32(score)}]
        assert row["start"] == [window.start for window in expected.windows]
        assert row["end"] == [window.end for window in expected.windows]
        assert row["weights"] == recognizer.contract.weights
        assert (row["cause"], row["damaged_frames"]) == (None, 0)
    assert (found[0]["rate"], found[0]["seconds"]) == pytest.approx((30, 4 / 3), abs=1e-4)


def test_features_and_segments_are_those_of_their_tools(
    recognizer: Recognizer, checkpoint: Path, video: Path, tmp_path: Path
) -> None:
    (row,) = rows_of(recognizer, [video], what="features", layer="res3", overlap=0.5)
    options = FeatureOptions(layer="res3", overlap=0.5)
    ((_, expected),) = features_all(checkpoint, [video], tmp_path / "f", options, "cpu")  # type: ignore[misc]
    np.testing.assert_allclose(row["features"], expected.rows, rtol=1e-4, atol=1e-5)
    assert row["start"] == expected.start.tolist()
    (pooled,) = rows_of(recognizer, [video], what="features", layer="res3", overlap=0.5, pool=True)
    np.testing.assert_allclose(pooled["features"], [np.mean(row["features"], 0)], rtol=1e-5)
    assert (pooled["start"], pooled["end"]) == ([0.0], row["end"][-1:])

    (row,) = rows_of(recognizer, [video], what="segments")
    (found,) = segment_all(checkpoint, [video], tmp_path / "s", SegmentOptions(), "cpu")
    assert isinstance(found, VideoSegments)
    assert found.segments
    for one, other in zip(row["segments"], found.segments, strict=True):
        assert (one["label"], one["start"], one["end"]) == (other.label, other.start, other.end)
        assert one["score"] == pytest.approx(other.score, abs=1e-4)


def test_a_video_without_scores_costs_its_row(
    recognizer: Recognizer, damaged: dict[str, Path], video: Path, tmp_path: Path
) -> None:
    long = write_video(tmp_path / "long.mp4", counted_frames(50), fps=10)
    chain = "reference://v.mp4::http://127.0.0.1:9/refs.json"
    videos = [*damaged.values(), tmp_path / "none.mp4", "", long, chain, video]
    found = rows_of(recognizer, videos, max_seconds=4)
    assert [row["path"] for row in found] == list(map(str, videos))
    assert [row["status"] for row in found] == ["error"] * 6 + ["skipped", "error", "ok"]
    causes = [row["cause"] for row in found]
    assert all(causes[:-1])
    assert causes[4:7] == [
        "no such file or folder",
        "the list has no path here",
        "the video lasts 5 s, and at most 4 s are accepted (--max-seconds); send a part of it",
    ]
    assert found[0]["scores"] is None
    assert "no address that is read; valid: file, http" in causes[7]


@pytest.mark.slow
def test_a_slow_network_costs_no_row(
    recognizer: Recognizer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Decoders that wait for it to take their windows are not late."""
    long = write_video(tmp_path / "v.mp4", counted_frames(200))  # more than a pipe holds
    scores, pauses = recognizer.scores, iter([SPARE + 4])

    def slow(clips: torch.Tensor) -> torch.Tensor:
        time.sleep(next(pauses, 0))
        return scores(clips)

    monkeypatch.setattr(recognizer, "scores", slow)
    (row,) = rows_of(recognizer, [long], timeout=2)
    assert (row["status"], len(row["start"])) == ("ok", 29)


@pytest.mark.slow
def test_who_stops_early_does_not_wait_for_the_videos_in_work(
    recognizer: Recognizer, tmp_path: Path, video: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    long = write_video(tmp_path / "long.mp4", counted_frames(400))
    calls, scores = list[int](), recognizer.scores

    def counted(clips: torch.Tensor) -> torch.Tensor:
        calls.append(len(clips))
        time.sleep(0.2)
        return scores(clips)

    monkeypatch.setattr(recognizer, "scores", counted)
    with Scorer(recognizer, work(ScoreOptions())) as scorer:
        rows = scorer.rows(enumerate([str(video), *[str(long)] * 9]))
        next(rows)
        rows.close()
    assert sum(calls) < 57  # windows of the first long one


def test_one_process_decodes_the_next_video_while_the_network_is_at_work(
    recognizer: Recognizer, video: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun, scores, seen = threading.Event(), recognizer.scores, list[bool]()

    def waits(clips: torch.Tensor) -> torch.Tensor:
        seen.append(bool(seen) or begun.wait(20))
        return scores(clips)

    monkeypatch.setattr(recognizer, "scores", waits)
    with Scorer(recognizer, work(ScoreOptions())) as scorer:
        run, asked = scorer.decoders.run, list[str]()

        def counted(left: Any, function: Any, source: str, *arguments: Any, **more: Any) -> Any:
            asked.append(source)
            if len(asked) == 2:
                begun.set()
            return run(left, function, source, *arguments, **more)

        monkeypatch.setattr(scorer.decoders, "run", counted, raising=False)
        assert scorer.decoders.count == 1
        assert [row["status"] for row in scorer.rows(enumerate([str(video)] * 3))] == ["ok"] * 3
    assert all(seen)


def test_a_cause_has_no_address(tmp_path: Path) -> None:
    address = "http://h/my video.mp4?token=SECRET"
    error = OSError(f"{address}: 500, see http://h/other?key=1")
    assert _cause(error, address) == (
        "cannot be fetched (OSError: the address: 500, see the address)"
    )


@pytest.mark.slow  # a new decoder imports torch
def test_a_video_that_kills_or_hangs_costs_its_row(
    recognizer: Recognizer, video: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scoring, "read_listed", hostile)
    videos: list[Path | str] = ["kills", "hangs", "kills", video]
    found = rows_of(recognizer, videos, timeout=20)
    assert [row["status"] for row in found] == ["error", "error", "error", "ok"]
    assert found[0]["cause"] == "the decoder's process died (SIGKILL)"
    assert found[1]["cause"] == "gave no frame within 20 s (--timeout)"


def hostile(source: str, *arguments: Any) -> Iterator[Any]:
    """In the place of `read_listed`, in the decoder's process."""
    from video_gc.scale.source import read_listed

    if source == "kills":
        os.kill(os.getpid(), signal.SIGKILL)
    if source == "hangs":
        time.sleep(600)
    return read_listed(source, *arguments)


def test_addresses_are_fetched_up_to_a_size(
    recognizer: Recognizer, video: Path, tmp_path: Path
) -> None:
    pytest.importorskip("aiohttp", reason="an extra: pip install 'video_gc[scale]'")
    (tmp_path / "large.mp4").write_bytes(video.read_bytes() + bytes(2 << 20))
    (tmp_path / "v.mp4").write_bytes(video.read_bytes())
    handler = partial(QuietFiles, directory=str(tmp_path))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as host:
        thread = threading.Thread(target=host.serve_forever)
        thread.start()
        here = f"http://127.0.0.1:{host.server_address[1]}"
        names = [f"{here}/v.mp4", f"{here}/none.mp4", f"{here}/large.mp4", f"file://{video}"]
        found = rows_of(recognizer, [*names, video], max_mb=1)
        host.shutdown()
        thread.join()
    assert [row["status"] for row in found] == ["ok", "error", "skipped", "ok", "ok"]
    assert found[2]["cause"] == "the file is larger than 1 MiB (--max-mb)"
    assert found[1]["cause"].startswith("cannot be fetched (ClientResponseError: 404, message=")
    assert here not in found[1]["cause"]
    assert found[0]["scores"] == found[3]["scores"] == found[4]["scores"]


class QuietFiles(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        """Print nothing."""


def test_a_network_whose_scores_are_not_finite_ends_the_run(
    recognizer: Recognizer, video: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(_: torch.Tensor) -> torch.Tensor:
        raise FloatingPointError("the network's scores are NaN")

    monkeypatch.setattr(recognizer, "scores", broken)
    with pytest.raises(FloatingPointError):
        rows_of(recognizer, [video, video, video])


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"what": "labels"}, "what ('labels') must be one of scores, features, segments"),
        ({"top": 0}, "top (0) must be above 0"),
        ({"max_mb": float("nan")}, "max_mb (nan) must be above 0"),
        ({"overlap": 1.0}, "overlap (1) must be in [0, 0.95]"),
    ],
)
def test_options_that_cannot_be(options: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=next(iter(options))) as error:
        ScoreOptions(**options)
    assert said in str(error.value)


def test_what_the_network_does_not_have(
    recognizer: Recognizer, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(ValueError, match="layer 'res9': no such layer"):
        Scorer(recognizer, work(ScoreOptions(what="features", layer="res9")))
    whole = replace(recognizer.contract, sampling="segments")
    monkeypatch.setattr(recognizer, "contract", whole)
    with pytest.raises(ValueError, match="there are no windows"):
        Scorer(recognizer, work(ScoreOptions(what="segments")))
