"""A table over folds: all videos of a row, once each, with an interval that knows their groups."""

from pathlib import Path

import numpy as np
import pytest

from tests.analysis.table.making import make_run, write_ablation
from video_gc.analysis.table.columns import columns
from video_gc.analysis.table.files import markdown, write_files
from video_gc.analysis.table.gather import collect
from video_gc.analysis.table.make_table import make_table
from video_gc.analysis.table.page import write_page
from video_gc.analysis.table.table import Table
from video_gc.outputs import read_csv

VIDEOS, GROUPS, FOLDS = 40, 10, 2
GROUP = np.arange(VIDEOS) % GROUPS


def make_folds(
    runs: Path, stem: str, right: np.ndarray, fold: np.ndarray = GROUP % FOLDS, **options: object
) -> list[str]:
    """Runs of two folds: of even and of odd groups, four videos in each group.

    fold: of each video, if divided otherwise.
    """
    names = []
    for number in range(FOLDS):
        rows = np.flatnonzero(number == fold)
        names.append(f"{stem}_fold{number}of{FOLDS}")
        make_run(
            runs / names[-1],
            right[rows],
            labels=["run"] * len(rows),
            paths=[f"data/{row}.mp4" for row in rows],
            groups=[f"g{GROUP[row]}" for row in rows],
            **({"fingerprint": f"sizes:{number}aaa"} | options),
        )
    return names


@pytest.fixture
def table(tmp_path: Path) -> Table:
    """Two rows with two seeds; GC is right in eight of ten groups, none in five."""
    rows: dict[str, list[str]] = {}
    for name, good in (("none", 5), ("GC", 8)):
        for seed in range(2):
            right = (good > GROUP) ^ (np.arange(VIDEOS) == 39 - seed)
            stem = f"{name}_s{seed}"
            cells = make_folds(tmp_path / "cells", stem, right, kind=name.lower(), seed=seed)
            rows.setdefault(name, []).extend(f"../../cells/{cell}" for cell in cells)
    home = write_ablation(tmp_path / "ablations" / "mine", rows, baseline="none")
    return make_table(collect([home]), tmp_path, measure=False, resamples=400)


def test_a_row_pools_the_videos_of_its_folds(table: Table) -> None:
    none, gc = table.rows
    assert (gc.seeds, gc.planned, gc.folds, len(gc.runs)) == ([0, 1], 2, 2, 4)
    assert (gc.videos, gc.groups) == (40, 10)
    assert gc.figures["top1 video"].values == pytest.approx([100 * 33 / 40, 100 * 33 / 40])
    assert none.figures["top1 video"].mean == pytest.approx(100 * 21 / 40)
    assert table.count == "8 of 8 trainings are tested"
    assert gc.against is not None
    assert gc.against.videos == 40
    assert gc.against.difference == pytest.approx(30)


def test_the_interval_knows_the_groups(table: Table, tmp_path: Path) -> None:
    figure = table.rows[1].figures["top1 video"]
    assert figure.interval is not None
    low, high = figure.interval
    # ten groups of which eight are right: the standard error of a share of 10, not of 40
    assert figure.error == pytest.approx(100 * (0.8 * 0.2 / 10) ** 0.5, rel=0.25)
    assert high - low > 3 * figure.error
    text = {column.heading: column.text(table.rows[1]) for column in columns(table)}
    assert text["top-1 video %"] == f"82.50 [{low:.2f}, {high:.2f}]"
    assert (text["seeds"], text["folds"]) == ("2", "2")
    csv = next(file for file in write_files(table, tmp_path) if file.name == "table.csv")
    line = read_csv(csv)[1][1]
    assert float(line["top1_video_low"]) == pytest.approx(low)
    assert line["folds"] == "2"


def test_the_notes_say_how_many(table: Table) -> None:
    seeds = "2 a row; mean ± standard deviation over them; [95 % interval] of a bootstrap over "
    assert table.notes["seeds"] == f"{seeds}groups and seeds"
    assert table.notes["groups"].startswith("40 videos of 10 groups")
    assert table.notes["folds"].startswith("2; each video is tested once, by the network of its")
    assert "bootstrap paired over groups" in table.notes["difference"]
    assert "p of the sign test over groups" in table.notes["difference"]
    assert "10 groups" in markdown(table)
    assert not [line for line in table.warnings if "copy" in line]  # folds have other videos


