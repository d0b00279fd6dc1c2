"""tools/export.py as its users meet it."""

import shutil
from pathlib import Path

import pytest


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
    assert (status, "model.pt2: no such exported model" in err) == (2, True)
