"""Which videos a test takes: kept splits, lists, and what a manifest or the disk takes away."""

import json
import shutil
from pathlib import Path

import pytest

from tests.conftest import slow
from video_gc.data.config import DataConfig
from video_gc.data.index import DataError
from video_gc.data.manifest import NAME, Listed, write_manifest
from video_gc.data.splits import read_splits
from video_gc.decode.video_facts import VideoFacts
from video_gc.evaluate import tested_videos as videos
from video_gc.evaluate.evaluate import TestOptions, evaluate
from video_gc.train.checkpoint import read_checkpoint


@pytest.fixture
def said(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    lines: list[str] = []
    for module in ("splits", "annotations.needed_labels"):
        monkeypatch.setattr(
            f"video_gc.data.{module}.say", lambda text, style=None: lines.append(text)
        )
    return lines


def damaged(file: Path, *paths: Path) -> Path:
    """A manifest that calls these videos damaged."""
    facts = VideoFacts(status="damaged", cause="cut off")
    write_manifest([(Listed(path), facts) for path in paths], file.parent, file)
    return file


def left_out(folder: Path) -> int:
    return int(json.loads((folder / "accuracy.json").read_text())["left_out"])


def test_kept_videos_that_a_manifest_calls_damaged_are_left_out(
    run: Path, tmp_path: Path, said: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    copy = shutil.copytree(run, tmp_path / "run")
    kept = list(read_splits(copy / "splits").test.paths)
    assert evaluate(
        copy / "checkpoints/best.ckpt", TestOptions(workers=0)
    ).result.video_level.count == len(kept)
    assert left_out(copy / "test") == 0
    file = damaged(tmp_path / NAME, kept[0])
    monkeypatch.setattr(videos, "data_manifest", lambda _: file)
    done = evaluate(copy / "checkpoints/best.ckpt", TestOptions(workers=0))
    assert list(done.result.index.paths) == kept[1:]
    assert left_out(copy / "test") == 1
    assert said == [
        f"1 of {len(kept)} videos are left out by {file}, such as {kept[0]} (damaged: cut off)"
    ]
    moved = tmp_path / "elsewhere" / "best.ckpt"  # alone, it falls back on the config's data
    moved.parent.mkdir()
    shutil.copy(copy / "checkpoints/best.ckpt", moved)
    monkeypatch.setattr("video_gc.data.splits.data_manifest", lambda _: file)
    evaluate(moved, TestOptions(out=tmp_path, workers=0, clips=1, crops=1))
    assert said[1].startswith("1 of 12 videos are left out by")


def test_moved_videos_are_asked_for_before_the_test(run: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(run, tmp_path / "run")
    kept = read_splits(copy / "splits").test
    kept.with_root(str(tmp_path / "gone")).save(copy / "splits" / "test.arrow", {})
    with pytest.raises(FileNotFoundError, match=r"gone.*no such file.*were moved, give --data DIR"):
        evaluate(copy / "checkpoints/best.ckpt", TestOptions(workers=0))
    assert not list(copy.glob("test*/skipped.csv"))


@pytest.mark.parametrize("with_root", [slow(False), True])
def test_lists_lose_missing_videos_and_those_of_a_manifest(
    checkpoint: Path, clips_folder: Path, tmp_path: Path, said: list[str], with_root: bool
) -> None:
    root = shutil.copytree(clips_folder, tmp_path / "set")
    lines = [
        f"{label}/{number}.mp4 {label}\n" for number in range(3) for label in ("bright", "dark")
    ]
    (root / "list.txt").write_text("".join([*lines, "dark/gone.mp4 dark\n"]))
    damaged(root / NAME, root / "dark/2.mp4")
    data = root / "list.txt"
    if with_root:  # the manifest lies there, not beside the list
        data = (tmp_path / "lists" / "list.txt").resolve()
        data.parent.mkdir()
        (root / "list.txt").rename(data)
    done = evaluate(
        checkpoint,
        TestOptions(data=data, root=root if with_root else None, out=tmp_path / "out", workers=0),
    )
    assert done.result.video_level.count == 5
    assert done.result.not_scored == 0
    assert left_out(tmp_path / "out") == 2
    assert said[0].startswith("1 of 7 videos are left out by")
    assert said[1:] == [f"1 of 7 listed videos are missing: {root}/dark/gone.mp4"]


def test_a_list_of_nothing_that_is_there(checkpoint: Path, tmp_path: Path) -> None:
    (tmp_path / "list.txt").write_text("gone.mp4 dark\n")
    with pytest.raises(DataError, match="there are no test videos left"):
        evaluate(checkpoint, TestOptions(data=tmp_path / "list.txt", out=tmp_path, workers=0))


def test_a_tested_folder_has_the_groups_of_the_trainings_pattern(
    checkpoint: Path, clips_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    said: list[str] = []
    monkeypatch.setattr(videos, "say", lambda text, style=None: said.append(text))
    contents, _ = read_checkpoint(checkpoint)
    table = tmp_path / "t.csv"
    own = [f"{clips_folder}/{c}/{n}.mp4,{c},own{n}" for n in range(2) for c in ("bright", "dark")]
    table.write_text("\n".join(["path,label,group", *own]))

    def groups(pattern: str | None, data: Path = clips_folder) -> list[str | None]:
        trained = DataConfig(kind="folder", root=str(clips_folder), group=pattern)
        index = videos.videos_to_test(checkpoint, contents, trained, data, None).index
        return [index.group(row) for row in range(len(index))]

    assert sorted(groups(r"/(\d)")) == sorted(f"{n}" for n in range(6) for _ in range(2))
    assert groups(r"(\d)\.mp4", table) == ["0", "0", "1", "1"]
    assert groups(None, table) == groups(r"_g(\d+)_", table) == ["own0", "own0", "own1", "own1"]
    assert groups(None) == [None] * 12
    assert said == []
    assert groups(r"/([1-5])") == [None] * 12  # a pattern that knows a part of the videos
    assert said == [
        f"{clips_folder}: no groups are known for these videos: the training's data.group "
        "('/([1-5])') finds none in 'bright/0.mp4', like 2 of 12; intervals will take each video "
        "as independent"
    ]
