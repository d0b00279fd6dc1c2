"""tools/score.py as the docs run it: shares as processes, a merge, and what is said."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pyarrow.parquet
import pytest

from tests.tools.conftest import TOOLS
from video_gc import Recognizer


@pytest.fixture
def listed(clips_folder: Path, damaged: dict[str, Path], tmp_path: Path) -> Path:
    file = tmp_path / "list.csv"
    videos = [*sorted(clips_folder.glob("*/*.mp4")), damaged["text"]]
    file.write_text("\n".join(["path", *map(str, videos)]))
    return file


@pytest.mark.slow
def test_it_scores_and_merges(tool, checkpoint: Path, listed: Path, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    out = tmp_path / "out"
    arguments = ("--out", out, "--part-size", "5", "--decoders", "1", "--device", "cpu")
    status, text, err = tool("score", checkpoint, listed, *arguments, "--shard", "0/2")
    assert (status, text) == (0, "")
    assert "clips of 4×2 frames at 30 Hz as in training, 0.20 s; 13 videos are listed" in err
    assert f"7 ok, 1 error; the rows are in {out}" in err
    status, _, err = tool("score", "--merge", out)
    assert status == 1
    assert "8 of 13 videos: 7 ok, 1 error" in err
    assert "5 videos are missing: run the commands again" in err
    status, _, err = tool("score", checkpoint, listed, *arguments, "--what", "segments")
    assert status == 2
    assert "made with another options; give another --out" in err
    assert tool("score", checkpoint, listed, *arguments)[0] == 0
    status, _, err = tool("score", "--merge", out)
    assert status == 0
    assert "13 of 13 videos: 12 ok, 1 error" in err
    assert "1 videos have errors; --retry makes them again" in err


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "give a checkpoint and a list of videos, or --merge DIR; --help has examples"),
        (["slow_r50", "list", "--shard", "2/2"], "--shard (2/2) must be 0/N … N-1/N, such as 0/4"),
        (["slow_r50", "list", "--shard", "1"], "--shard (1) must be 0/N"),
        (
            ["slow_r50", "x", "--engine", "ray", "--shard", "0/2"],
            "--shard is of the engine processes",
        ),
        (["slow_r50", "x", "--actors", "2"], "--address and --actors need --engine ray"),
        (["slow_r50", "none.txt"], "none.txt: no such file or folder"),
        (["--merge", "none"], "none: no rows of video-gc score"),
    ],
)
def test_wrong_arguments_are_said_in_a_line(tool, arguments: list[str], said: str) -> None:  # type: ignore[no-untyped-def]
    status, _, err = tool("score", *arguments)
    assert status == 2
    assert said in err.splitlines()[-1]


DOCS = (TOOLS.parent / "docs" / "scale.md").read_text()


def of_docs(first: str, **names: Path) -> str:
    """The command of docs/scale.md that starts so, for this Python and these files."""
    (line,) = (line for line in DOCS.splitlines() if line.startswith(first))
    for name, value in names.items():
        line = re.sub(rf"\b{name}\b", str(value), line)
    return line.replace("runs/mine", str(names["CHECKPOINT"])).replace(
        "video-gc ", f"{sys.executable} -m video_gc "
    )


@pytest.mark.slow
@pytest.mark.parametrize("way", ["SLURM", "parallel"])
def test_the_commands_of_the_docs_of_which_one_is_killed(
    way: str, checkpoint: Path, clips_folder: Path, tmp_path: Path
) -> None:
    videos = sorted(map(str, clips_folder.glob("*/*.mp4"))) * 25
    (tmp_path / "list.txt").write_text("\n".join(videos))
    names = {"CHECKPOINT": checkpoint, "LIST": tmp_path / "list.txt", "DIR": tmp_path / "out"}
    array = of_docs("video-gc score runs/mine LIST --out DIR --shard $SLURM", **names)
    array = array.replace("/8", "/3")
    line = of_docs("parallel ", **names).removeprefix("parallel ")
    template, _, numbers = line.partition(" ::: ")
    shards = numbers.split() if way == "parallel" else list("012")

    def start(number: str) -> "subprocess.Popen[bytes]":
        task = {"SLURM_ARRAY_TASK_ID": number}
        command = template.replace("{}", number) if way == "parallel" else array
        return subprocess.Popen(
            f"exec {command} --part-size 10", shell=True, env=os.environ | task,
            cwd=TOOLS.parent, stderr=subprocess.DEVNULL,
        )  # fmt: skip

    started = [start(number) for number in shards]
    while not (tmp_path / "out" / "part-0000001.parquet").exists():  # the first of shard 1
        assert any(shard.poll() is None for shard in started)
    started[1].kill()
    assert [shard.wait() for shard in started] == [0, -9, *[0] * (len(shards) - 2)]
    merge = [sys.executable, TOOLS / "score.py", "--merge", tmp_path / "out"]
    assert subprocess.run(merge, capture_output=True).returncode == 1
    assert start(shards[1]).wait() == 0
    assert subprocess.run(merge, capture_output=True).returncode == 0
    summary = json.loads((tmp_path / "out" / "summary.json").read_text())
    assert (summary["rows"], summary["status"]) == (300, {"ok": 300})
    (machine,) = summary["machines"].values()
    assert machine["processes"] == len(shards) + 1
    tables = [pyarrow.parquet.read_table(f) for f in sorted(tmp_path.glob("out/part-*"))]
    rows = [row for table in tables for row in table.to_pylist()]
    assert [row["path"] for row in rows] == videos
    recognizer = Recognizer(checkpoint)
    for row in rows[:12]:
        assert row["scores"] == recognizer.predict(row["path"]).scores.tolist()
