"""The tool that shows augmented clips writes a picture that moves, and explains itself."""

import runpy
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageSequence

TOOL = Path(__file__).parents[2] / "tools" / "augment.py"
SMALL = ["--frames", "4", "--stride", "2", "--crop", "32"]


@pytest.fixture
def tool(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]):  # type: ignore[no-untyped-def]
    """Run the tool in this process; returns (exit status, stdout, stderr with single spaces)."""

    def call(*arguments: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", [str(TOOL), *map(str, arguments)])
        with pytest.raises(SystemExit) as stopped:
            runpy.run_path(str(TOOL), run_name="__main__")
        out, err = capfd.readouterr()
        return int(stopped.value.code or 0), out, " ".join(err.split())

    return call


def pictures(file: Path) -> np.ndarray:
    """(T, H, W, 3), and no picture twice in a row."""
    with Image.open(file) as image:
        return np.stack([np.asarray(f.convert("RGB")) for f in ImageSequence.Iterator(image)])


def test_a_grid_of_clips_is_written(tool, clips_folder: Path, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    file = tmp_path / "new" / "grid.png"  # without loss
    options = ["--rows", 3, "--draws", 2, "--out", file, *SMALL]
    status, _, err = tool(clips_folder, *options)
    assert status == 0
    assert f"3 videos, tested and in 2 draws: {file}" in err
    grid = pictures(file)
    assert grid.shape == (4, 3 * 36, 3 * 36, 3)
    assert (grid[:, 32:36] == 255).all()  # the gap
    tool(clips_folder, *options[:-7], tmp_path / "again.png", *SMALL)
    assert np.array_equal(grid, pictures(tmp_path / "again.png"))
    tool(clips_folder, *options[:-7], tmp_path / "other.png", *SMALL, "--seed", 1)
    other = pictures(tmp_path / "other.png")
    assert np.array_equal(grid[:, :, :36], other[:, :, :36])  # the plain clips
    assert not np.array_equal(grid[:, :, 36:], other[:, :, 36:])


@pytest.mark.parametrize("name", ["one.gif", "one.webp"])
def test_one_video_in_other_formats(tool, video: Path, tmp_path: Path, name: str) -> None:  # type: ignore[no-untyped-def]
    options = ["--draws", 1, "--mixup", 0.8, "--cutmix", 1, "--crop_area", 0.2, 1.0]
    status, _, _ = tool(video, *options, *SMALL, "--out", tmp_path / name)
    assert status == 0
    assert pictures(tmp_path / name).shape == (4, 36, 72, 3)


def test_help_teaches(tool) -> None:  # type: ignore[no-untyped-def]
    status, out, _ = tool("--help")
    assert status == 0
    assert "video-gc augment DIR" in out
    assert "probability of a mirrored clip (0.5)" in out


@pytest.mark.parametrize(
    ("arguments", "status", "message"),
    [
        (["nowhere"], 2, "nowhere: no such folder"),
        (["{damaged}"], 1, "text.mp4"),
        (["{video}", "--hue", "2"], 2, "augment.hue (2.0) must be in [0, 0.5]"),
        (["{video}", "--out", "grid.mp4", *SMALL], 2, "is written as .webp, .gif, .png"),
        (
            ["{video}", "--rows", "0"],
            2,
            "--rows: must be at least 1, not 0; see video-gc augment --help",
        ),
        (["{video}", "--draws", "two"], 2, "--draws: must be at least 1, not two"),
        (["{video}", "--rate", "0"], 2, "--rate: must be in [0.1, 1000], not 0"),
        (["{video}", "--flip", "1.5"], 2, "--flip: must be in [0, 1], not 1.5"),
        (["{video}", "--flip", "nan"], 2, "--flip: must be in [0, 1], not nan"),
        (["{list}"], 2, "list.txt: not a video suffix (.mp4, "),
    ],
)
def test_mistakes_get_one_clear_line(  # type: ignore[no-untyped-def]
    tool, video: Path, damaged: dict, tmp_path: Path, arguments: list, status: int, message: str
) -> None:
    given = tmp_path / "list.txt"
    given.write_text(f"{video} dark\n")
    filled = [a.format(video=video, damaged=damaged["text"], list=given) for a in arguments]
    found, _, err = tool(*filled)
    assert found == status
    assert message in err
    assert "usage:" not in err
    assert "Traceback" not in err


def test_a_damaged_video_makes_room_for_the_next(  # type: ignore[no-untyped-def]
    tool, clips_folder: Path, tmp_path: Path
) -> None:
    for name, number in (("a", 0), ("b", 1), ("c", 2), ("d", 3)):
        content = (clips_folder / "dark" / f"{number}.mp4").read_bytes()
        cut = len(content) // 2 if name in "ad" else len(content)
        (tmp_path / f"{name}.mp4").write_bytes(content[:cut])
    file = tmp_path / "grid.png"
    for asked, left_out in ((2, "ad"), (3, "ad"), (1, "a")):
        status, _, err = tool(tmp_path, "--out", file, "--rows", asked, "--flip", 0, *SMALL)
        assert status == 0
        assert err.count("Left out: ") == len(left_out)
        assert all(f"{name}.mp4: cannot be read as a video" in err for name in left_out)
        shown = min(asked, 2)
        assert f"{shown} videos, tested" in err
        assert pictures(file).shape[1] == shown * 36
