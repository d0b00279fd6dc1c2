import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from video_gc.analysis.attention import distances
from video_gc.analysis.attention.distances import cosine_distances, jensen_shannon


@settings(max_examples=15)
@given(count=st.integers(1, 5), keys=st.integers(1, 6), seed=st.integers(0, 99))
def test_equal_the_definitions_pair_by_pair(count: int, keys: int, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    maps = torch.randn(count, keys, generator=generator).mul(3).softmax(1).double()
    maps = maps / maps.sum(1, keepdim=True)
    cosine, js = cosine_distances(maps - 0.2), jensen_shannon(maps)
    for i, p in enumerate(maps.tolist()):
        for j, q in enumerate(maps.tolist()):
            u, v = [a - 0.2 for a in p], [b - 0.2 for b in q]
            dot = sum(a * b for a, b in zip(u, v, strict=True))
            assert cosine[i, j] == pytest.approx(1 - dot / math.hypot(*u) / math.hypot(*v))
            terms = [
                a * math.log(2 * a / (a + b)) + b * math.log(2 * b / (a + b))
                for a, b in zip(p, q, strict=True)
            ]
            assert js[i, j] == pytest.approx(sum(terms) / 2, abs=1e-12)


def test_a_zero_vector_is_like_another_one_and_unlike_all_else() -> None:
    found = cosine_distances(torch.tensor([[0.0, 0.0], [0.0, 0.0], [1.0, 0.0]]))
    assert found.tolist() == [[0, 0, 1], [0, 0, 1], [1, 1, 0]]


def test_maps_without_a_common_key_are_log_2_apart() -> None:
    assert jensen_shannon(torch.eye(3))[0, 2] == pytest.approx(math.log(2))


def test_rounding_of_a_narrow_softmax_is_no_divergence() -> None:
    maps = torch.randn(4, 50).softmax(1).bfloat16()
    assert jensen_shannon(maps[:1].expand(3, -1)).max() < 1e-14
    assert (jensen_shannon(maps) >= 0).all()


def test_parts_give_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    maps = torch.randn(7, 5).softmax(1)
    whole = jensen_shannon(maps)
    monkeypatch.setattr(distances, "CELLS_AT_ONCE", 10)
    assert torch.equal(jensen_shannon(maps), whole)
