"""What stands in a picture: maps of blocks whose answer is known."""

import pytest
import torch

from tests.conftest import randomise
from video_gc.analysis.attention.maps import attention_maps, query_maps
from video_gc.analysis.attention.panels import block_panels, drawn_blocks
from video_gc.analysis.attention.queries import grid
from video_gc.blocks import NonLocal
from video_gc.data.index import DataError
from video_gc.models.build import ModelConfig, build_model
from video_gc.models.context import ContextConfig, context_blocks

CLIP = torch.randn(1, 3, 4, 64, 64, generator=torch.Generator().manual_seed(1))
QUERIES = [(0.1, 0.2, 0.7), (0.9, 0.6, 0.1)]


def network(kind: str, **options: object) -> torch.nn.Module:
    torch.manual_seed(0)
    config = ContextConfig(kind=kind, after=["res3.1", "res4.3"], options=options)
    model = build_model(ModelConfig(backbone="slow", width=0.125, num_classes=3, context=config))
    for block in context_blocks(model).values():
        randomise(block)
    return model.eval()


def test_attention_without_a_query_is_drawn_as_uniform() -> None:
    model = network("nl")
    for block in context_blocks(model).values():
        assert isinstance(block, NonLocal)
        torch.nn.init.zeros_(block.query.weight)
        torch.nn.init.zeros_(block.query.bias)
    for panel in block_panels(model, CLIP, ["res3.1", "res4.3"], QUERIES):
        assert len(panel.maps) == 3
        assert panel.peak == 2  # in the middle of the colours
        for one in panel.maps:
            assert torch.allclose(one, torch.ones_like(one), atol=1e-5)


@pytest.mark.parametrize(
    ("kind", "options"),
    [("nl", {}), ("dnl", {}), ("cc", {}), ("nl", {"span": "space"}), ("nl", {"span": "time"})],
)
def test_the_mean_map_is_the_mean_over_all_queries(kind: str, options: dict[str, str]) -> None:
    """res4 has 4×4×4 positions, so the grid of the mean holds each of them."""
    model = network(kind, **options)
    (panel,) = block_panels(model, CLIP, ["res4.3"], QUERIES)
    centres = grid(4, 4, [0.125, 0.375, 0.625, 0.875])
    every = query_maps(model, CLIP, centres)["res4.3"][0]
    torch.testing.assert_close(panel.maps[0], every.mean(0) * 64, rtol=1e-4, atol=1e-5)
    assert float(panel.maps[0].mean()) == pytest.approx(1, abs=1e-4)
    reach = {"cc": 10, "space": 16, "time": 4}.get(str(options.get("span", kind)), 64)
    assert float(panel.maps[1].sum()) == pytest.approx(reach, rel=1e-4)


def test_a_shared_map_has_one_row() -> None:
    model = network("gc")
    (panel,) = block_panels(model, CLIP, ["res4.3"], QUERIES)
    torch.testing.assert_close(panel.maps[0], attention_maps(model, CLIP)["res4.3"][0] * 64)
    assert len(panel.maps) == 1


def test_networks_without_attention_are_an_error() -> None:
    with pytest.raises(DataError, match="no context blocks"):
        drawn_blocks(build_model(ModelConfig(backbone="slow", width=0.125, num_classes=3)))
    with pytest.raises(DataError, match=r"\(se\) have no attention weights"):
        drawn_blocks(network("se"))
    assert drawn_blocks(network("cc"), ["res4.*"]) == ["res4.3"]
    with pytest.raises(ValueError, match=r"--blocks \(res9.1\): there are maps of res3.1, res4.3"):
        drawn_blocks(network("cc"), ["res9.1"])
