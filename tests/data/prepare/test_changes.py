"""Damage that a codec decodes in silence is seen by the hash of the first check."""

import os
from pathlib import Path

import pytest

from tests.decode.damage_table import sample
from tests.decode.mutate import flip
from video_gc.data.manifest import NAME, Listed
from video_gc.data.prepare.check import CheckResult, check_videos
from video_gc.decode.video_facts import examine


def check(path: Path) -> CheckResult:
    return check_videos([Listed(path, "run", "train")], path.parent, path.parent / NAME)


@pytest.mark.parametrize("keeps_time", [True, False], ids=["bit rot", "rewritten"])
def test_a_file_that_shows_other_pictures_in_as_many_bytes_is_damaged(
    tmp_path: Path, keeps_time: bool
) -> None:
    path = sample(tmp_path, "huffyuv.avi")
    whole, status = path.read_bytes(), path.stat()
    assert check(path).statuses["ok"] == 1
    path.write_bytes(flip(path, 0))
    if keeps_time:
        os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert examine(path).status == "ok"  # the codec keeps silence
    for _ in range(2):
        result = check(path)
        assert result.statuses["damaged"] == 1
        assert "other pictures than at the first check" in result.files[0].read_text()
    path.write_bytes(whole)
    assert check(path).statuses["ok"] == 1


def test_a_file_of_another_size_is_another_file(tmp_path: Path) -> None:
    path = sample(tmp_path, "huffyuv.avi")
    check(path)
    path.write_bytes(sample(tmp_path, "mpeg4.avi").read_bytes())
    result = check(path)
    assert (result.statuses["ok"], result.decoded) == (1, 1)


def test_a_file_that_was_only_touched_is_sound(tmp_path: Path) -> None:
    path = sample(tmp_path, "mpeg4.avi")
    check(path)
    os.utime(path, ns=(1, 1))
    assert check(path).statuses["ok"] == 1
    assert check(path).decoded == 0
