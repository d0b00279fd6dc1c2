"""Which runs make a row, what it is called, and why a run does not count."""

import json
import re
import shutil
from dataclasses import asdict, replace
from pathlib import Path

import pytest
import yaml

from tests.analysis.table.making import make_run, shares, write_ablation, write_curve, write_events
from video_gc.analysis.table.gather import collect, single_run
from video_gc.analysis.table.make_table import make_table
from video_gc.analysis.table.tested_run import read_config, read_run, seconds_trained
from video_gc.blocks import build_block
from video_gc.data.config import DataConfig
from video_gc.data.index import DataError
from video_gc.models.context import ContextConfig


def test_seeds_of_one_config_are_one_row_that_is_named_by_what_differs(tmp_path: Path) -> None:
    for seed in (1, 0):
        make_run(tmp_path / f"a{9 - seed}", shares(50), kind="gc", seed=seed)
        make_run(tmp_path / f"z{9 - seed}", shares(50), seed=seed)
    found = collect([tmp_path])
    assert [group.name for group in found.groups] == ["none", "gc one"]
    assert found.baseline == "none"
    assert [run.seed for run in found.groups[0].runs] == [0, 1]
    assert found.home == tmp_path / "table"


def test_names_say_only_what_tells_rows_apart(tmp_path: Path) -> None:
    make_run(tmp_path / "a", shares(5), kind="gc", reduction=4)
    make_run(tmp_path / "b", shares(5), kind="gc", reduction=16)
    make_run(tmp_path / "c", shares(5), kind="nl", reduction=2)
    names = [group.name for group in collect([tmp_path]).groups]
    assert names == ["gc one reduction=4", "gc one reduction=16", "nl one reduction=2"]
    make_run(tmp_path / "lr" / "a", shares(5), lr=0.01)
    make_run(tmp_path / "lr" / "b", shares(5), lr=0.1)
    assert [g.name for g in collect([tmp_path / "lr"]).groups] == ["lr=0.01", "lr=0.1"]


def test_one_of_two_options_that_vary_together_is_enough_for_a_name(tmp_path: Path) -> None:
    make_run(tmp_path / "a", shares(5), lr=0.01, epochs=10)
    make_run(tmp_path / "b", shares(5), lr=0.1, epochs=20)
    found = collect([tmp_path]).groups
    assert [group.name for group in found] == ["epochs=10", "epochs=20"]
    assert [group.settings for group in found] == [
        ["epochs=10", "lr=0.01"],
        ["epochs=20", "lr=0.1"],
    ]


def test_one_config_on_other_videos_is_another_row(tmp_path: Path) -> None:
    make_run(tmp_path / "a", shares(5))
    make_run(tmp_path / "b", shares(5), seed=1, fingerprint="sizes:ffff00000000")
    assert [g.name for g in collect([tmp_path]).groups] == ["none (1)", "none (2)"]


def test_an_ablation_has_its_names_and_its_order_and_misses_no_cell(tmp_path: Path) -> None:
    make_run(tmp_path / "cells" / "z_s0", shares(50), kind="gc")
    make_run(tmp_path / "cells" / "a_s0", shares(50))
    failed = make_run(tmp_path / "cells" / "a_s1", None, seed=1, finished=False)
    status = {"status": "failed", "reason": "the loss is no number", "seconds": 3.0}
    (failed / "cell.json").write_text(json.dumps(status))
    cells = {
        "Zed": ["../../cells/z_s0"],
        "plain": [f"../../cells/a_s{seed}" for seed in (0, 1, 2)],
    }
    home = write_ablation(tmp_path / "ablations" / "x", cells, baseline="plain")
    found = collect([home])
    assert (found.title, found.baseline, found.home) == ("An ablation", "plain", home)
    assert [group.name for group in found.groups] == ["Zed", "plain"]
    plain = found.groups[1]
    assert [run.name for run in plain.tested] == ["a_s0"]
    assert plain.absent == {
        "a_s1": "failed: the loss is no number",
        "a_s2": "not trained yet",
    }
    with pytest.raises(ValueError, match="'all': no such row; the rows are Zed, plain"):
        collect([home], "all")
    (home / "ablation.json").write_text('{"name": "x"}')
    with pytest.raises(DataError, match=r"ablation.json: cannot be read \(KeyError: 'rows'\)"):
        collect([home])


@pytest.mark.parametrize(
    ("damage", "problem"),
    [
        ("untested", "trained, not tested yet"),
        ("early", r"its training has not ended \(epoch 3 of 10\)"),
        ("running", "still running"),
        ("option", r"its config.yaml cannot be read \(this version has no option colour"),
        ("accuracy", "its test cannot be read"),
        ("predictions", "its test cannot be read .*no video was scored"),
    ],
)
def test_why_a_run_does_not_count(tmp_path: Path, damage: str, problem: str) -> None:
    home = make_run(tmp_path / "run", None if damage == "untested" else shares(5))
    if damage == "early":
        write_curve(home, [0.1, 0.2, 0.3])
        (home / "finished.yaml").unlink()
    if damage == "running":
        (home / "cell.json").write_text('{"status": "running"}')
        (home / "finished.yaml").unlink()
    if damage == "option":
        options = yaml.safe_load((home / "config.yaml").read_text()) | {"colour": 3}
        (home / "config.yaml").write_text(yaml.safe_dump(options))
    if damage == "accuracy":
        (home / "test" / "accuracy.json").write_text('{"video_level": {"top1": nul')
    if damage == "predictions":
        (home / "test" / "predictions.csv").write_text("path,label,top1,score1\n")
    run = read_run(home)
    assert re.match(problem, run.problem or "")
    assert not run.about


