"""The page of a table says why context decides, where no position sees both objects of a clip."""

import json
from html import unescape
from pathlib import Path

import numpy as np
import pytest
import yaml
from matplotlib.patches import Rectangle

from tests.analysis.table.making import make_run, shares, write_ablation
from video_gc.analysis.table.explanation import draw_boxes
from video_gc.analysis.table.gather import collect
from video_gc.analysis.table.make_table import make_table
from video_gc.analysis.table.page import write_page
from video_gc.data.generated.tasks import RELATIONS, TASKS, draw_clip

ROWS = {"plain <b>": ("none", 208), "GC": ("gc", 390)}
"""Row → its block, and how many of 400 videos it recognises."""


def page_of(tmp_path: Path, task: str = "alike", side: int = 40, **model: object) -> str:
    """The page of an ablation of bag networks on a task of motions; model: other options of it."""
    for kind, right in ROWS.values():
        home = make_run(tmp_path / "cells" / kind, shares(right, 400), kind=kind)
        config = yaml.safe_load((home / "config.yaml").read_text())
        bag = {"backbone": "bag", "depth": 14}
        config["model"] |= bag | {"context": {"kind": kind, "after": ["res3.*"]}} | model
        config["data"] |= {"kind": "motions", "task": task}
        config["clip"] |= {"frames": 8, "crop": side, "test_crop": side, "test_short_side": side}
        config["clip"] |= {"short_side": [side, side]}
        (home / "config.yaml").write_text(yaml.safe_dump(config))
    cells = {row: [f"../cells/{kind}"] for row, (kind, _) in ROWS.items()}
    home = write_ablation(tmp_path / "x", cells, baseline="plain <b>")
    collection = collect([home])
    table = make_table(collection, home, measure=False, resamples=400)
    return write_page(table, collection.groups, home).read_text()


def test_sentences_have_the_numbers_of_the_runs(tmp_path: Path) -> None:
    page = page_of(tmp_path)
    assert '<figure class="card" id="boxes"' in page
    why = page[page.index('id="why"') : page.index("</ol>")]
    one, two, three, four = (unescape(sentence) for sentence in why.split("<li>")[1:])
    assert all(f"“{name}”" in one for name in TASKS["alike"])
    assert "5 frames of 11×11 pixels" in two
    assert "at chance (50 %): “plain <b>” has 52.0 % of the test videos right (95 %" in three
    assert "“GC” has 97.5 % of the test videos right (95 % interval " in four
    assert "+45.5 points against “plain <b>” (+" in four
    low, high = (float(each) for each in three.split("interval ")[1].split(")")[0].split(" to "))
    spread = 1.96 * 100 * (0.52 * 0.48 / 400) ** 0.5
    assert (52 - low, high - 52) == pytest.approx((spread, spread), abs=0.4)
    assert page.index('id="why"') < page.index('id="rows"')


@pytest.mark.parametrize(
    "other",
    [
        {"task": "presence"},  # one position sees what tells the classes apart
        {"side": 64},  # its pixels are not those of the videos
        {"kernels_until": "res2"},  # sees more than the gap between the objects
        {"backbone": "i3d", "depth": 50},
        {"context": {"kind": "gc", "after": ["res3.*"]}},  # no row without blocks
    ],
)
def test_other_ablations_have_neither_picture_nor_sentences(tmp_path: Path, other: dict) -> None:
    page = page_of(tmp_path, **other)
    assert 'id="boxes"' not in page
    assert 'id="why"' not in page


def test_runs_on_own_videos_have_neither(tmp_path: Path) -> None:
    page_of(tmp_path)
    for kind, _ in ROWS.values():
        file = tmp_path / "cells" / kind / "config.yaml"
        config = yaml.safe_load(file.read_text())
        config["data"] |= {"kind": "folder", "root": "mine"}
        file.write_text(yaml.safe_dump(config))
    record = json.loads((tmp_path / "x" / "ablation.json").read_text())
    assert [row["name"] for row in record["rows"]] == list(ROWS)
    collection = collect([tmp_path / "x"])
    table = make_table(collection, tmp_path, measure=False, resamples=100)
    assert 'id="boxes"' not in write_page(table, collection.groups, tmp_path).read_text()


@pytest.mark.parametrize("field", [(5, 11, 11), (3, 7, 9)])
@pytest.mark.parametrize("task", RELATIONS)
def test_a_box_is_what_a_position_sees_and_holds_one_object(
    task: str, field: tuple[int, int, int]
) -> None:
    figure = draw_boxes(task, field)
    ways = []
    for axes, name in zip(figure.axes, TASKS[task], strict=True):
        assert axes.get_title() == name
        boxes = [patch for patch in axes.patches if isinstance(patch, Rectangle)]
        assert [(box.get_height(), box.get_width()) for box in boxes] == [field[1:]] * 2
        ends = np.array([(arrow.xyann, arrow.xy) for arrow in axes.texts])
        for box, own in zip(boxes, ends, strict=True):
            inside = [box.get_bbox().contains(*places.mean(0)) for places in ends]
            assert inside == [np.array_equal(own, places) for places in ends]
        ways.append(ends[:, 1] - ends[:, 0])
    assert ways[0][0] == pytest.approx(ways[0][1])  # alike
    assert ways[1][0] == pytest.approx(-ways[1][1])  # opposite
    assert ways[0][0] == pytest.approx(ways[1][0])  # the same left object


def test_the_classes_are_drawn_with_the_same_objects() -> None:
    """The left half of the picture is the same, up to noise drawn with the same numbers."""
    alike, opposite = (draw_clip("alike", n, np.random.default_rng(3))[0] for n in TASKS["alike"])
    assert np.array_equal(alike[:, :, :20], opposite[:, :, :20])
    assert not np.array_equal(alike, opposite)
