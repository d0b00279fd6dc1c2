"""The drawings of the blocks are those of their descriptions, and each kind has one."""

import xml.etree.ElementTree as ElementTree
from importlib.util import module_from_spec, spec_from_file_location
from types import ModuleType

import pytest

from tests.docs.fences import ROOT
from video_gc.blocks import BLOCKS


@pytest.fixture(scope="module")
def draw() -> ModuleType:
    spec = spec_from_file_location("draw", ROOT / "docs" / "draw.py")
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_each_kind_has_a_drawing(draw: ModuleType) -> None:
    page = (ROOT / "docs" / "blocks.md").read_text("utf-8")
    assert set(draw.BLOCKS) == set(BLOCKS)
    for kind in BLOCKS:
        text = draw.draw(kind)
        assert text == (draw.FOLDER / f"{kind}.svg").read_text("utf-8"), "run python docs/draw.py"
        assert ElementTree.fromstring(text).tag.endswith("svg")
        assert f"(drawings/{kind}.svg)" in page
