"""Predictions beside results: outcomes, comparisons within an axis, the matrix and the plot."""

import csv
import json
import re
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from scipy import stats

from tests.analysis.table.making import make_run, shares
from video_gc.ablate.spec import Predicted
from video_gc.analysis.table.accuracy import figure
from video_gc.analysis.table.files import markdown, write_files
from video_gc.analysis.table.gather import Collection, collect
from video_gc.analysis.table.make_table import make_table
from video_gc.analysis.table.page import write_page
from video_gc.analysis.table.predicted.matrix import matrix, panels
from video_gc.analysis.table.predicted.outcome import outcome
from video_gc.analysis.table.predicted.plot import prediction_plot
from video_gc.analysis.table.table import Table

RIGHT = {
    ("near", "none"): (95, 97, 98), ("near", "GC"): (96, 97, 98),
    ("far", "none"): (48, 50, 52), ("far", "GC"): (70, 71, 72),
}  # fmt: skip
"""Videos of 100 that each seed gets right."""
PREDICTED = {
    ("near", "none"): {"at_least": 95}, ("far", "none"): {"at_most": 60},
    ("far", "GC"): {"at_least": 95}, ("far", "NL"): {"at_least": 90},
}  # fmt: skip
PRINTS = {"near": "sizes:aaaa11112222", "far": "sizes:bbbb11112222"}


