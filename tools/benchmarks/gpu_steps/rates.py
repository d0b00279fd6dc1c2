"""What the device can do at best: products and copies, which other figures are shares of."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from statistics import median

import torch
from torch import Tensor

from video_gc.analysis.cost.latency import Clock

PRECISIONS = {"fp32": torch.float32, "tf32": torch.float32, "bf16": torch.bfloat16}
"""Of the products; tf32 rounds fp32's factors to 10 bits, on a GPU alone."""
ROUNDS = 10


@contextmanager
def tf32(allowed: bool) -> Iterator[None]:
    """Allow or forbid TF32 in matrix products and convolutions."""
    matmul, cudnn = torch.backends.cuda.matmul, torch.backends.cudnn
    before = matmul.allow_tf32, cudnn.allow_tf32
    matmul.allow_tf32 = cudnn.allow_tf32 = allowed
    try:
        yield
    finally:
        matmul.allow_tf32, cudnn.allow_tf32 = before


def seconds_of(call: Callable[[], object], device: torch.device, rounds: int = ROUNDS) -> float:
    """The median of some calls after two that are not measured."""
    clock = Clock(device)
    for _ in range(2):
        call()
    return median(clock.seconds(call) for _ in range(rounds))


def product_rates(device: torch.device) -> dict[str, float]:
    """FLOPs per second of a large matrix product of random numbers, by precision."""
    side = 8192 if device.type == "cuda" else 1024
    rates = {}
    for name, dtype in PRECISIONS.items():
        if name == "tf32" and device.type != "cuda":
            continue
        one, two = (torch.randn(side, side, device=device).to(dtype) for _ in range(2))

        def product(one: Tensor = one, two: Tensor = two) -> Tensor:
            return one @ two

        with tf32(name == "tf32"):
            rates[name] = 2 * side**3 / seconds_of(product, device)
    return rates


def copy_rate(device: torch.device) -> float:
    """Bytes read and written per second by a copy that no cache holds."""
    size = 64 << 20
    if device.type == "cuda":
        size = min(4 << 30, torch.cuda.mem_get_info(device)[0] // 8)
    count = size // 4
    source = torch.randn(count, device=device)
    there = torch.empty_like(source)
    return 2 * 4 * count / seconds_of(lambda: there.copy_(source), device)
