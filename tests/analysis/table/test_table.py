"""The whole table of made-up runs: its numbers, its warnings, its files."""

import csv
import json
import shutil
import subprocess
from dataclasses import asdict, replace
from html.parser import HTMLParser
from pathlib import Path

import pytest
import torch

from tests.analysis.compare.writing import SELECTION, write_test
from tests.analysis.table.making import make_run, shares, write_ablation, write_curve
from video_gc.analysis.table import costs
from video_gc.analysis.table.files import cells, markdown, write_files
from video_gc.analysis.table.gather import collect
from video_gc.analysis.table.make_table import make_table
from video_gc.analysis.table.page import confusions, write_page
from video_gc.analysis.table.table import Table
from video_gc.data.config import DataConfig
from video_gc.data.index import DataError
from video_gc.data.sampling import ClipConfig
from video_gc.models.build import ModelConfig
from video_gc.models.context import ContextConfig
from video_gc.train.options import TrainConfig

HOSTILE = "[x] <script>alert('1')</script> | a_b & 50% $x$ #1 \\ {~^}"


def made(places: list[Path], out: Path, baseline: str | None = None) -> Table:
    return make_table(collect(places, baseline), out, measure=False, resamples=400)


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """none: 40 and 44 of 100 videos; gc: 70 and 76; nl: one seed, 41, and an untested one."""
    tmp_path = tmp_path_factory.mktemp("table")
    for seed, (none, gc) in enumerate(((40, 70), (44, 76))):
        make_run(tmp_path / "runs" / f"none_{seed}", shares(none), seed=seed)
        make_run(tmp_path / "runs" / f"gc_{seed}", shares(gc), kind="gc", seed=seed)
    make_run(tmp_path / "runs" / "nl_0", shares(41), kind="nl")
    make_run(tmp_path / "runs" / "nl_1", None, kind="nl", seed=1)
    return tmp_path / "runs"


@pytest.fixture(scope="module")
def table(runs: Path) -> Table:
    return made([runs], runs.parent / "out")


@pytest.fixture(scope="module")
def page(runs: Path, table: Table) -> Path:
    return write_page(table, collect([runs]).groups, runs.parent / "out")


def test_the_numbers(table: Table) -> None:
    none, gc, nl = table.rows
    assert gc.name == "gc one"
    top1 = gc.figures["top1 video"]
    assert (top1.mean, top1.error) == (pytest.approx(73), pytest.approx(18**0.5))
    assert gc.figures["top1 clip"].mean == pytest.approx(36.5)
    assert gc.against is not None
    assert gc.against.difference == pytest.approx(31)
    assert gc.against.low > 0
    assert (gc.against.wins, gc.against.losses, gc.against.word) == (36, 0, "better")
    assert none.against is None
    assert nl.against is not None
    assert nl.against.difference == pytest.approx(-1)
    assert nl.against.low < 0 < nl.against.high
    assert nl.against.word == "noise"
    assert nl.against.sentence.startswith("nl one − none: -1.00 points of top-1 (95 % interval -")
    assert gc.against.sentence.startswith("gc one − none: +31.00 points of top-1")
    assert gc.against.p is not None
    assert gc.against.holm == pytest.approx(2 * gc.against.p)
    assert "2 comparisons are made" in table.notes["difference"]
    assert none.costs is not None
    assert gc.costs is not None
    assert gc.costs.counted.parameters > none.costs.counted.parameters
    assert table.count == "5 of 6 trainings are tested"
    assert "nl one: 1 of 2 seeds; nl_1: trained, not tested yet" in table.warnings


def test_every_file_names_the_missing_and_says_what_the_figures_are(
    table: Table, page: Path
) -> None:
    files = write_files(table, page.parent)
    for file in (*files[:1], files[2], page):
        text = file.read_text()
        assert "nl_1: trained, not tested yet" in text
        assert "1 of 2" in text
        for word in ("multiply-adds", "fingerprint", "fp32", "10 × 3 a video"):
            assert word in text
    rows = list(csv.DictReader(files[1].read_text().splitlines()))
    assert [float(row["top1_video_percent"]) for row in rows] == pytest.approx([42, 73, 41])
    assert (rows[2]["seeds"], rows[2]["planned"]) == ("1", "2")
    assert float(rows[2]["top1_video_se"]) == pytest.approx(4.918, abs=1e-3)
    kept = json.loads(files[3].read_text())
    assert kept["rows"][1]["figures"]["top1 video"]["values"] == pytest.approx([70, 76])
    assert "../runs/gc_0/" in page.read_text()
    assert "Before you read the figures" in page.read_text()


