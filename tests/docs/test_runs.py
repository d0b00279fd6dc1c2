"""The fences that are marked `runs` run, and the examples in docstrings."""

import doctest
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

import pytest

from tests.docs.fences import PAGES, ROOT, fences
from video_gc.backbones import BACKBONES
from video_gc.blocks import BLOCKS
from video_gc.data.generated.motions import generate_motions

SHELL = ("your_clips", "read_table", "damaged", "reproduce", "choose_block")
"""Pages with commands, in the order in which they are read: later ones use the runs of the first."""
PYTHON = [
    page for page in PAGES if page.stem not in SHELL and any(fence.runs for fence in fences(page))
]
EXAMPLES = sorted(
    path for path in (ROOT / "video_gc").rglob("*.py") if ">>> " in path.read_text("utf-8")
)


def test_marked_fences_are_python_or_shell() -> None:
    marked = {page.stem: {f.language for f in fences(page) if f.runs} for page in PAGES}
    assert {name for name, languages in marked.items() if "sh" in languages} == set(SHELL)
    assert set().union(*marked.values()) == {"sh", "python"}


def test_walks_are_short() -> None:
    walks = {page.stem: len(page.read_text("utf-8").splitlines()) for page in PAGES}
    own = {name: lines for name, lines in walks.items() if name.startswith("own_")}
    assert own.keys() >= {"own_backbone", "own_decoder", "own_data_set"}
    assert max(own.values()) < 60, own


@pytest.fixture
def _same_names() -> Iterator[None]:
    """What a page adds is removed again."""
    before = [(names, dict(names)) for names in (BACKBONES, BLOCKS)]
    yield
    for names, known in before:
        names.clear()
        names.update(known)


@pytest.mark.usefixtures("_same_names")
@pytest.mark.parametrize("page", PYTHON, ids=lambda page: page.stem)
def test_python_fences(
    page: Path, video: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "video.mp4").symlink_to(video)
    known: dict[str, object] = {"__name__": page.stem}
    for fence in fences(page):
        if fence.runs:
            exec(compile(fence.text, str(page), "exec"), known)


@pytest.mark.parametrize("file", EXAMPLES, ids=lambda file: file.stem)
def test_examples_in_docstrings(file: Path) -> None:
    module = import_module(".".join(file.relative_to(ROOT).with_suffix("").parts))
    assert doctest.testmod(module).failed == 0


def test_there_are_examples() -> None:
    assert {file.stem for file in EXAMPLES} >= {"attention_pool", "context", "crops"}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with `clips`, and the command `video-gc`."""
    place = tmp_path_factory.mktemp("reader")
    motions = generate_motions(place, "alike", clips_per_class={"train": 10})
    (motions / "train").rename(place / "clips")
    (place / "bin").mkdir()
    command = place / "bin" / "video-gc"
    command.write_text(f'#!/bin/sh\nexec {sys.executable} -m video_gc "$@"\n')
    command.chmod(0o755)
    return place


@pytest.mark.slow  # trainings
def test_pages_with_commands(folder: Path) -> None:
    path = f"{folder / 'bin'}:{Path(sys.executable).parent}:{os.environ['PATH']}"
    environment = os.environ | {"PATH": path, "PYTHONPATH": str(ROOT)}
    for name in SHELL:
        for fence in fences(ROOT / "docs" / f"{name}.md"):
            if not fence.runs:
                continue
            program = ["bash", "-euc"] if fence.language == "sh" else [sys.executable, "-c"]
            done = subprocess.run(
                [*program, fence.text], cwd=folder, env=environment, text=True,
                stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=1800,
            )  # fmt: skip
            assert done.returncode == 0, f"{name}: {fence.text}\n{done.stdout}"
            assert not re.search(r"^error:", done.stdout.replace("error: 1 of", ""), re.M)
    assert (folder / "table" / "table.md").is_file()
