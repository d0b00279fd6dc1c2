import csv
import json
from pathlib import Path

import pytest

from tests.analysis.compare.writing import write_test
from video_gc.analysis.compare.comparison import compare_runs
from video_gc.analysis.compare.predictions import read_tested, shared_videos
from video_gc.data.index import DataError


def test_a_run_is_a_directory_a_folder_or_a_file(tmp_path: Path) -> None:
    run = write_test(tmp_path / "plain", [True, False])
    for place in (run, run / "test", run / "test" / "predictions.csv"):
        found = read_tested(place)
        assert (found.name, found.home) == ("plain", run)
        assert found.labels == ["run", "jump"]
        assert found.top == [["run", "wrong"], ["wrong", "other"]]
        assert found.about["clips"] == 10


def test_another_folder_of_a_run_has_both_names(tmp_path: Path) -> None:
    run = write_test(tmp_path / "plain", [True])
    (run / "checkpoints").mkdir()
    (run / "test").rename(run / "test_ema")
    found = read_tested(run / "test_ema")
    assert (found.name, found.home) == ("plain/test_ema", run / "test_ema")


def test_what_is_missing_is_said_with_its_command(tmp_path: Path) -> None:
    (tmp_path / "new" / "checkpoints").mkdir(parents=True)
    (tmp_path / "new" / "checkpoints" / "best.ckpt").touch()
    with pytest.raises(FileNotFoundError, match=r"run: video-gc test .*new/checkpoints/best"):
        read_tested(tmp_path / "new")
    with pytest.raises(FileNotFoundError, match="no such run; video-gc train makes one"):
        read_tested(tmp_path / "old")
    write_test(tmp_path / "plain", [True])
    with pytest.raises(FileNotFoundError, match="no such run; tested are plain"):
        read_tested(tmp_path / "plian")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "no column 'path'"),
        ("video,label\na,b\n", "no column 'path'"),
        ("path,label,top1,score1\n", "no video was scored"),
        ("path,label,top1,score1\na.mp4,run\n", "row 2: not as many cells"),
        ("path,label,top1,score1\na.mp4,run,run,nan\nb.mp4,run,run,0.5\n", "1 of 2 videos have no"),
    ],
)
def test_unusable_files(tmp_path: Path, content: str, message: str) -> None:
    (tmp_path / "predictions.csv").write_text(content)
    with pytest.raises(DataError, match=message):
        read_tested(tmp_path)


def test_a_test_beside_another_is_named_with_its_run(tmp_path: Path) -> None:
    run = write_test(tmp_path / "gc", [1, 0], weights="ema")
    (run / "checkpoints").mkdir()
    for place in ("test/raw", "test_subset"):
        (run / place).mkdir()
        for name in ("predictions.csv", "accuracy.json"):
            (run / place / name).write_bytes((run / "test" / name).read_bytes())
    kept = json.loads((run / "test" / "accuracy.json").read_text())
    (run / "test/raw/accuracy.json").write_text(json.dumps(kept | {"weights": "raw"}))
    places = (run, run / "test" / "raw", run / "test_subset")
    runs = [read_tested(place) for place in places]
    assert [one.name for one in runs] == ["gc", "gc/test/raw", "gc/test_subset"]
    warnings = compare_runs(places[:1], places[1:2]).warnings
    assert "not tested alike, weights: ema in gc; raw in gc/test/raw" in warnings


def test_videos_are_paired_by_path_in_any_order(tmp_path: Path) -> None:
    write_test(tmp_path / "a", [1, 1, 0], paths=["x", "y", "z"], labels=["p", "q", "p"])
    write_test(tmp_path / "b", [0, 1, 1], paths=["z", "w", "x"], labels=["p", "q", "p"])
    shared = shared_videos([read_tested(tmp_path / name) for name in "ab"])
    assert shared.paths == ["x", "z"]
    assert [rows.tolist() for rows in shared.rows] == [[0, 2], [2, 0]]
    assert shared.left_out == [1, 1]
    assert not shared.moved


def test_parts_of_one_file_count_where_both_have_as_many(tmp_path: Path) -> None:
    write_test(tmp_path / "a", [1, 1, 0, 1], paths=["x", "x", "z", "z"], labels=["p"] * 4)
    write_test(tmp_path / "b", [0, 1, 1], paths=["x", "x", "z"], labels=["p"] * 3)
    shared = shared_videos([read_tested(tmp_path / name) for name in "ab"])
    assert shared.paths == ["x", "x"]
    assert [rows.tolist() for rows in shared.rows] == [[0, 1], [0, 1]]
    assert shared.left_out == [2, 1]


def test_a_data_set_that_was_copied_elsewhere(tmp_path: Path) -> None:
    write_test(tmp_path / "a", [1, 1], paths=["/data/run/1.mp4", "/data/jump/1.mp4"])
    write_test(tmp_path / "b", [1, 1], paths=["/scratch/7/run/1.mp4", "/scratch/7/jump/1.mp4"])
    shared = shared_videos([read_tested(tmp_path / name) for name in "ab"])
    assert len(shared.paths) == 2
    assert shared.moved


def test_other_videos_or_labels_are_errors(tmp_path: Path) -> None:
    write_test(tmp_path / "a", [1, 1], paths=["u", "v"], labels=["p", "q"])
    write_test(tmp_path / "b", [1, 1], paths=["x", "y"], labels=["p", "q"])
    write_test(tmp_path / "c", [1, 1], paths=["u", "v"], labels=["p", "p"])
    a, b, c = (read_tested(tmp_path / name) for name in "abc")
    with pytest.raises(DataError, match="a and b were tested on different videos: u … and x …"):
        shared_videos([a, b])
    with pytest.raises(DataError, match="v: 'q' in a, 'p' in c; test both on the same list"):
        shared_videos([a, c])


def test_names_with_commas_quotes_and_letters_of_others(tmp_path: Path) -> None:
    labels = ['say "hi", wave', "тест; nicht", "跳ぶ"]
    paths = ["d/a,b.mp4", 'd/"q".mp4', "d/跳\nぶ.mp4"]
    run = write_test(tmp_path / "a", [True] * 3, labels=labels, paths=paths)
    found = read_tested(run)
    assert (found.labels, found.paths) == (labels, paths)
    assert not found.multi_label  # accuracy.json knows, a semicolon does not
    with (run / "test" / "predictions.csv").open(newline="") as stream:
        assert len(list(csv.reader(stream))) == 4
