"""How rounds and turns go; no test asserts a time."""

import weakref
from functools import partial

import pytest
import torch

from video_gc.analysis.cost import latency
from video_gc.analysis.cost.latency import (
    Spread,
    Work,
    build_work,
    rounds,
    spread,
    time_interleaved,
)
from video_gc.data.sampling import ClipConfig
from video_gc.models.build import ModelConfig

CLIP = ClipConfig(frames=2, crop=48, short_side=[48, 48], test_crop=32, test_short_side=32)


def test_the_order_moves_on_and_one_network_is_held_at_a_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(latency, "TURN", 0)
    done: list[str] = []
    built: list[weakref.ref[torch.nn.Module]] = []

    def build(name: str) -> Work:
        assert not any(network() for network in built)
        network = torch.nn.Identity()
        built.append(weakref.ref(network))
        return Work(network, torch.zeros(1), lambda: done.append(name))

    make = {name: partial(build, name) for name in "abc"}
    found = time_interleaved(make, torch.device("cpu"), range(4))
    once = "".join(done[::2])
    assert done == [name for name in once for _ in range(2)]  # one warms up, one counts
    assert once == "abc" + "bca" + "cab" + "abc"
    assert {name: len(seconds) for name, seconds in found.items()} == dict.fromkeys("abc", 4)


def test_what_is_slow_gets_fewer_rounds(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]
    monkeypatch.setattr(latency.time, "perf_counter", lambda: now[0])

    def count(a_round: float, seconds: float, kinds: int = 1) -> int:
        numbers = []
        for number in rounds(seconds, kinds):
            numbers.append(number)
            now[0] += a_round
        return len(numbers)

    assert count(0.1, seconds=1) == pytest.approx(11, abs=1)
    assert count(0.1, seconds=1, kinds=3) == pytest.approx(31, abs=1)
    assert count(0.0, seconds=1) == latency.MOST
    assert count(5, seconds=1) == latency.LEAST
    assert count(20, seconds=1) == 2
    assert count(20, seconds=1, kinds=3) == latency.LEAST


def test_the_spread_of_rounds() -> None:
    assert spread([5.0, 1.0, 2.0, 3.0, 4.0]) == Spread(3, 2, 4, 5)
    assert spread([7.0]) == Spread(7, 7, 7, 1)


def test_a_training_trains_and_a_test_does_not() -> None:
    model = ModelConfig(backbone="slow", width=0.125, num_classes=3)
    for train, side in ((False, 32), (True, 48)):
        work = build_work(model, CLIP, batch=2, device=torch.device("cpu"), train=train)
        assert work.clips.shape == (2, 3, 2, side, side)
        assert work.clips.is_contiguous(memory_format=torch.channels_last_3d)
        weight = next(work.network.parameters())
        before = weight.detach().clone()
        work.call()
        assert torch.equal(weight, before) != train
        assert all((p.grad is not None) == train for p in work.network.parameters())
