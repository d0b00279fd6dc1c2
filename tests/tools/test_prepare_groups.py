"""What tools/prepare.py check says about groups."""

from functools import partial
from pathlib import Path

import pytest

from tests.conftest import counted_frames
from video_gc.decode.write import write_video

UCF = r"_g(\d+)_"


@pytest.fixture
def check(tool):  # type: ignore[no-untyped-def]
    """tools/prepare.py check with one worker; see `tool`."""
    return partial(tool, "prepare", "check", "--workers", 1)


def write(root: Path, *names: str) -> Path:
    for number, name in enumerate(names):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        write_video(root / f"{name}.mp4", counted_frames(9, seed=number))
    return root


def test_it_counts_groups_and_names_a_class_with_one(check, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    write(tmp_path, "jump/a_g1_", "jump/b_g1_", "run/a_g1_", "run/b_g2_")
    status, _, err = check(tmp_path, "--group", UCF)
    assert status == 0
    assert "all: 4 videos, 2 classes, 2 of each, 2 groups" in err
    assert "Classes with one group only: 1, such as jump (1). No split can have them" in err
    _, _, err = check(tmp_path)
    assert "2 of each, 2 groups" not in err
    assert "one group only" not in err


def test_a_group_in_two_splits_is_a_leak(check, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    write(tmp_path, "train/run/a_g1_", "train/jump/b_g2_", "test/run/c_g2_")
    status, _, err = check(tmp_path, "--group", UCF)
    assert status == 1
    assert "train: 2 videos, 2 classes, 1 of each, 2 groups" in err
    assert "test: 1 video, 1 class, 1 group" in err
    assert "Leaks between splits: 1" in err
    leaks = (tmp_path / ".video_gc/manifest-leaks.csv").read_text().splitlines()
    assert leaks[1:] == ["test/run/c_g2_.mp4,train/jump/b_g2_.mp4,test/train,same group"]
    assert check(tmp_path)[0] == 0


def test_it_reads_the_column_of_lists(check, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    write(tmp_path, "a", "b", "c")
    (tmp_path / "train.csv").write_text("path,label,group\na.mp4,x,m1\nb.mp4,y,m2\n")
    (tmp_path / "test.csv").write_text("path,label,group\nc.mp4,x,m2\n")
    status, _, err = check(tmp_path / "train.csv", tmp_path / "test.csv")
    assert status == 1
    assert "Leaks between splits: 1" in err
    assert "Classes with one group only: 1, such as y (m2)" in err


def test_groups_that_only_names_show_are_told(check, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    write(tmp_path, "Run/v_Run_g03_c01", "Run/v_Run_g03_c02", "Run/v_Run_g04_c01")
    assert "Names show 2 groups, such as v_Run_g03. An automatic split" in check(tmp_path)[2]
    assert "Names show" not in check(tmp_path, "--group", UCF)[2]
    write(tmp_path / "split", "train/Run/v_Run_g03_c01", "test/Run/v_Run_g04_c01")
    assert "Names show" not in check(tmp_path / "split")[2]


@pytest.mark.parametrize(
    ("pattern", "status", "message"),
    [
        ("(", 2, "argument --group: '(' is not a regular expression"),
        (UCF, 1, "run/a.mp4: the pattern '_g(\\\\d+)_' (--group PATTERN) finds no group in"),
    ],
)
def test_a_wrong_pattern_is_one_clear_line(
    check, tmp_path: Path, pattern: str, status: int, message: str
) -> None:  # type: ignore[no-untyped-def]
    write(tmp_path, "run/a")
    found, _, err = check(tmp_path, "--group", pattern)
    assert found == status
    assert message in err
    assert not (tmp_path / ".video_gc/manifest.parquet").exists()
