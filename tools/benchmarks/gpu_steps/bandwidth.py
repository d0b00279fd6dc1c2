"""Context blocks against the bandwidth of the device; whether attention pooling needs a kernel."""

from collections.abc import Callable, Iterator, Sequence
from math import prod

import torch
from torch import Tensor

from benchmarks.gpu_steps.rates import copy_rate, seconds_of, tf32
from benchmarks.gpu_steps.schedule import Row
from benchmarks.parts.measurement import DTYPES, reason, table
from video_gc.blocks import BLOCKS, build_block
from video_gc.blocks.attention_pool import attention_pool

POOL = "attention pooling"
PASSES = {POOL: 1, "gc": 3, "snl": 3, "se": 3}
"""How often a feature map must at least be read or written: a block of one context reads it for
the context, and again for the fusion, and writes. The others read once and write once."""
READINGS = 2
"""Those of attention pooling in torch, plain or compiled: every weight needs all scores."""
DUE = 1.3
"""A kernel of our own is due above so many times the limit, with plain torch and compiled."""
CHOSEN = {"plain": False, "compile": True}


def measure(device: str, _deadline: float) -> Iterator[Row]:
    """Forward passes without gradients of feature maps that no cache holds, channels-last.

    Those that are bound by bandwidth get so many samples that the device takes longer for them
    than Python: their limit is about 0.4 ms and more, and a call of ten operations takes 0.05 ms.
    """
    where = torch.device(device)
    rate, gpu = copy_rate(where), where.type == "cuda"
    for name in (POOL, *BLOCKS):
        samples = 256 if name in PASSES else 32
        shape = (samples, 512, 8, 28, 28) if gpu else (2, 64, 4, 14, 14)
        for precision, dtype in DTYPES.items():
            x = torch.randn(shape, device=where, dtype=dtype)
            x = x.contiguous(memory_format=torch.channels_last_3d)
            limit = PASSES.get(name, 2) * prod(shape) * x.element_size() / rate
            for way, compiled in CHOSEN.items():
                if compiled and PASSES.get(name, 2) == 2:
                    continue  # bound by products; compiling all takes minutes
                row = {"what": name, "precision": precision, "way": way, "limit": limit}
                try:
                    call = work(name, x, compiled)
                    with torch.no_grad(), tf32(False):  # fp32 is fp32
                        seconds = seconds_of(lambda call=call, x=x: call(x), where)  # type: ignore[misc]
                    yield row | {"seconds": seconds, "times_limit": seconds / limit}
                except Exception as error:  # any error is a finding
                    yield row | {"error": reason(error)}


def work(name: str, x: Tensor, compiled: bool) -> Callable[[Tensor], Tensor]:
    """The pooling with a key, or a block, for feature maps like x."""
    call: Callable[[Tensor], Tensor]
    if name == POOL:
        key = torch.randn(1, x.shape[1], device=x.device, dtype=x.dtype) / x.shape[1] ** 0.5

        def call(x: Tensor) -> Tensor:
            return attention_pool(x, key)
    else:
        call = build_block(name, x.shape[1]).to(x.device, x.dtype).eval()
    return torch.compile(call, fullgraph=True, dynamic=False) if compiled else call


def lines(rows: Sequence[Row]) -> list[str]:
    """Markdown, and whether a kernel of our own is due."""
    heads = ["", "precision", "way", "ms", "limit, ms", "× limit"]
    return [*table(heads, [_cells(row) for row in rows]), "", verdict(rows)]


def verdict(rows: Sequence[Row]) -> str:
    """Whether attention pooling needs a Triton kernel: the better way of the worse precision."""
    best = {
        precision: min((row["times_limit"] for row in rows
                        if (row["what"], row["precision"]) == (POOL, precision)
                        and "times_limit" in row), default=None)
        for precision in DTYPES
    }  # fmt: skip
    known = {name: times for name, times in best.items() if times is not None}
    if len(known) < len(DTYPES):
        return "Attention pooling was not measured in each precision: no word on a kernel."
    said = ", ".join(f"{times:.2f} in {name}" for name, times in known.items())
    worst = max(known.values())
    due = "is due" if worst > DUE else "is not due"
    rest = max(0.0, worst - READINGS)
    return (f"Attention pooling takes {said} times the limit, which is one reading. torch reads "
            f"twice: at most 1 is the second reading, {rest:.2f} or more the rest. A Triton kernel "
            f"that reads once {due} (above {DUE}).")  # fmt: skip


def _cells(row: Row) -> list[str]:
    begin, limit = [row["what"], row["precision"], row["way"]], f"{1e3 * row['limit']:.3g}"
    if "error" in row:
        return [*begin, f"**{row['error']}**", limit, ""]
    return [*begin, f"{1e3 * row['seconds']:.3g}", limit, f"{row['times_limit']:.2f}"]
