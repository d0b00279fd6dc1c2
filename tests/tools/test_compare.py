import json
from pathlib import Path

import numpy as np
import pytest

from tests.analysis.compare.writing import write_test


def test_two_runs(tool, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    random = np.random.default_rng(0)
    for name in "ab":
        write_test(tmp_path / name, random.random(60) < 0.5)
    status, _, err = tool("compare", tmp_path / "a", tmp_path / "b")
    assert status == 0
    assert "A: a, B: b: 60 videos" in err
    assert "95 % interval" in err
    assert "McNemar's test: p =" in err
    assert "B (b) − A (a): " in err
    out = tmp_path / "b" / "compare_with_a"
    assert f"{out}/compare.png" in err
    assert json.loads((out / "compare.json").read_text())["verdict"] in err
    status, _, err = tool(
        "compare", "--a", tmp_path / "a", "--b", tmp_path / "b", "--out", tmp_path
    )
    assert status == 0
    assert (tmp_path / "changes.csv").is_file()


@pytest.mark.parametrize(
    ("arguments", "status", "message"),
    [
        ([], 2, "give two runs: RUN_A RUN_B, or --a RUN… --b RUN…; see video-gc compare --help"),
        (["{a}"], 2, "give two runs"),
        (["{a}", "{a}"], 2, "is given twice"),
        (["--a", "{a}"], 2, "give two runs"),
        (["{a}", "--b", "{a}"], 2, "give either RUN_A RUN_B, or"),
        (["{a}", "nowhere"], 2, "nowhere: no such run"),
        (["{a}", "{untested}"], 2, "not tested yet; run: video-gc test"),
        (["{a}", "{other}"], 1, "were tested on different videos"),
        (["{a}", "{list}"], 1, "no column 'path'"),
    ],
)
def test_first_errors(tool, tmp_path: Path, arguments, status, message) -> None:  # type: ignore[no-untyped-def]
    (tmp_path / "untested" / "checkpoints").mkdir(parents=True)
    (tmp_path / "list.txt").write_text("a.mp4 run\n")
    places = {"untested": tmp_path / "untested", "list": tmp_path / "list.txt"}
    places["a"] = write_test(tmp_path / "a", [True, False])
    places["other"] = write_test(tmp_path / "other", [True], paths=["elsewhere.mp4"])
    found, _, err = tool("compare", *(argument.format(**places) for argument in arguments))
    assert message in err
    assert found == status
    assert err.count("error:") == 1
