"""Each data set's README has its sections, and its commands are commands of these tools."""

import shlex
import sys
from pathlib import Path

import pytest

import tools.prepare
import tools.test
from video_gc.config import CONFIGS, compose_train

DATASETS = CONFIGS.parent / "datasets"
DESCRIBED = sorted(path.parent.name for path in DATASETS.glob("*/README.md"))
SECTIONS = ("## Get it", "## Licence", "## Counts", "## Layout", "## Commands")
WANTED = {
    "kinetics400", "kinetics600", "kinetics700", "ucf101", "hmdb51", "something_something_v2",
    "charades", "moments_in_time", "diving48", "jester",
}  # fmt: skip


def commands(name: str) -> list[list[str]]:
    text = (DATASETS / name / "README.md").read_text()
    blocks = text.split("```")[1::2]
    lines = [line for block in blocks for line in block.splitlines()]
    return [shlex.split(line) for line in lines if line.startswith(("python ", "cut "))]


def test_every_data_set_is_described() -> None:
    assert set(DESCRIBED) >= WANTED
    for folder in DATASETS.iterdir():
        assert (folder / "README.md").is_file(), folder


@pytest.mark.parametrize("name", sorted(WANTED))
def test_sections(name: str) -> None:
    text = (DATASETS / name / "README.md").read_text()
    places = [text.index(f"\n{section}\n") for section in SECTIONS]
    assert places == sorted(places)
    assert max(map(len, text.splitlines())) <= 240


@pytest.mark.parametrize("name", sorted(WANTED))
def test_commands_are_understood(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = set()
    for command in commands(name):
        program, *arguments = command
        if program == "cut":
            continue
        tool, *options = arguments
        seen.add(tool)
        if tool == "tools/train.py":
            config = compose_train(options)
            assert config.data.root is not None
            if config.data.names and config.data.names.startswith("datasets/"):
                assert (CONFIGS.parent / config.data.names).is_file()
        elif tool == "tools/test.py":
            assert_parses(monkeypatch, tools.test, options)
        elif tool == "tools/prepare.py":
            monkeypatch.setattr(sys, "argv", ["prepare.py", *options])
            tools.prepare.parse()
        else:
            assert tool == "-c"
            compile(options[0], "README", "exec")
    assert {"tools/train.py", "tools/test.py"} <= seen


def test_the_conversion_of_diving48(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (code, *_), *_ = [c[2:] for c in commands("diving48") if c[1] == "-c"]
    (tmp_path / "list.json").write_text('[{"vid_name": "a_00001", "label": 7, "end_frame": 9}]')
    code = code.replace("data/diving48/Diving48_V2_train.json", str(tmp_path / "list.json"))
    exec(compile(code, "README", "exec"))
    assert capsys.readouterr().out == "a_00001.mp4 7\n"


def assert_parses(monkeypatch: pytest.MonkeyPatch, tool: object, options: list[str]) -> None:
    given = {}
    monkeypatch.setattr(sys, "argv", ["test.py", *options])
    monkeypatch.setattr(tool, "evaluate", lambda path, **rest: given.update(rest, path=path))
    monkeypatch.setattr(tool, "print_result", lambda _: None)
    tool.main()  # type: ignore[attr-defined]
    assert given["path"].name.endswith(".ckpt")