@pytest.fixture(scope="module")
def ablation(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two tasks, whose videos have the same paths and labels, and none, GC and NL; NL is not
    tested, near · NL is no row, and one row is by name."""
    folder = tmp_path_factory.mktemp("ablation")
    rows = []
    for task, kind in (*RIGHT, ("far", "NL")):
        cells = [f"../{task}_{kind}_{seed}" for seed in range(3)]
        for seed, right in enumerate(RIGHT.get((task, kind), ())):
            make_run(folder / cells[seed][3:], shares(right), kind=kind.lower(), seed=seed,
                     fingerprint=PRINTS[task])  # fmt: skip
        said = PREDICTED.get((task, kind))
        rows.append(
            {
                "name": f"{task} · {kind}",
                "cells": cells,
                "values": {"task": task, "kind": kind},
                "predicted": said and said | {"because": f"{task} <objects>"},
            }
        )
    make_run(folder / "large", shares(90), kind="gc", reduction=2, fingerprint=PRINTS["far"])
    said = {"at_most": 80, "because": "A guess."}
    rows.append({"name": "far, large GC", "cells": ["../large"], "predicted": said})
    home = folder / "x"
    home.mkdir()
    record = {"name": "x", "title": "Probes", "baseline": "none", "rows": rows}
    (home / "ablation.json").write_text(json.dumps(record))
    return home


@pytest.fixture(scope="module")
def collection(ablation: Path) -> Collection:
    return collect([ablation])


@pytest.fixture(scope="module")
def table(collection: Collection) -> Table:
    return make_table(collection, collection.home, measure=False, resamples=400)


def word(values: list[float], **bounds: float) -> str:
    found = outcome("x", Predicted(because="So.", **bounds), figure(values, 100))  # type: ignore[arg-type]
    assert found is not None
    return found.word


def test_the_interval_is_that_of_scipy_within_0_and_100() -> None:
    values = [60.0, 64.0, 71.0, 66.0]
    expected = stats.t.interval(0.95, 3, loc=65.25, scale=stats.sem(values))
    assert figure([each / 100 for each in values], 50).over_seeds == pytest.approx(expected)
    assert figure([0.97, 1.0], 50).over_seeds == (pytest.approx(79.441, abs=1e-3), 100.0)
    assert figure([0.97], 50).over_seeds is None


def test_outcomes_at_the_bounds() -> None:
    same = [0.57, 0.57, 0.57]  # 100 × 0.57 is 56.99999999999999
    assert word(same, at_least=57) == word(same, at_most=57) == "yes"
    assert word(same, at_least=57.001) == word(same, at_most=56.999) == "no"
    assert word(same, at_least=50, at_most=57) == "yes"
    assert word(same, at_least=58, at_most=60) == "no"
    seeds = [0.60, 0.64, 0.71, 0.66]
    low, high = figure(seeds, 50).over_seeds or (0, 0)
    assert word(seeds, at_least=low) == "yes"  # the end itself is as predicted
    assert word(seeds, at_least=low + 0.01) == word(seeds, at_least=high) == "open"
    assert word(seeds, at_least=high + 0.01) == "no"
    assert word(seeds, at_most=high) == "yes"
    assert word(seeds, at_most=high - 0.01) == word(seeds, at_most=low) == "open"
    assert word(seeds, at_most=low - 0.01) == "no"
    assert word(seeds, at_least=low, at_most=high - 0.01) == "open"
    assert word([0.99], at_least=50) == "one seed"


def test_the_table_says_what_was_predicted_and_what_came(table: Table, tmp_path: Path) -> None:
    words = {row.name: row.outcome.word if row.outcome else None for row in table.rows}
    assert words == {
        "near · none": "open", "near · GC": None, "far · none": "yes", "far · GC": "no",
        "far · NL": "not measured", "far, large GC": "one seed",
    }  # fmt: skip
    text = markdown(table)
    heading, _, *rows = text.split("\n\n")[1].splitlines()
    assert r"| predicted | mean of seeds \[95 %\] | outcome |" in re.sub(" +", " ", heading)
    failed = re.sub(" +", " ", next(row for row in rows if "far · GC" in row))
    assert "71.00 ± 1.00" in failed
    assert r"| ≥ 95 | 71.00 \[68.52, 73.48\] | no |" in failed
    assert "Student's t" in table.notes["predicted"]
    assert (
        "- far · GC: predicted ≥ 95 %. far \\<objects>. Measured: 71.00 % (mean of 3 seeds, "
        in text
    )
    assert "- far · NL: predicted ≥ 90 %. far \\<objects>. Not measured yet." in text
    assert r"| GC | 97.00 \[94.52, 99.48\] |" in re.sub(" +", " ", text)
    kept = list(csv.DictReader(write_files(table, tmp_path)[1].read_text().splitlines()))
    assert (kept[3]["predicted_at_least"], kept[3]["outcome"]) == ("95", "no")
    assert float(kept[3]["mean_of_seeds_low"]) == pytest.approx(68.516, abs=1e-3)


def test_without_predictions_there_are_no_such_columns(tmp_path: Path) -> None:
    make_run(tmp_path / "a", shares(50))
    table = make_table(collect([tmp_path]), tmp_path, measure=False)
    text = markdown(table)
    assert "predicted" not in text
    assert "outcome" not in text
    assert matrix(table.rows) is None


def test_rows_are_compared_within_their_axis_only(table: Table, ablation: Path) -> None:
    rows = {row.name: row for row in table.rows}
    compared = {name: row.against.difference for name, row in rows.items() if row.against}
    assert compared == pytest.approx({"near · GC": 97 - 290 / 3, "far · GC": 21})
    assert rows["near · GC"].against is not None
    assert rows["near · GC"].against.sentence.startswith("near · GC − near · none: ")
    assert table.baseline == "none of the same task"
    assert "Δ to none of the same task" in markdown(table)
    assert not any("not tested on the same copy" in line for line in table.warnings)
    assert not any("baseline" in line for line in table.warnings)
    given = collect([ablation], "near · none")  # a row that is named: those of other videos are not
    found = make_table(given, ablation, measure=False, resamples=100)
    assert [row.name for row in found.rows if row.against] == ["near · GC"]
    said = "far · GC is not compared with the baseline: it was tested on other videos (fingerprint"
    assert any(line.startswith(said) for line in found.warnings)


def test_a_value_of_an_axis_is_given_by_hand(ablation: Path) -> None:
    found = {group.name: group.baseline for group in collect([ablation], "GC").groups}
    assert found["near · none"] == found["near · GC"] == "near · GC"
    assert found["far · NL"] == "far · GC"
    assert found["far, large GC"] is None
    assert collect([ablation], "GC").baseline == "GC of the same task"
    with pytest.raises(
        ValueError, match=r"--baseline 'SE': no such row; the rows are near .*; or "
    ):
        collect([ablation], "SE")
    twin = shutil.copytree(ablation, ablation.parent / "twin")
    with pytest.raises(ValueError, match=r"'GC': no such row; the rows are Probes: near · none, "):
        collect([ablation, twin], "GC")  # rows of two ablations have no axes
    record = json.loads((twin / "ablation.json").read_text())
    record["rows"][0]["values"]["task"] = "GC"
    (twin / "ablation.json").write_text(json.dumps(record))
    with pytest.raises(ValueError, match=r"'GC': a value of the axes kind and task; give a row: "):
        collect([twin], "GC")


def test_the_matrix_has_every_row_once(table: Table) -> None:
    found = matrix(table.rows)
    assert found is not None
    assert found.columns == ["near", "far"]
    names = {name: [row and row.name for row in rows] for name, rows in found.lines}
    assert names == {
        "none": ["near · none", "far · none"],
        "GC": ["near · GC", "far · GC"],
        "NL": [None, "far · NL"],
    }
    assert [row.name for row in found.others] == ["far, large GC"]
    assert found.texts[1][1][2] == "71.00 [68.52, 73.48] ≥ 95: no ✗"
    assert found.texts[1][2][1:] == ["–", "– ≥ 90: not measured"]


def test_the_page_has_the_matrix_the_plot_and_the_sentences(
    table: Table, collection: Collection, tmp_path: Path
) -> None:
    page = write_page(table, collection.groups, tmp_path).read_text()
    part = page[page.index('<table id="axes">') :]
    cells = re.findall(r'<td style="background: (#\w{6})"(?: class="(\w+)")?>', part)
    assert [kind for _, kind in cells] == ["open", "yes", "", "no", "", "not", "one"]
    assert cells[4][0] == cells[5][0] == "#ffffff"  # nothing is tested there
    assert cells[1][0] > cells[3][0] > cells[0][0]  # lighter, lower
    assert "<b>71.00</b><small>[68.52, 73.48]</small><small>≥ 95: no ✗</small>" in part
    assert "<li>far · GC: predicted ≥ 95 %. far &lt;objects&gt;. Measured: 71.00 %" in part
    assert 'aria-label="Accuracy of each seed beside what was predicted"><svg' in part
    assert page.count('<tr class="baseline">') == 2


def test_the_plot_leaves_out_what_is_not_tested(table: Table) -> None:
    found = panels(table.rows)
    assert {title: [name for name, _ in own] for title, own in found.items()} == {
        "near": ["none", "GC"], "far": ["none", "GC"], "other rows": ["far, large GC"],
    }  # fmt: skip
    assert prediction_plot([row for row in table.rows if not row.seeds]) is None
    plain = [row for row in table.rows if not row.values]
    assert list(panels(plain)) == [""]
    assert "<svg" in (prediction_plot([replace(plain[0], name="$\\frac{")]) or "")
