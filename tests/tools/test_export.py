"""tools/export.py as its users meet it."""

import shutil
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import counted_frames
from video_gc.analysis import export
from video_gc.analysis.export import export_checkpoint
from video_gc.decode.write import write_video
from video_gc.deploy.export import ExportOptions


def test_the_tool_says_what_it_wrote(tool, bag_run: Path, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    given = ("export", bag_run, "--format", "exported_program", "--out", tmp_path, "--count", "2")
    status, _, err = tool(*given)
    assert status == 0
    for said in (
        "writing exported_program in fp32",
        "of 2 clips",
        "top-1",
        "model.pt2",
        "model.json",
    ):
        assert said in err
    assert "trtexec" not in err
    (tmp_path / "model.pt2").unlink()
    (tmp_path / "model.pt2").write_text("of somebody else")
    (tmp_path / ".video_gc-outputs.jsonl").unlink()
    status, _, err = tool(*given)
    assert status == 2
    assert "video_gc did not write it" in err


def test_without_videos_it_compares_on_generated_clips(
    tool, bag_run: Path, tmp_path: Path, damaged: dict[str, Path]
) -> None:  # type: ignore[no-untyped-def]
    alone = tmp_path / "net.ckpt"
    shutil.copy(bag_run / "checkpoints" / "best.ckpt", alone)
    given = ("export", alone, "--format", "exported_program", "--out", tmp_path)
    status, _, err = tool(*given)
    assert status == 0
    assert "Compared on generated clips; --videos DIR" in err
    (tmp_path / "bad").mkdir()
    shutil.copy(damaged["text"], tmp_path / "bad")
    status, _, err = tool(*given, "--videos", tmp_path / "bad")
    assert status == 1
    assert "none of 1 videos could be read" in err


def test_int8_needs_videos(tool, bag_run: Path, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    pytest.importorskip("nncf")
    shutil.copy(bag_run / "checkpoints" / "best.ckpt", tmp_path / "net.ckpt")
    status, _, err = tool("export", tmp_path / "net.ckpt", "--format", "openvino", "--int8")
    assert status == 2
    assert "int8 needs videos like the training's; give --videos DIR" in err


def test_int8_is_compared_on_other_videos_than_those_that_calibrate_it(
    bag_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[Any] = []

    def keep(*arguments: Any) -> None:
        *_, tested, calibration = arguments
        seen.extend([[clip for batch, _ in tested for clip in batch], list(calibration)])

    monkeypatch.setattr(export, "export_network", keep)
    monkeypatch.setattr(ExportOptions, "check_installed", lambda _: None)
    int8 = ExportOptions(format="openvino", int8=True)
    for seed in range(5):
        write_video(tmp_path / f"{seed}.mp4", counted_frames(8, seed=seed))
    export_checkpoint(bag_run, int8, videos=tmp_path)
    tested, calibration = seen
    assert (len(tested), len(calibration)) == (2, 3)
    assert not any((clip[0] == other).all() for clip in calibration for other in tested)
    with pytest.raises(ValueError, match=r"0\.mp4: has one video; int8 needs one to calibrate"):
        export_checkpoint(bag_run, int8, videos=tmp_path / "0.mp4")


def test_an_exported_model_predicts_and_is_tested(
    tool, exported: Path, video: Path, tmp_path: Path
) -> None:  # type: ignore[no-untyped-def]
    status, out, err = tool("predict", exported, video, "--out", tmp_path, "--json")
    assert (status, '"backend": "onnxruntime"' in out) == (0, True)
    assert "model.onnx: fp32, onnxruntime, cpu" in err
    status, _, err = tool("test", exported, "--subset", "1", "--out", tmp_path / "test")
    assert status == 0
    assert "a subset of 1 of 2 videos" in err
    status, _, err = tool("predict", exported.with_suffix(".pt2"), video)
    assert (status, "model.pt2: no such checkpoint" in err) == (2, True)
