"""The limits of `benchmark.py blocks`: attention against matrix products, GC against x + 1."""

import time
from collections.abc import Callable, Sequence
from statistics import median
from typing import Any

import torch
from torch import Tensor

from benchmarks.parts.block_kinds import BLOCKS
from benchmarks.parts.measurement import CPU, DTYPES, LAYOUTS, Target, in_new_process, product_rates
from video_gc.analysis.measure import interleave
from video_gc.deploy.inference_network import has_bf16
from video_gc.progress import say

YARDSTICK, PEER = "x.sum() and x + 1", "nl, pytorchvideo"
SIZE, SHAPE = "res3-32", (512, 32, 28, 28)
"""A feature map of 49 MiB, more than most caches hold, and its C, T, H, W."""
LEAST_RATE, MOST_MEMORY, MOST_TIME = 0.85, 0.1, 1.4


def targets(cases: Sequence[dict[str, Any]]) -> list[Target]:
    """Those for which `cases` have the blocks at `SIZE`; for a CPU. Two minutes."""
    at_size = [case for case in cases if case["size"] == SIZE]
    memory = {(c["block"], c["training"], c["layout"]): c.get("peak_mib") for c in at_size}
    blocks = {case["block"] for case in at_size}
    found: list[Target | None] = []
    if "nl" in blocks:
        for dtype in ("fp32", "bf16") if has_bf16(CPU) else ("fp32",):
            what = f"nl, {SIZE}, {dtype}: FLOPs per second, as a part of torch's matrix product"
            rates = in_new_process(attention_rate, dtype)
            found.append(_target(what, rates, LEAST_RATE, at_least=True))
    if {"nl", PEER} <= blocks:
        for training in (False, True):
            what = f"nl, {SIZE}, {'training' if training else 'forward'}: memory, as a part of "
            what += "pytorchvideo's layer; the larger part of both layouts"
            pairs = [(memory["nl", training, layout], memory[PEER, training, layout])
                     for layout in LAYOUTS]  # fmt: skip
            parts = [ours / peer for ours, peer in pairs if ours and peer]
            if len(parts) == len(pairs):
                found.append(_target(what, {"ratio": max(parts)}, MOST_MEMORY))
    if "gc" in blocks:
        for layout in LAYOUTS:
            what = f"gc, {SIZE}, {layout}: time, as a multiple of {YARDSTICK}"
            found.append(_target(what, in_new_process(against_yardstick, "gc", layout), MOST_TIME))
    return [target for target in found if target]


def _target(
    what: str, measured: dict[str, Any], limit: float, *, at_least: bool = False
) -> Target | None:
    """None if the measurement failed, which is said."""
    if "error" in measured:
        say(f"{what}: {measured['error']}", style="red")
        return None
    return Target(what, measured["ratio"], limit, at_least)


def attention_rate(dtype: str, rounds: int = 4, shape: Sequence[int] = SHAPE) -> dict[str, float]:
    """The FLOPs per second of a non-local block, as a part of those of a matrix product.

    All its products count, as two FLOPs for each multiply-add. Both rates are the best of `rounds`
    in turns. shape: C, T, H, W.
    """
    torch.manual_seed(0)
    block = BLOCKS["nl"](shape[0]).to(DTYPES[dtype]).eval()
    x = torch.randn(1, *shape, dtype=DTYPES[dtype])
    products, times = [], []
    with torch.inference_mode():
        for _ in range(rounds):
            products.append(product_rates()[dtype])
            times.append(_seconds(lambda: block(x)))
    own = 2 * block.multiply_adds(shape[1:]) / min(times)  # type: ignore[operator]
    return {"ratio": own / max(products), "own": own, "product": max(products)}


def against_yardstick(block: str, layout: str, rounds: int = 50) -> dict[str, float]:
    """The time of a forward pass at `SIZE`, as a multiple of the yardstick's.

    The median of the ratios within a round, after one that does not count.
    """
    torch.manual_seed(0)
    names = (block, YARDSTICK)
    modules = {name: BLOCKS[name](SHAPE[0]).eval() for name in names}
    x = torch.randn(1, *SHAPE).contiguous(memory_format=LAYOUTS[layout])
    times: dict[str, list[float]] = {name: [] for name in names}
    with torch.inference_mode():
        for _, name in interleave(names, range(rounds + 1)):
            times[name].append(_seconds(lambda name=name: modules[name](x)))  # type: ignore[misc]
    own, yardstick = (times[name][1:] for name in names)
    return {"ratio": median(a / b for a, b in zip(own, yardstick, strict=True))}


def _seconds(call: Callable[[], Tensor]) -> float:
    started = time.perf_counter()
    call()
    return time.perf_counter() - started
