"""Predictions and baselines of an ablation: what its file may say, and what ablation.json keeps."""

import json
import shutil
from pathlib import Path

import pytest

from video_gc.ablate.plan import write_record
from video_gc.ablate.spec import AblationConfig, Predicted
from video_gc.config.ablation import plan_ablation
from video_gc.config_folders import SHIPPED

FILE = """
title: "Tasks and kinds: none, GC"
experiment: motions
baseline: none
axes:
  task: {presence: [data.task=presence], alike: [data.task=alike]}
  kind: {none: [context=none], GC: [context=gc]}
rows: {two GC: [context=gc, placement=all]}
predicted:
  presence · *: {at_least: 95, because: A window that contains an object shows it.}
  alike · none: {at_most: 60, because: No window contains both objects.}
  "* two*": {at_least: 1, because: It matches nothing.}
"""


def predicted(**bounds: float) -> Predicted:
    return Predicted(because="It must.", **bounds)  # type: ignore[arg-type]


def ablation(**fields: object) -> AblationConfig:
    axes = {
        "task": {"presence": ["data.task=presence"], "alike": ["data.task=alike"]},
        "kind": {"none": ["context=none"], "GC": ["context=gc"]},
    }
    given: dict[str, object] = {"title": "t", "axes": axes, "rows": {"one": ["context=nl"]}}
    return AblationConfig(**given | fields)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("said", "message"),
    [
        ({"alike · NL": predicted(at_least=1)}, "'alike · NL' is no row, nor a pattern of rows; "
         "the rows are one, presence · none,"),
        ({"order · *": predicted(at_least=1)}, r"'order · \*' is no row, nor a pattern"),
        ({"ALIKE · *": predicted(at_least=1)}, r"'ALIKE · \*' is no row, nor a pattern"),
        ({"alike · *": predicted(at_least=1), "* · GC": predicted(at_least=2)},
         r"'alike · \*' and '\* · GC' both match row 'alike · GC'; give this row a prediction"),
        ({"one": predicted()}, "'one' has no bound; give at_least or at_most"),
        ({"one": predicted(at_most=100.5)}, r"at_most \(100.5\) of 'one' must be from 0 to 100"),
        ({"one": predicted(at_least=-1)}, r"at_least \(-1\) of 'one' must be from 0 to 100"),
        ({"one": predicted(at_least=float("nan"))}, r"at_least \(nan\) of 'one' must be from 0"),
        ({"one": predicted(at_least=9, at_most=8)}, r"\(9\) of 'one' must not be above at_most"),
        ({"one": Predicted(at_least=9, because=" ")}, "'one' has no reason; give because"),
    ],
)  # fmt: skip
def test_a_wrong_prediction_is_refused(said: dict[str, Predicted], message: str) -> None:
    with pytest.raises(ValueError, match=f"^predicted: .*{message}"):
        ablation(predicted=said)


def test_the_name_of_a_row_comes_before_patterns_and_only_keeps_what_it_needs() -> None:
    all_of, own, exact = (predicted(at_least=bound) for bound in (1, 2, 3))
    said = {"alike · *": all_of, "* · GC": own, "alike · GC": exact}
    found = ablation(predicted=said)
    expected = {"presence · GC": own, "alike · none": all_of, "alike · GC": exact}
    assert found.predictions == expected
    some = found.only(["alike · none", "one"])
    assert some.predicted == {"alike · none": all_of}
    brackets = ablation(
        rows={"[one]": [], "o": []}, predicted={"[one]": all_of}
    )  # a row's name is no pattern, although it looks like one that matches `o`
    assert brackets.predictions == {"[one]": all_of}


def test_the_text_of_a_prediction() -> None:
    assert predicted(at_least=95).text == "≥ 95"
    assert predicted(at_most=62.5).text == "≤ 62.5"
    assert predicted(at_least=60, at_most=95).text == "≥ 60, ≤ 95"


def test_a_baseline_is_a_row_or_a_value_of_one_axis() -> None:
    assert ablation(baseline="none").only(["one", "alike · GC"]).baseline is None
    assert ablation(baseline="one").only(["one", "alike · GC"]).baseline == "one"
    with pytest.raises(ValueError, match=r"^baseline: 'NL' is not a row; .*or give a value of an"):
        ablation(baseline="NL")
    twice = {axis: {"none": [f"{axis}=1"], "x": [f"{axis}=2"]} for axis in ("a", "b")}
    with pytest.raises(ValueError, match=r"^baseline: 'none' is a value of 2 axes; rename one"):
        ablation(axes=twice, baseline="none")


def test_the_record_has_predictions_values_of_axes_and_the_baseline(tmp_path: Path) -> None:
    configs = tmp_path / "configs"
    shutil.copytree(SHIPPED, configs)
    file = configs / "ablation" / "mine.yaml"
    file.write_text(FILE)
    given = ["ablation=mine", f"runs={tmp_path}"]
    with pytest.raises(ValueError, match=r"mine.yaml: predicted: '\* two\*' is no row, nor a"):
        plan_ablation(given, [configs])
    file.write_text(FILE.replace("* two*", "two*"))
    found = json.loads(write_record(plan_ablation(given, [configs])).read_text())
    rows = {row["name"]: row for row in found["rows"]}
    assert found["baseline"] == "none"
    assert rows["alike · GC"]["values"] == {"task": "alike", "kind": "GC"}
    assert rows["two GC"]["values"] == {}
    assert {name: row["predicted"] and row["predicted"]["at_least"] for name, row in rows.items()} == {
        "two GC": 1.0, "presence · none": 95.0, "presence · GC": 95.0, "alike · none": None,
        "alike · GC": None,
    }  # fmt: skip
    assert rows["alike · GC"]["predicted"] is None
    assert rows["alike · none"]["predicted"] == {
        "at_least": None, "at_most": 60.0, "because": "No window contains both objects.",
    }  # fmt: skip
    some = [*given, "name=some", "only=['alike · GC','two GC']"]
    found = json.loads(write_record(plan_ablation(some, [configs])).read_text())
    assert found["baseline"] is None
    assert found["rows"][1]["values"] == {"task": "alike", "kind": "GC"}
