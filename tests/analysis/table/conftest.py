"""The networks of made-up runs are few: each is counted once."""

import pytest
from torch import nn

from video_gc.analysis.table import costs
from video_gc.models.counts import Complexity, complexity

KNOWN: dict[tuple[str, tuple[int, int, int]], Complexity] = {}


def counted_once(network: nn.Module, clip: tuple[int, int, int]) -> Complexity:
    key = str(network), clip
    if key not in KNOWN:
        KNOWN[key] = complexity(network, clip)
    return KNOWN[key]


@pytest.fixture(scope="package", autouse=True)
def networks_are_counted_once():  # type: ignore[no-untyped-def]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(costs, "complexity", counted_once)
        yield
