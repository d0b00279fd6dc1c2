"""The import directions of the house, read from the code."""

import ast
import sys
from functools import cache
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "video_gc"
FILES = sorted(PACKAGE.rglob("*.py"))

BEFORE = {
    "blocks": set(),
    "backbones": set(),
    "models": {"blocks", "backbones"},
    "deploy": {"models"},
    "decode": set(),
    "data": {"decode"},
    "train": {"deploy", "data"},
    "evaluate": {"train"},
    "predict": {"evaluate"},
    "ablate": {"predict"},
    "analysis": {"ablate"},
    "serve": {"analysis"},
    "scale": {"predict"},
    "config": {"ablate", "manual"},
    "manual": set(),
    "cli": {"data"},
    "__init__": {"predict"},
    "escape": set(),
    "pictures": {"escape"},
    "subprocess_call": {"cores"},
    "progress": {"escape"},
    "atomic": set(),
    "locks": set(),
    "outputs": {"atomic", "escape"},
    "extras": set(),
    "cores": set(),
    "shipped": set(),
    "config_folders": {"shipped"},
    "__main__": {"cli"},
}  # the rooms that stand directly before each; what those may import, it may import too
LEAVES = {
    "escape",
    "pictures",
    "progress",
    "atomic",
    "locks",
    "outputs",
    "subprocess_call",
    "extras",
    "cores",
    "shipped",
    "config_folders",
}  # every room but blocks and backbones may
ONE_ROOM = {
    "lightning_fabric": {"train"},
    "pytorchvideo": {"backbones"},
    "av": {"decode"},
    "decord": {"decode"},
    "torchcodec": {"decode"},
    "hydra": {"config"},
    "omegaconf": {"config"},
    "nncf": {"deploy"},
    "onnxruntime": {"deploy"},
    "openvino": {"deploy"},
    "fvcore": {"train"},
    "fsspec": {"data", "scale"},
    "sklearn": {"analysis"},
    "fastapi": {"serve"},
    "gradio": {"serve"},
    "httpx2": {"serve"},
    "prometheus_client": {"serve"},
    "starlette": {"serve"},
    "uvicorn": {"serve"},
}
LONGER = {"train/loop.py": 400}  # one file that reads from top to bottom
ALONE = {
    "blocks": {"torch"},
    "decode": {"av", "numpy", "decord", "torch", "torchcodec"},
}  # outside libraries, and no others


@cache
def imports(file: Path) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{file}: relative import"
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
    return found


def allowed(own: str) -> set[str]:
    below = set().union(*(allowed(before) | {before} for before in BEFORE[own]))
    return below if own in {"blocks", "backbones"} | LEAVES else below | LEAVES


def room(file: Path) -> str:
    return file.relative_to(PACKAGE).parts[0].removesuffix(".py")


@pytest.mark.parametrize("file", FILES, ids=lambda f: str(f.relative_to(PACKAGE)))
def test_arrows_run_one_way(file: Path) -> None:
    own = room(file)
    for name in imports(file):
        parts = name.split(".")
        if parts[0] == "video_gc" and len(parts) > 1 and parts[1] != own:
            assert parts[1] in allowed(own), f"{own} must not import {name}"
        if parts[0] in ONE_ROOM:
            assert own in ONE_ROOM[parts[0]], f"{own} must not import {name}"


@pytest.mark.parametrize("own", ALONE)
def test_rooms_that_can_be_lifted_out(own: str) -> None:
    outside = {
        name.split(".")[0] for file in (PACKAGE / own).rglob("*.py") for name in imports(file)
    }
    assert outside - set(sys.stdlib_module_names) - {"video_gc"} == ALONE[own]


def test_every_room_has_its_rule() -> None:
    assert {room(file) for file in FILES} == set(BEFORE)


def test_files_stay_small() -> None:
    lines = {str(f.relative_to(PACKAGE)): len(f.read_text().splitlines()) for f in FILES}
    long = {name: n for name, n in lines.items() if n > LONGER.get(name, 300)}
    assert not long


def test_no_file_imports_itself_through_others() -> None:
    names = {
        ".".join(file.relative_to(PACKAGE.parent).with_suffix("").parts).removesuffix(".__init__")
        for file in FILES
    }
    graph = {}
    for file in FILES:
        name = ".".join(file.relative_to(PACKAGE.parent).with_suffix("").parts)
        found = {n if n in names else n.rpartition(".")[0] for n in imports(file)}
        graph[name.removesuffix(".__init__")] = found & names
    TopologicalSorter(graph).prepare()


def test_folders_stay_small() -> None:
    tools = PACKAGE.parent / "tools"  # itself has a file for each command
    folders = {f.parent for f in (*FILES, *tools.rglob("*.py"))} - {tools}
    assert not {d.name: n for d in folders if (n := len(list(d.glob("*.py")))) > 14}


PARAMETERS = {"blocks/non_local.py: __init__": 9}  # options that users set by name


def test_functions_take_few_parameters() -> None:
    many = {}
    for file in FILES:
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.FunctionDef):
                given = node.args.posonlyargs + node.args.args + node.args.kwonlyargs
                number = len([a for a in given if a.arg not in ("self", "cls")])
                if number > 8:
                    many[f"{file.relative_to(PACKAGE)}: {node.name}"] = number
    assert many == PARAMETERS


def test_no_private_name_of_another_library_is_imported() -> None:
    private = {
        f"{file.relative_to(PACKAGE)}: {name}"
        for file in FILES
        for name in imports(file)
        if name.split(".")[0] not in {"video_gc", *sys.stdlib_module_names}
        and any(part.startswith("_") for part in name.split("."))
    }
    assert not private
