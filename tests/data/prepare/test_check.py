"""A check after another one: what stays in the manifest, and journals and manifests that are hurt."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.conftest import counted_frames
from video_gc.data.index import DataError
from video_gc.data.manifest import NAME
from video_gc.data.prepare import check as check_module
from video_gc.data.prepare.check import CheckResult, check_videos
from video_gc.data.prepare.listing import list_sources
from video_gc.decode.write import write_video


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Videos a, b and c, a train.txt with a and b, a val.txt with c."""
    for number, name in enumerate("abc"):
        write_video(tmp_path / f"{name}.mp4", counted_frames(9, seed=number))
    lists(tmp_path, train="ab", val="c")
    return tmp_path


def lists(root: Path, **parts: str) -> None:
    for part, names in parts.items():
        (root / f"{part}.txt").write_text("".join(f"{name}.mp4 run\n" for name in names))


def check(root: Path, *sources: str) -> CheckResult:
    listed, _ = list_sources([root / name for name in sources])
    return check_videos(listed, root, root / NAME)


def rows(result: CheckResult) -> list[tuple[object, object]]:
    return sorted((row["path"], row["split"]) for row in result.manifest.rows())


def leaks(result: CheckResult) -> list[tuple[str, str, str]]:
    return [(pair.first, pair.second, pair.how) for pair in result.leaks]


def test_lists_may_be_checked_one_after_the_other(root: Path) -> None:
    shutil.copy(root / "a.mp4", root / "z.mp4")
    lists(root, val="cbz")
    assert check(root, "train.txt").sound
    result = check(root, "val.txt")
    assert (result.decoded, result.carried) == (2, 2)
    assert rows(result) == [
        ("a.mp4", "train"), ("b.mp4", "train"), ("b.mp4", "val"), ("c.mp4", "val"), ("z.mp4", "val"),
    ]  # fmt: skip
    assert {how for _, _, how in leaks(result)} == {"same file", "same content"}
    assert check(root, "train.txt", "val.txt").decoded == 0


def test_what_left_its_list_or_the_disk_leaves_the_manifest(root: Path) -> None:
    shutil.copy(root / "a.mp4", root / "z.mp4")
    lists(root, val="cz")
    assert check(root, "train.txt", "val.txt").leaks
    lists(root, train="b")
    assert check(root, "train.txt").sound
    (root / "z.mp4").unlink()
    assert rows(check(root, "train.txt")) == [("b.mp4", "train"), ("c.mp4", "val")]
    write_video(root / "c.mp4", counted_frames(12))  # one of the other list that has changed
    assert check(root, "train.txt").decoded == 1


def test_a_folder_after_lists_and_lists_after_a_folder(root: Path) -> None:
    for first, second in (("", "train.txt"), ("train.txt", "")):
        (root / NAME).unlink(missing_ok=True)
        check(root, first)
        result = check(root, second)
        assert result.leaks == []
        assert len(rows(result)) == 3


def test_the_root_may_be_another_one(root: Path) -> None:
    check(root, "train.txt")
    listed, _ = list_sources([root / "train.txt"])
    assert check_videos(listed, root.parent, root / NAME).decoded == 0


def test_a_journal_of_another_version_or_a_torn_one(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    journal = root / f".{Path(NAME).stem}.journal.jsonl"
    old = {"path": "a.mp4", "status": "ok"}
    journal.write_text(f'{json.dumps(old)}\n5\n{{"path": "b.mp4", "sta')
    seen: list[str] = []

    def here(work, jobs, **_options) -> Iterator:  # type: ignore[no-untyped-def]
        for job in jobs:
            yield job, work(job, lambda: None)
            seen.extend(journal.read_text().splitlines())

    monkeypatch.setattr(check_module, "run_jobs", here)
    assert check(root, "train.txt").decoded == 2
    # the first line of this run does not stand behind the torn one
    assert any(line.startswith('{"path": "a.mp4"') and "frames" in line for line in seen)


@pytest.mark.parametrize("harm", ["text", "cut"])
def test_a_damaged_manifest_is_made_afresh(
    root: Path, harm: str, capsys: pytest.CaptureFixture[str]
) -> None:
    check(root, "train.txt")
    content = (root / NAME).read_bytes()
    (root / NAME).write_bytes(b"hello" if harm == "text" else content[: len(content) // 2])
    assert check(root, "train.txt").decoded == 2
    assert "manifest.parquet: damaged, and made afresh" in capsys.readouterr().err
    assert check(root, "train.txt").decoded == 0


def test_a_file_of_somebody_else_is_not_overwritten(root: Path) -> None:
    listed, _ = list_sources([root / "train.txt"])
    before = (root / "val.txt").read_text()
    with pytest.raises(DataError, match="val.txt: is no manifest; give --out another name"):
        check_videos(listed, root, root / "val.txt")
    assert (root / "val.txt").read_text() == before
    pq.write_table(pa.table({"path": ["a.mp4"]}), root / "own.parquet")
    with pytest.raises(DataError, match="own.parquet: is no manifest; give --out another name"):
        check_videos(listed, root, root / "own.parquet")