def test_a_failed_cell_that_was_finished_by_hand_counts(tmp_path: Path) -> None:
    home = make_run(tmp_path / "run", shares(5))
    (home / "cell.json").write_text('{"status": "failed", "reason": "out of memory"}')
    assert read_run(home).problem is None
    (home / "finished.yaml").unlink()
    assert read_run(home).problem == "failed: out of memory"


def test_a_run_of_a_machine_that_has_what_this_one_lacks(tmp_path: Path) -> None:
    home = make_run(tmp_path / "run", shares(5))
    options = yaml.safe_load((home / "config.yaml").read_text())
    options["accelerator"] = "gpu"
    options["data"] |= {"decode_device": "cuda", "decoder": "torchcodec"}
    (home / "config.yaml").write_text(yaml.safe_dump(options))
    other = make_run(tmp_path / "other", shares(5), seed=1)
    assert read_run(home).problem is None
    assert len(collect([home, other]).groups) == 1


def test_one_run_is_a_page_and_a_folder_a_table(tmp_path: Path) -> None:
    home = make_run(tmp_path / "run", shares(5))
    assert single_run([home]) == home
    assert single_run([home, home]) is None
    assert single_run([tmp_path]) is None
    assert len(collect([home, tmp_path, home / ".." / "run"]).groups[0].runs) == 1
    with pytest.raises(FileNotFoundError, match="nowhere: no such run directory, ablation or"):
        collect([home, tmp_path / "nowhere"])
    (tmp_path / "empty").mkdir()
    with pytest.raises(FileNotFoundError, match="empty: no run and no ablation.json in it"):
        collect([tmp_path / "empty"])


def test_time_is_that_of_all_lives_of_a_run(tmp_path: Path) -> None:
    assert seconds_trained(tmp_path) is None
    logs = tmp_path / "logs" / "tensorboard"
    write_events(logs / "events.out.tfevents.1", [100.0, 130.0, 160.0])
    write_events(logs / "events.out.tfevents.2", [1000.0, 1005.0, 1006.0])
    killed = (logs / "events.out.tfevents.2").read_bytes()[:-7]  # while it wrote
    (logs / "events.out.tfevents.2").write_bytes(killed)
    assert seconds_trained(tmp_path) == (65.0, "event files")
    (tmp_path / "cell.json").write_text('{"status": "finished", "seconds": 6.5}')
    assert seconds_trained(tmp_path) == (65.0, "event files")  # its job only tested it
    shutil.rmtree(logs)
    assert seconds_trained(tmp_path) == (6.5, "cell.json (with its test)")


def test_rows_that_are_not_trained_have_the_classes_of_those_that_are_and_stop_no_table(
    tmp_path: Path,
) -> None:
    trained = make_run(tmp_path / "cells" / "none_s0", shares(5))
    config = read_config(trained / "config.yaml")
    config = replace(config, data=DataConfig(kind="folder", root="nowhere"))
    contexts = {
        "none": config.model.context,
        "GC": ContextConfig(kind="gc", after=["one"]),
        "wrong": ContextConfig(kind="gc", after=["res3.9"]),
    }
    configs = {
        name: replace(config, model=replace(config.model, context=context))
        for name, context in contexts.items()
    }
    configs["short"] = replace(config, clip=replace(config.clip, frames=1))
    rows = [
        {"name": name, "options": asdict(each), "cells": [f"../../cells/{name}_s0"]}
        for name, each in configs.items()
    ]
    place = tmp_path / "ablations" / "x"
    place.mkdir(parents=True)
    (place / "ablation.json").write_text(json.dumps({"name": "x", "rows": rows}))
    table = make_table(collect([place]), tmp_path, measure=False)
    costs = {row.name: row.costs for row in table.rows}
    assert costs["wrong"] is None
    assert any("wrong: no cost" in line and "res3.9" in line for line in table.warnings)
    assert costs["short"] is None
    assert any("short: no cost" in line and "takes no input of 1×" in line
               for line in table.warnings)  # fmt: skip
    assert costs["none"] is not None
    assert costs["GC"] is not None
    block = build_block("gc", 128)
    added = sum(weights.numel() for weights in block.parameters())
    assert costs["GC"].counted.parameters - costs["none"].counted.parameters == added
    assert "classes" not in table.notes
    twin = tmp_path / "ablations" / "y"
    shutil.copytree(place, twin)
    both = collect([place, twin]).groups  # under other names, and as they were planned
    assert len({group.name for group in both}) == 2 * len(rows)
    assert all(group.planned for group in both)