def test_a_row_without_one_of_its_folds_does_not_count(tmp_path: Path) -> None:
    cells = make_folds(tmp_path / "cells", "a_s0", GROUP < 5)
    other = make_folds(tmp_path / "cells", "b_s0", GROUP < 5, kind="gc")
    rows = {"a": cells, "b": other}
    rows = {name: [f"../cells/{cell}" for cell in own] for name, own in rows.items()}
    (tmp_path / "cells" / other[1]).rename(tmp_path / "gone")
    home = write_ablation(tmp_path / "mine", rows, baseline="a")
    table = make_table(collect([home]), tmp_path, measure=False, resamples=100)
    assert table.rows[1].absent == {"b_s0": "b_s0_fold1of2: not trained yet"}
    assert "b: 0 of 1 seeds; b_s0: b_s0_fold1of2: not trained yet" in table.warnings


def test_rows_divided_differently_are_compared_if_they_pool_the_same_videos(tmp_path: Path) -> None:
    def table_of(name: str, **options: object) -> Table:
        runs = tmp_path / name
        make_folds(runs, "a", GROUP < 5)
        make_folds(runs, "b", GROUP < 8, kind="gc", fingerprint="sizes:bbb", **options)
        return make_table(collect([runs]), runs, measure=False, resamples=100)

    table = table_of("divided", fold=(GROUP >= 5) * 1)  # as with another data.split_seed
    gc = table.rows[1].against
    assert gc is not None
    assert (gc.videos, gc.difference) == (40, pytest.approx(30))
    said = "the same videos are divided into folds differently: none, but gc one; their networks"
    assert [line[: len(said)] for line in table.warnings if "fold" in line] == [said]
    refused = "gc one is not compared with the baseline: it was tested on other videos (fingerprint"
    for name, fold in (
        ("copy", GROUP % FOLDS),  # divided alike: the files differ
        ("fewer", np.where(np.arange(VIDEOS) == 7, -1, GROUP >= 5)),  # one video is not there
    ):
        table = table_of(name, fold=fold)
        assert table.rows[1].against is None
        assert any(line.startswith(refused) for line in table.warnings)
        assert any(line.startswith("not tested on the same copy") for line in table.warnings)


def test_a_row_with_a_fold_twice_does_not_count(tmp_path: Path) -> None:
    cells = make_folds(tmp_path / "cells", "a_s0", GROUP < 5)
    rows = {"a": [f"../cells/{cell}" for cell in [*cells, cells[0]]]}
    group = collect([write_ablation(tmp_path / "mine", rows)]).groups[0]
    assert "fold a_s0_fold0of2 is given twice" in group.absent["a_s0"]


def test_free_runs_of_folds_are_one_row(tmp_path: Path) -> None:
    for seed in range(2):
        make_folds(tmp_path, f"gc{seed}", GROUP < 8, kind="gc", seed=seed)
        make_folds(tmp_path, f"plain{seed}", GROUP < 5, seed=seed)
    found = collect([tmp_path])
    assert [(group.name, len(group.tested)) for group in found.groups] == [
        ("none", 2),
        ("gc one", 2),
    ]
    assert found.groups[0].folds == 2
    make_run(tmp_path / "gc0_fold1of2", None, kind="gc", lr=0.5)
    gc = next(group for group in collect([tmp_path]).groups if "gc0" in group.absent)
    assert gc.absent["gc0"] == "its folds were trained with different options; train them again"


@pytest.mark.parametrize("of", [1, 2])
def test_groups_of_one_video_each_are_none(tmp_path: Path, of: int) -> None:
    """Kinetics has a group column, the YouTube id, with one clip of each."""
    groups = [f"g{row // of}" for row in range(VIDEOS)]
    for seed in range(2):
        right = np.arange(VIDEOS) < 20 + 4 * seed
        make_run(tmp_path / "runs" / f"s{seed}", right, seed=seed, groups=groups)
    collection = collect([tmp_path / "runs"])
    table = make_table(collection, tmp_path, measure=False, resamples=100)
    found = table.rows[0].figures["top1 video"]
    page = write_page(table, collection.groups, tmp_path).read_text()
    if of == 1:
        assert (found.kind, found.interval) == ("sd", None)
        assert found.error == pytest.approx(10 / 2**0.5)
        assert table.notes["seeds"].endswith("; mean ± standard deviation over them")
        assert "<p>Bars: standard deviation over seeds" in page
    else:
        assert found.kind == "se"
        assert found.interval is not None
        assert "<p>Bars: one standard error of the bootstrap" in page