class Elements(HTMLParser):
    """The tags of a page, and what is in its cells."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.scripts: list[str] = []
        self.text: list[str] = []
        self.sources: list[str] = []
        self._in_script = False
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._in_script = tag == "script"
        self.sources += [value or "" for name, value in attrs if name in ("src", "href")]

    def handle_endtag(self, tag: str) -> None:
        self._in_script = False

    def handle_data(self, data: str) -> None:
        (self.scripts if self._in_script else self.text).append(data)


def test_a_hostile_name_stays_a_name(tmp_path: Path) -> None:
    labels = [HOSTILE, "plain"] * 50
    for name, kind, right in (("a", "none", 50), ("b", "gc", 60)):
        make_run(tmp_path / "cells" / name, shares(right), kind=kind, labels=labels)
        write_curve(tmp_path / "cells" / name, [0.2, 0.4])
    cells = {HOSTILE: ["../cells/a"], "$\\frac{": ["../cells/b"], "*": ["../cells/c"]}
    home = write_ablation(tmp_path / "x", cells, baseline=HOSTILE, title=HOSTILE)
    collection = collect([home])
    table = make_table(collection, home, measure=False, resamples=100)
    page = Elements(write_page(table, collection.groups, home).read_text())
    assert len(page.scripts) == 2
    assert json.loads(page.scripts[0])["classes"] == sorted([HOSTILE, "plain", "wrong"])
    assert any(HOSTILE in text for text in page.text)
    assert all(source.startswith(("../", "#")) for source in page.sources)
    lines = [line for line in markdown(table).splitlines() if line.startswith("|")]
    bars = [line.replace(r"\|", "").count("|") for line in lines]
    assert bars == [bars[0]] * len(lines)
    assert "<script" not in markdown(table).replace(r"\<", "")


@pytest.mark.skipif(shutil.which("node") is None, reason="there is no node here")
def test_the_script_is_one(page: Path, tmp_path: Path) -> None:
    script = Elements(page.read_text()).scripts[1]
    (tmp_path / "page.js").write_text(script)
    subprocess.run(["node", "--check", tmp_path / "page.js"], check=True)


def test_confusions_are_counted_over_seeds(runs: Path) -> None:
    found = confusions(collect([runs]).groups)
    assert found is not None
    name, seeds, flat = found.rows[1]
    assert (name, seeds, sum(flat[2::3])) == ("gc one", 2, 200)
    triples = list(zip(flat[::3], flat[1::3], flat[2::3], strict=True))
    wrong = sum(times for true, said, times in triples if true != said)
    assert wrong == 30 + 24
    assert confusions(collect([runs / "gc_0", runs / "gc_1"]).groups) is None


def test_rows_on_other_videos_are_warned_of_and_not_compared(tmp_path: Path) -> None:
    make_run(tmp_path / "a", shares(5, 10))
    paths = [f"elsewhere/{number}.avi" for number in range(10)]
    other = make_run(tmp_path / "b", shares(9, 10), kind="gc", fingerprint="sizes:ffff00000000")
    shutil.rmtree(other / "test")
    level = {"top1": 0.9, "top5": 1.0, "mean_class": 0.9, "count": 10}
    write_test(
        other / "new", shares(9, 10), paths=paths, video_level=level, clip_level=level,
        fingerprint="sizes:ffff00000000", precision="bf16", checkpoint="b/checkpoints/last.ckpt",
        selection=SELECTION,
    )  # fmt: skip
    (other / "new" / "test").rename(other / "test")
    table = made([tmp_path], tmp_path)
    text = "\n".join(table.warnings)
    assert (
        "not tested on the same copy of the videos: none (sizes:aaaabbbbcccc), but gc one (sizes"
        in text
    )
    assert "gc one is not compared with the baseline: it was tested on other videos (finger" in text
    assert "not tested alike, precision: fp32 in none; bf16 in gc one" in text
    assert "not tested alike, checkpoint: best in none; last in gc one" in text
    assert "on which the checkpoint was chosen, so accuracy is too high: gc one; the last" in text
    heading, rows = cells(table)
    shown = [dict(zip(heading, row, strict=True)) for row in rows]
    assert [row["last epoch %"] for row in shown] == ["–", "59.00"]
    assert [row["top-1 video %"].count("‡") for row in shown] == [0, 1]
    assert shown[1]["top-1 video %"].startswith("90.00‡")
    assert table.rows[1].last == pytest.approx(59)
    assert all(row.against is None for row in table.rows)


def test_several_labels_are_shown_by_map(tmp_path: Path) -> None:
    for name, kind, value in (("a", "none", 0.25), ("b", "gc", 0.5)):
        level = {"mAP": value, "classes": 4, "count": 100}
        make_run(tmp_path / name, shares(50), kind=kind, video_level=level, clip_level=level)
    table = made([tmp_path], tmp_path)
    assert table.rows[1].figures["mAP video"].mean == pytest.approx(50)
    text = markdown(table)
    assert "mAP video %" in text
    assert "top-1" not in text.split("\n\n")[1]
    assert "scores.npy" in "".join(table.warnings)  # there is none to compare with


def test_what_a_paper_reports_is_marked(tmp_path: Path) -> None:
    make_run(tmp_path / "cells" / "a", shares(50))
    home = write_ablation(tmp_path / "x", {"a": ["../cells/a"]})
    content = json.loads((home / "ablation.json").read_text())
    content["rows"][0]["reported"] = {"top1": 75.85, "parameters": 34.3e6, "source": "GCNet"}
    (home / "ablation.json").write_text(json.dumps(content))
    table = made([home], home)
    heading = markdown(table).split("\n\n")[1].splitlines()[0]
    assert "top-1 % (reported, not ours)" in heading
    assert "top-5 % (reported" not in heading
    assert "75.85" in markdown(table)
    assert table.notes["reported"] == "not ours: GCNet"


def test_nothing_tested_is_an_error(tmp_path: Path) -> None:
    make_run(tmp_path / "a", None)
    with pytest.raises(DataError, match="none of 1 trainings is tested .a: trained, not tested"):
        made([tmp_path], tmp_path)


def test_memory_is_measured_once_and_time_of_all_rows_in_the_same_rounds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    peaks: list[bool] = []
    turns: list[tuple[bool, int]] = []

    def peak(model: ModelConfig, *_: object, train: bool, **__: object) -> float:
        if model.dropout == 0.2:
            raise ChildProcessError("no memory")
        peaks.append(train)
        return 7.0

    def time_networks(
        networks: dict[str, object], *_: object, train: bool, **__: object
    ) -> dict[str, list[float]]:
        turns.append((train, len(networks)))
        return {key: [0.5, 0.25, 1.0] for key in networks}

    monkeypatch.setattr(costs, "peak_memory", peak)
    monkeypatch.setattr(costs, "time_networks", time_networks)
    make_run(tmp_path / "a", shares(5))
    network = collect([tmp_path]).groups[0].runs[0].network
    assert network is not None
    other, huge = ((replace(network[0], dropout=each), network[1]) for each in (0.1, 0.2))
    cache = tmp_path / "costs.json"
    first = costs.network_costs([network, network], cache, device="cpu")
    assert (peaks, turns) == ([False, True], [(False, 1), (True, 1)])
    assert first[0] == first[1]
    assert first[0].test is not None
    assert (first[0].test.seconds, first[0].test.time.upper) == (0.5, 0.75)
    assert costs.network_costs([network], cache, device="cpu") == first[:1]
    assert len(turns) == 2
    both = costs.network_costs([network, other, huge], cache, device="cpu")
    assert len(peaks) == 4
    assert turns[2:] == [(False, 2), (True, 2)]  # the first one again, beside the new one
    assert (both[2].test, both[2].train) == (None, None)
    assert both[2].counted == both[1].counted
    costs.network_costs([other], cache, device="cpu")
    assert len(turns) == 4
    monkeypatch.setattr(costs, "machine", lambda _: {"processor": "another"})
    costs.network_costs([network], cache, device="cpu")
    assert (len(peaks), len(turns)) == (6, 6)


def test_a_busy_machine_is_said_with_the_file_to_delete(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(costs, "peak_memory", lambda *_, **__: 100.0)
    monkeypatch.setattr(
        costs, "time_networks", lambda networks, *_, **__: {key: [0.5] for key in networks}
    )
    make_run(tmp_path / "a", shares(5))
    said = "other work ran while latency was measured"
    for beside, busy in ((4, True), (0, False)):
        monkeypatch.setattr(costs, "load", lambda beside=beside: torch.get_num_threads() + beside)
        out = tmp_path / str(beside)
        table = make_table(collect([tmp_path]), out, resamples=100)
        assert (said in table.notes["latency and memory"]) == busy
        assert [f"delete {out}/costs.json" in line for line in table.warnings] == [True] * busy
        said_before = capfd.readouterr().err
        assert "Measuring 1 network on this machine: 16 s or longer, and 2 processes" in said_before
        assert f"--no-measure leaves it out, {out}/costs.json keeps it" in said_before
        make_table(collect([tmp_path]), out, resamples=100)  # all of it is kept
        assert "Measuring" not in capfd.readouterr().err


def test_what_is_not_trained_yet_is_counted_as_the_papers_count_it(tmp_path: Path) -> None:
    rows = []
    for name, kind, after in (("none", "none", "none"), ("5 GC", "gc", "five")):
        context = ContextConfig(kind=kind, after=[after])
        config = TrainConfig(
            model=ModelConfig(backbone="slow", context=context),
            data=DataConfig(kind="folder", root="nowhere"),
            clip=ClipConfig(
                frames=2, crop=32, short_side=[32, 40], test_crop=32, test_short_side=32
            ),
        )
        row = {"name": name, "options": asdict(config), "cells": [f"../../cells/{kind}_s0"]}
        rows.append(row)
    place = tmp_path / "ablations" / "x"
    place.mkdir(parents=True)
    record = {"name": "x", "baseline": "none", "rows": rows}
    (place / "ablation.json").write_text(json.dumps(record))
    table = make_table(collect([place]), tmp_path, measure=False)
    counted = {row.name: row.costs.counted.parameters for row in table.rows if row.costs}
    assert counted == {"none": 32_454_096, "5 GC": 34_300_368}
    assert "400 classes" in table.notes["classes"]
    assert table.rows[1].absent == {"gc_s0": "not trained yet"}
    assert "2 frames of 32×32 pixels" in table.notes["FLOPs"]
