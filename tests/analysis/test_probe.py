"""A linear classifier on features: nothing of a test video's group is known in training."""

import json
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("sklearn", reason="scikit-learn is not installed (extra probe)")

from video_gc.analysis.probe import cross_validated, labelled, probe, probe_table, read_features
from video_gc.data.index import DataError
from video_gc.outputs import read_csv
from video_gc.progress import Screen


def write(
    folder: Path,
    video: str,
    rows: np.ndarray,
    *,
    layer: str = "res4",
    weights: str = "a" * 64,
    pool: bool = False,
) -> Path:
    """A file as of tools/features.py, for windows of 1 s."""
    folder.mkdir(exist_ok=True)
    file = folder / f"{'_'.join(Path(video).parts[-2:])}.npz"
    np.savez(
        file,
        features=rows.astype(np.float32),
        centre=np.arange(len(rows)) + 0.5,
        end=np.arange(len(rows)) + 1.0,
        layer=layer,
        weights=weights,
        identity=json.dumps({"video": [video, 1, 1], "pool": pool}),
    )
    return file


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Twenty videos of two classes in ten matches; a channel tells the class, eight the match."""
    random = np.random.default_rng(0)
    for match in range(10):
        own = random.normal(size=8)
        for number in range(2):
            label = "run" if (match + number) % 2 else "jump"
            rows = np.tile([*own, 1.0 if label == "run" else -1.0], (3, 1))
            rows += 0.05 * random.normal(size=rows.shape)
            write(tmp_path / "features", f"/clips/{label}/match{match}_{number}.mp4", rows)
    return tmp_path / "features"


def test_a_channel_that_tells_the_class_is_found(folder: Path) -> None:
    found = probe(folder, None, r"match(\d+)")
    assert found.accuracy.b == [100.0]
    assert 60 < found.accuracy.low < 100  # ten groups, all right: the rule of three
    assert found.index.names == ["jump", "run"]
    assert (found.layer, found.channels) == ("res4", 9)
    for group in range(10):
        assert len(set(found.fold[found.groups == group])) == 1
    _, rows = read_csv(folder / "probe.csv")
    assert len(rows) == 20
    assert {row["predicted"] for row in rows} == {"run", "jump"}


def test_what_only_tells_the_group_is_no_accuracy() -> None:
    """Each match has its own features and one class: by video they are known, by match not."""
    random = np.random.default_rng(1)
    features = np.repeat(random.normal(size=(40, 60)), 5, axis=0)
    features += 0.01 * random.normal(size=features.shape)
    labels = np.repeat(random.permutation(np.arange(40) % 2), 5)
    by_video = cross_validated(features, labels, np.tile(np.arange(5), 40))
    by_group = cross_validated(features, labels, np.repeat(np.arange(40) % 5, 5))
    assert (by_video == labels).mean() == 1
    assert (by_group == labels).mean() < 0.75


def test_scales_do_not_matter_and_one_class_is_no_error() -> None:
    random = np.random.default_rng(2)
    labels, fold = np.arange(40) % 2, np.arange(40) // 8
    features = random.normal(size=(40, 3)) + 3 * labels[:, None]
    got = cross_validated(features, labels, fold)
    assert (got == cross_validated(features * [1e-4, 1e3, 1] + 7, labels, fold)).all()
    alone = cross_validated(features, labels, labels)  # a fold tests what no other has
    assert (alone == 1 - labels).all()


def test_labels_of_parts_take_the_windows_inside(tmp_path: Path) -> None:
    rows = np.repeat([[0.0], [1.0]], 5, axis=0)
    for number in range(6):
        write(tmp_path / "f", f"/v/{number}.mp4", rows)
    table = tmp_path / "segments.csv"
    lines = [
        f"/v/{n}.mp4,{c},{s},{e},0.9" for n in range(6) for c, s, e in (("a", 0, 5), ("b", 5, 10))
    ]
    table.write_text("\n".join(["video,label,start,end,score", *lines, "/v/none.mp4,a,0,1,0.9"]))
    found = probe(tmp_path / "f", table, None, 3)
    assert found.accuracy.b == [100.0]
    assert len(found.predicted) == 12  # parts of one file are a group
    assert all(len(set(found.fold[found.groups == g])) == 1 for g in range(6))
    (features, *_) = read_features(tmp_path / "f")
    assert features.mean((4.9, 5.1)).tolist() == [0.0]  # no centre inside: the nearest window
    assert features.mean((4.0, 6.0)).tolist() == [0.5]
    wrong = tmp_path / "wrong.csv"
    wrong.write_text("\n".join(["video,label,start,end", "/v/3.mp4,a,10,12"]))
    with pytest.raises(DataError, match=r"3.mp4: the segment 10…12 s lies outside .* 10 s"):
        probe(tmp_path / "f", wrong, None, 3)
    write(tmp_path / "f", "/v/0.mp4", rows[:1], pool=True)
    with pytest.raises(DataError, match=r"0.mp4: its features are one row .* without --pool"):
        probe(tmp_path / "f", table, None, 3)


def test_a_table_names_videos_by_path_or_by_name(folder: Path, tmp_path: Path) -> None:
    lines = [f"elsewhere/match{m}_{n}.mp4,{(m + n) % 2}" for m in range(10) for n in range(2)]
    table = tmp_path / "table.csv"
    table.write_text("\n".join(["path,label", *lines]))
    assert probe(folder, table, None).accuracy.b == [100.0]
    # another folder's video of the same name has no features: it must not take these
    table.write_text("\n".join(["path,label", *lines, "other/match0_0.mp4,1"]))
    index = labelled(read_features(folder), table, None)
    assert "match0_0.mp4" not in {path.name for path in index.paths}
    assert len(index) == 19
    table.write_text("path,label\nother.mp4,a\n")
    with pytest.raises(DataError, match="none of its 1 rows names a video with features"):
        probe(folder, table, None)


def test_a_class_of_one_group_is_named(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = [
        f"match{m}_{n}.mp4,{'x' if m == 3 else 'ab'[m % 2]}" for m in range(10) for n in range(2)
    ]
    table = tmp_path / "table.csv"
    table.write_text("\n".join(["path,label", *lines]))
    found = probe(folder, table, "(match[0-9]+)")
    said = capsys.readouterr().err
    assert "x: one group, so no classifier that is tested on it knows it" in said
    assert said.count("one group") == 1
    assert (found.predicted[found.index.labels == found.index.names.index("x")] != 2).all()


def test_a_pattern_sees_the_paths_of_a_training(tmp_path: Path) -> None:
    for number in range(6):
        video = f"/match1/clips/{'ab'[number % 2]}/match{number // 2}_{number}.mp4"
        write(tmp_path, video, np.zeros((1, 2)))
    index = labelled(read_features(tmp_path), None, r"match(\d)")  # not the folder above all
    assert sorted(index.group(row) or "" for row in range(6)) == ["0", "0", "1", "1", "2", "2"]
    assert str(index.path(0)).startswith("/match1/clips/a/")


def test_what_cannot_be_used_is_said(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(FileNotFoundError, match="no such folder"):
        probe(tmp_path / "none", None, None)
    with pytest.raises(DataError, match="no features in this folder"):
        probe(tmp_path, None, None)
    with pytest.raises(DataError, match="20 videos for 21 folds; give fewer --folds"):
        probe(folder, None, None, 21)
    with pytest.raises(DataError, match="finds no group"):
        probe(folder, None, "game")
    other = write(folder, "/clips/run/z.mp4", np.zeros((1, 9)), weights="b" * 64)
    with pytest.raises(DataError, match="features from res4 of weights bbbbbbbb, others are from"):
        probe(folder, None, None)
    other.write_bytes(b"text")
    with pytest.raises(DataError, match="z.mp4.npz: no file of video-gc features"):
        probe(folder, None, None)
    monkeypatch.setattr("video_gc.extras.find_spec", lambda _: None)
    with pytest.raises(ImportError, match=r'pip install "video_gc\[probe\]"'):
        probe(folder, None, None)


def test_the_table_has_the_classes(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Screen(width=100).print(probe_table(probe(folder, None, r"match(\d+)")))
    text = capsys.readouterr().out
    assert "Linear classifier on res4 (9 channels): 20 videos, 10 groups" in text
    assert "always the largest class │  50.0" in text
