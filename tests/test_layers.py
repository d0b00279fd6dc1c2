"""The import directions of the house, read from the code."""

import ast
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "video_gc"
FILES = sorted(PACKAGE.rglob("*.py"))

BELOW = {
    "blocks": set(),
    "backbones": set(),
    "models": {"blocks", "backbones"},
    "decode": set(),
    "data": {"decode"},
    "engine": {"models", "data", "decode", "blocks", "backbones"},
    "inference": {"engine", "models", "data", "decode", "blocks", "backbones"},
    "analysis": {"inference", "engine", "models", "data", "decode", "blocks", "backbones"},
    "escape": set(),
    "progress": {"escape"},
    "atomic": set(),
    "outputs": {"atomic", "escape"},
    "config": {"engine", "manual"},
    "manual": set(),
    "cli": {"data", "decode", "progress"},
    "__init__": {"inference"},
}
LEAVES = {"progress": {"models", "data", "engine", "inference", "analysis"},
          "atomic": {"decode", "data", "engine", "inference", "analysis"},
          "escape": {"data", "engine", "inference", "analysis"},
          "outputs": {"data", "engine", "inference", "analysis"}}  # fmt: skip
ONE_ROOM = {
    "pytorch_lightning": {"engine"},
    "pytorchvideo": {"backbones"},
    "av": {"decode"},
    "decord": {"decode"},
    "torchcodec": {"decode"},
    "hydra": {"config"},
    "omegaconf": {"config"},
    "openvino": {"models"},
    "fvcore": {"engine"},
}
ALONE = {
    "blocks": {"torch"},
    "decode": {"av", "numpy", "decord", "torch", "torchcodec"},
}  # outside libraries, and no others


def imports(file: Path) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{file}: relative import"
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
    return found


def room(file: Path) -> str:
    return file.relative_to(PACKAGE).parts[0].removesuffix(".py")


@pytest.mark.parametrize("file", FILES, ids=lambda f: str(f.relative_to(PACKAGE)))
def test_arrows_run_one_way(file: Path) -> None:
    own = room(file)
    for name in imports(file):
        parts = name.split(".")
        if parts[0] == "video_gc" and len(parts) > 1 and own in BELOW and parts[1] != own:
            allowed = BELOW[own] | {leaf for leaf, users in LEAVES.items() if own in users}
            assert parts[1] in allowed, f"{own} must not import {name}"
        if parts[0] in ONE_ROOM:
            assert own in ONE_ROOM[parts[0]], f"{own} must not import {name}"


@pytest.mark.parametrize("own", ALONE)
def test_rooms_that_can_be_lifted_out(own: str) -> None:
    import sys

    outside = {
        name.split(".")[0] for file in (PACKAGE / own).rglob("*.py") for name in imports(file)
    }
    assert outside - set(sys.stdlib_module_names) - {"video_gc"} == ALONE[own]


def test_every_room_has_its_rule() -> None:
    assert {room(file) for file in FILES} == set(BELOW)


def test_files_stay_small() -> None:
    long = {f.name: n for f in FILES if (n := len(f.read_text().splitlines())) > 300}
    assert not long
