"""One hostile name through every tool: no output holds more of it than its text."""

import csv
import json
import os
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.conftest import SMALL, counted_frames
from video_gc.decode.write import write_video

NAMES = (
    "=cmd|'x'!A0 \x1b]0;owned\x07\x1b[31m[red]$\\frac{a}{b$<img src=x onerror=alert(1)>\u202e",
    "@SUM(A1) `x` | [a](b) _#%&~^{\\end{tabular}\r\n\x9b2J",
)
HIDDEN = ("\x1b", "\x07", "\x9b", "\u202e")


@pytest.fixture(scope="module")
def hostile(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two classes and six files each that are called so."""
    root = tmp_path_factory.mktemp("hostile") / "clips"
    for number, name in enumerate(NAMES):
        (root / name).mkdir(parents=True)
        for copy in range(6):
            frames = counted_frames(12, seed=copy) // (1 + 2 * number)
            write_video(root / name / f"{name}{copy}.mp4", frames.astype(np.uint8))
    (root / NAMES[0] / f"{NAMES[0]}bad.mp4").write_bytes(b"no video")
    return root


def check_outputs(folder: Path) -> int:
    """How many files were looked at."""
    count = 0
    for file in folder.rglob("*"):
        if not file.is_file() or file.suffix in (".mp4", ".ckpt", ".arrow", ".parquet"):
            continue
        count += 1
        if file.suffix in (".png", ".gif", ".webp"):
            Image.open(file).verify()
        if file.suffix not in (".csv", ".html", ".json", ".md", ".tex", ".svg", ".txt", ".yaml"):
            continue
        text = file.read_text(encoding="utf-8")
        markup = file.suffix in (".html", ".svg", ".md")
        found = [sign for sign in HIDDEN if sign in text]
        found += re.findall(r"(?<!\\)<img src=x", text) if markup else []
        assert not found, (file.name, found)
        if file.suffix == ".csv":
            for row in csv.reader(text.splitlines()):
                formulas = [cell for cell in row if re.match(r"[=@\t\r]|[+-](?![\d.]+$)", cell)]
                assert not formulas, file.name
        if file.suffix == ".json":
            json.loads(text)
    return count


@pytest.mark.slow
def test_every_tool(tool, hostile: Path, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    small = [option for option in SMALL if not option.startswith(("epochs", "test."))]
    run = tmp_path / NAMES[0].replace("\\", "")  # a name of one folder everywhere
    twin = run.with_name(f"{run.name} 2")
    train = [f"data.root={hostile}", f"runs={tmp_path}", f"name={run.name}", "epochs=1"]
    video = next((hostile / NAMES[1]).iterdir())
    calls: list[tuple[object, ...]] = [
        ("train", *small, *train, "test.clips=1", "test.crops=1"),
        ("test", run, "--workers", 0),
        ("test", run, "--workers", 0, "--data", hostile, "--out", tmp_path / "a"),
        ("test", run, "--workers", 0, "--data", hostile, "--out", tmp_path / "b", "--clips", 2),
        ("predict", run, hostile, "--out", tmp_path / "predicted"),
        ("predict", run, hostile, "--json", "--out", tmp_path / "json"),
        ("compare", tmp_path / "a", tmp_path / "b", "--out", tmp_path / "compared"),
        ("report", run),
        ("report", run, twin, "--out", tmp_path / "table"),
        ("attention", run, video, "--out", tmp_path / "attention"),
        ("prepare", "check", hostile),
        ("prepare", "resize", hostile, tmp_path / "resized"),
        ("augment", hostile, "--out", tmp_path / "augmented.gif"),
    ]
    for name, *arguments in calls:
        if twin in arguments:
            shutil.copytree(run, twin)
        status, out, err = tool(name, *arguments)
        assert status in (0, 1), (name, arguments, err[-600:])
        said = out + err
        near = [said[max(said.find(s) - 300, 0) : said.find(s) + 50] for s in HIDDEN if s in said]
        assert not near, (name, near)
        if name == "predict" and "--json" in arguments:
            assert len(json.loads(out)) == 12  # the damaged one is said
    assert check_outputs(tmp_path) > 20
    assert check_outputs(hostile) >= 1
    assert all(os.path.commonpath([file, tmp_path]) for file in tmp_path.rglob("*"))
