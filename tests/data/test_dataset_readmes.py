"""Each data set's README has its sections, and its commands are commands of these tools."""

import shlex
import sys
from pathlib import Path

import pytest

import tools.prepare
import tools.test
from tests.data.test_annotations import touch
from tests.data.test_annotations_official import charades, kinetics
from video_gc.config import compose_train
from video_gc.config_folders import SHIPPED

DATASETS = SHIPPED.parent / "datasets"
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
    return [
        shlex.split(line) for line in lines if line.startswith(("video-gc ", "python ", "cut "))
    ]


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
        program, tool, *options = command
        if program == "cut":
            continue
        seen.add(tool)
        if tool == "train":
            config = compose_train(options)
            assert config.data.root is not None
            if config.data.names and config.data.names.startswith("datasets/"):
                assert (SHIPPED.parent / config.data.names).is_file()
        elif tool == "test":
            assert_parses(monkeypatch, tools.test, options)
        elif tool == "prepare":
            monkeypatch.setattr(sys, "argv", ["prepare.py", *options])
            tools.prepare.parse()
        else:
            assert tool == "-c"
            compile(options[0], "README", "exec")
    assert {"train", "test"} <= seen


def put(file: Path, text: str) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)


def small_copy(name: str, root: Path) -> None:
    """A few files of a data set, in the layout that its README describes."""
    if name.startswith("kinetics"):
        kinetics(root)
        touch(root, "train/x/0123456789a_000000_000010.mp4", "val/0123456789a_000090_000100.mp4")
    elif name == "ucf101":
        put(root / "annotations/classInd.txt", "1 Archery\n")
        for part in ("train", "test"):
            put(root / f"annotations/{part}list01.txt", f"Archery/v_Archery_{part}.avi 1\n")
            touch(root, f"Archery/v_Archery_{part}.avi")
    elif name == "hmdb51":
        put(root / "annotations/wave_test_split1.txt", "a_wave_1.avi 1\nb_wave_2.avi 2\n")
        touch(root, "wave/a_wave_1.avi", "wave/b_wave_2.avi")
    elif name == "something_something_v2":
        put(root / "annotations/labels.json", '{"Holding something": "0"}')
        for number, part in enumerate(("train", "validation")):
            entry = f'[{{"id": "{number}", "template": "Holding [something]"}}]'
            put(root / f"annotations/{part}.json", entry)
            touch(root, f"20bn-something-something-v2/{number}.webm")
    elif name == "charades":
        root.mkdir(parents=True)
        charades(root)
    elif name == "diving48":
        for part in ("train", "test"):
            put(root / f"{part}.txt", f"{part}.mp4 7\n")
            touch(root, f"rgb/{part}.mp4")
    elif name == "jester":
        for part in ("train", "validation"):
            put(root / f"jester-v1-{part}.csv", "34870;Swiping Left\n")
        touch(root, "20bn-jester-v1/34870/00001.jpg")
    else:
        touch(root, "train/yawning/a.mp4", "val/yawning/b.mp4")


@pytest.mark.parametrize("name", sorted(WANTED))
def test_the_check_finds_every_split(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (checked,) = [command[2:] for command in commands(name) if command[2] == "check"]
    (tmp_path / "datasets").symlink_to(DATASETS)
    small_copy(name, tmp_path / "data" / name)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["prepare.py", *checked])
    listed, root, *_ = tools.prepare.sources(tools.prepare.parse())
    splits = {video.split for video in listed}
    assert splits == {"train", "test" if name == "diving48" else "val"}
    assert {video.split for video in listed if video.label} == splits
    assert root.is_relative_to(Path("data") / name)
    assert all(video.path.exists() for video in listed if video.label)
    if name == "diving48":  # as data.names gives them, so that fingerprints agree
        assert {video.label for video in listed} == {"Back+25som+NoTwis+PIKE"}


def test_the_conversion_of_diving48(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (code, *_), *_ = [c[2:] for c in commands("diving48") if c[1] == "-c"]
    (tmp_path / "list.json").write_text('[{"vid_name": "a_00001", "label": 7, "end_frame": 9}]')
    code = code.replace("data/diving48/Diving48_V2_train.json", str(tmp_path / "list.json"))
    exec(compile(code, "README", "exec"))
    assert capsys.readouterr().out == "a_00001.mp4 7\n"


def assert_parses(monkeypatch: pytest.MonkeyPatch, tool: object, options: list[str]) -> None:
    given = {}
    monkeypatch.setattr(sys, "argv", ["test.py", *options])
    evaluate = "video_gc.evaluate.evaluate.evaluate"
    monkeypatch.setattr(evaluate, lambda path, asked: given.update(asked=asked, path=path))
    monkeypatch.setattr(tool, "print_result", lambda _: None)
    monkeypatch.setattr(tool, "checkpoint_in", lambda path: path)
    tool.main()  # type: ignore[attr-defined]
    assert given["path"].name.endswith(".ckpt")
