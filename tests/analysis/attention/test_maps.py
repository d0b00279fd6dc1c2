import itertools

import pytest
import torch

from tests.analysis.attention.networks import alone, features
from tests.blocks.variants import CLIP_VARIANTS
from tests.conftest import randomise
from video_gc.analysis.attention.maps import query_maps
from video_gc.blocks import build_block

QUERIES = [(0.0, 0.0, 0.0), (0.7, 0.4, 0.99)]
INDICES = [(0, 0, 0), (2, 1, 3)]  # of 4×4×4 positions


@torch.no_grad()
@pytest.mark.parametrize(
    "name", [n for n in CLIP_VARIANTS if n.startswith(("nl embedded", "nl dot"))]
)
def test_a_map_over_the_keys_gives_what_the_block_adds(name: str) -> None:
    kind, options = CLIP_VARIANTS[name]
    block = randomise(build_block(kind, 8, norm=False, **options))
    network, x = alone(block), features(2, 8, 4, 4, 4)
    maps = query_maps(network, x, QUERIES)["res2.0"]
    _, _, value = block.grouped(x)
    if block.span == "time":
        value = value.transpose(1, 2)
    value = value.flatten(1, 2)  # (N, keys, d)
    added = block.out(maps.flatten(2) @ value)
    wanted = (block(x) - x)[(slice(None), slice(None), *zip(*INDICES, strict=True))]
    torch.testing.assert_close(added.transpose(1, 2), wanted)


@torch.no_grad()
def test_a_disentangled_map_is_the_mean_of_its_terms() -> None:
    block = randomise(build_block("dnl", 8))
    network, x = alone(block), features(2, 8, 4, 4, 4)
    maps = query_maps(network, x, QUERIES)["res2.0"].flatten(2)
    torch.testing.assert_close(maps.sum(2), torch.ones(2, 2).double())
    value = block.value(x.flatten(2).transpose(1, 2))
    added = block.norm(block.out(2 * maps @ value).transpose(1, 2).unsqueeze(2)).squeeze(2)
    wanted = (block(x) - x)[(slice(None), slice(None), *zip(*INDICES, strict=True))]
    torch.testing.assert_close(added, wanted)


@torch.no_grad()
def test_criss_cross_maps_lie_on_the_lines_of_the_query() -> None:
    block = randomise(build_block("cc", 8, recurrences=1))
    network, x = alone(block), features(1, 8, 4, 4, 4)
    maps = query_maps(network, x, QUERIES)["res2.0"][0]
    for query, found in zip(INDICES, maps, strict=True):
        for key in itertools.product(range(4), repeat=3):
            on_line = sum(a != b for a, b in zip(query, key, strict=True)) <= 1
            assert (found[key] > 0) == on_line
    value = block.value(x.flatten(2).transpose(1, 2))[0]
    added = block.norms[0](block.out(maps.flatten(1) @ value)[:, :, None, None])[..., 0, 0]
    wanted = (block(x) - x)[0][(slice(None), *zip(*INDICES, strict=True))]
    torch.testing.assert_close(added.t(), wanted)


@pytest.mark.parametrize("query", [(0.0, 1.0, 0.0), (-0.1, 0.0, 0.0), (0.5, 0.5)])
def test_a_query_outside_is_an_error(query: tuple[float, ...]) -> None:
    with pytest.raises(ValueError, match="three fractions"):
        query_maps(alone(build_block("nl", 8)), features(1, 8, 2, 2, 2), [query])
