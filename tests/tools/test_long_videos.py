"""Segments, features and the probe, as their users run them."""

import json
from pathlib import Path

import pytest


def test_segments(tool, checkpoint: Path, video: Path, damaged, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    given = "predict", checkpoint, video, damaged["text"], "--segments", "--out", tmp_path
    status, out, err = tool(*given, "--threshold", 0.3, "--min-length", 0.5)
    assert status == 1
    assert "start (s)" in out
    assert "1.33" in out  # a segment to the end of the video
    assert err.count("error:") == 1
    assert f"Segments are in {tmp_path}; files that failed: 1" in err
    status, out, _ = tool(*given[:3], *given[4:], "--json", "--threshold", 0.3)
    assert status == 0
    [found] = json.loads(out)
    assert found["segments"][0].keys() == {"label", "score", "segment"}
    assert found["segments"] == json.loads((tmp_path / "segments.json").read_text())["results"][
        "sound"
    ]  # fmt: skip
    for more, said in (
        (("--top", 3), "--top is for windows"),
        (("--smooth", 2), "smooth (2) must be 1, 3, 5"),
    ):
        status, _, err = tool(*given, *more)
        assert (status, said in err) == (2, True)


def test_a_network_without_windows_is_refused(
    tool, checkpoint: Path, video: Path, tmp_path: Path, monkeypatch
) -> None:  # type: ignore[no-untyped-def]
    from dataclasses import replace

    from video_gc.predict import segment_files
    from video_gc.predict.recognizer import Recognizer

    def spread(*given: object, **named: object) -> Recognizer:
        recognizer = Recognizer(*given, **named)  # type: ignore[arg-type]
        recognizer.contract = replace(recognizer.contract, sampling="segments")
        return recognizer

    monkeypatch.setattr(segment_files, "Recognizer", spread)
    status, _, err = tool("predict", checkpoint, video, "--segments", "--out", tmp_path)
    assert status == 2
    assert "so there are no windows; train with clip.sampling=dense" in err


@pytest.mark.slow
def test_features_and_probe(
    tool, checkpoint: Path, clips_folder: Path, damaged, tmp_path: Path
) -> None:  # type: ignore[no-untyped-def]
    pytest.importorskip("sklearn", reason="scikit-learn is not installed (extra probe)")
    out = tmp_path / "features"
    given = checkpoint, clips_folder, "--layer", "stem", "--out", out
    status, printed, err = tool("features", *given, "--pool")
    assert status == 0
    assert len(printed.splitlines()) == 12
    assert "bright_0.mp4.npz: 1 × 8" in printed
    assert f"Features of 12 videos from stem are in {out}" in err
    status, printed, err = tool("probe", out, "--folds", 3)
    assert status == 0
    assert "Linear classifier on stem (8 channels): 12 videos" in printed
    assert f"Predictions are in {out / 'probe.csv'}" in err
    status, _, err = tool("features", checkpoint, damaged["text"], "--out", tmp_path / "other")
    assert status == 1
    assert f"1 video could not be read: {tmp_path / 'other' / 'skipped.csv'}" in err
    status, _, err = tool("features", *given[:2], "--layer", "res6")
    assert (status, "layer 'res6': no such layer; did you mean" in err) == (2, True)
