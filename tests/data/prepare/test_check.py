"""A check after another one: what stays in the manifest, and journals and manifests that are hurt."""

import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.conftest import counted_frames
from tests.data.prepare.crashing import has_no_memory_for_b
from video_gc.atomic import journal
from video_gc.data.index import DataError
from video_gc.data.manifest import FACTS, NAME, Listed
from video_gc.data.prepare import check as check_module
from video_gc.data.prepare.check import LISTS, CheckResult, check_videos
from video_gc.data.prepare.listing import list_sources
from video_gc.decode.write import write_video
from video_gc.outputs import Outputs


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
    listed, _, *_ = list_sources([root / name for name in sources])
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
    listed, _, *_ = list_sources([root / "train.txt"])
    assert check_videos(listed, root.parent, root / NAME).decoded == 0


def test_a_journal_of_another_version_or_a_torn_one(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    journal = root / ".video_gc/.manifest.journal.jsonl"
    old = {"path": "a.mp4", "status": "ok"}
    Outputs(journal.parent).claim(journal.name)
    odd = dict.fromkeys(FACTS) | {"path": ["a.mp4"]}
    journal.write_text(f'{json.dumps(old)}\n5\n{json.dumps(odd)}\n{{"path": "b.mp4", "sta')
    seen: list[str] = []

    def here(work, jobs, **_options) -> Iterator:  # type: ignore[no-untyped-def]
        for job in jobs:
            yield job, work(job)
            seen.extend(journal.read_text().splitlines())

    monkeypatch.setattr(check_module, "call_each", here)
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
    assert "manifest.parquet: damaged; it is made anew" in capsys.readouterr().err
    assert check(root, "train.txt").decoded == 0


def test_a_file_of_somebody_else_is_not_overwritten(root: Path) -> None:
    listed, _, *_ = list_sources([root / "train.txt"])
    before = (root / "val.txt").read_text()
    with pytest.raises(DataError, match="val.txt: is not a manifest; give --out another name"):
        check_videos(listed, root, root / "val.txt")
    assert (root / "val.txt").read_text() == before
    (root / "own.parquet").write_text("mine")
    with pytest.raises(DataError, match="own.parquet: is not a manifest; give --out another name"):
        check_videos(listed, root, root / "own.parquet")
    assert (root / "own.parquet").read_text() == "mine"
    pq.write_table(pa.table({"path": ["a.mp4"]}), root / "own.parquet")
    with pytest.raises(DataError, match="own.parquet: is not a manifest; give --out another name"):
        check_videos(listed, root, root / "own.parquet")


def test_lists_of_somebody_elses_are_kept_and_named(root: Path) -> None:
    names = [f"{Path(NAME).stem}-{kind}.csv" for kind in LISTS]
    names.append(f".{Path(NAME).stem}.journal.jsonl")
    folder = (root / NAME).parent
    folder.mkdir()
    for name in names:
        (folder / name).write_text("mine")
        with pytest.raises(FileExistsError, match=f"{name}: exists, .* it is kept"):
            check(root, "train.txt")
        assert (folder / name).read_text() == "mine"
        assert not (root / NAME).exists()
        (folder / name).unlink()
    (root / "a.mp4").write_text("no video")
    [listed] = check(root, "train.txt").files
    shutil.copy(root / "b.mp4", root / "a.mp4")
    assert check(root, "train.txt").files[0].name == names[2]
    assert not listed.exists()  # ours, and out of date
    listed.write_text("mine")
    with pytest.raises(FileExistsError, match="damaged.csv: exists"):
        check(root, "train.txt")


def test_two_checks_at_once(root: Path) -> None:
    name = f".{Path(NAME).stem}.journal.jsonl"
    with (
        journal(Outputs(root / ".video_gc").claim(name), what="check", way="another --out"),
        pytest.raises(BlockingIOError, match="another check is writing to it"),
    ):
        check(root, "train.txt")


def test_what_was_decoded_survives_whatever_ends_the_check(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(check_module, "write_manifest", full)
        with pytest.raises(OSError, match="No space left"):
            check(root, "train.txt")
    assert check(root, "train.txt").decoded == 0


def test_files_that_are_hard_to_ask_for(root: Path, tmp_path: Path) -> None:
    """Changed in 2286, without rights, of too long a name, of no name at all, and in a vanished
    folder: each is one row, and the others are checked."""
    os.utime(root / "a.mp4", ns=(10**19, 10**19))
    places = ["a.mp4", "b.mp4", "x" * 300 + ".mp4", "nul\0.mp4", "a.mp4/c.mp4", "gone/d.mp4"]
    listed = [Listed(root / place, "run", "train") for place in places]
    result = check_videos(listed, root, root / NAME)
    assert [row["status"] for row in result.manifest.rows()] == [
        "ok", "ok", "damaged", "missing", "missing", "missing",
    ]  # fmt: skip
    assert "File name too long" in result.files[0].read_text()
    again = check_videos(listed, root, root / NAME)
    assert again.decoded == 1  # the one that cannot be asked for


def test_a_worker_that_runs_out_of_memory_costs_one_file(root: Path) -> None:
    listed, _, *_ = list_sources([root / "train.txt"])
    result = check_videos(listed, root, root / NAME, work=has_no_memory_for_b)
    assert [row["status"] for row in result.manifest.rows()] == ["ok", "damaged"]
    assert "MemoryError" in result.files[0].read_text()
