"""The precision of a training: fp32 or bf16."""

from typing import Any

import torch
from torch import nn

from video_gc.models.context import context_blocks
from video_gc.models.counts import count_modules, inside
from video_gc.train.options import TrainConfig

LEAST = 200_000_000
"""Multiply-adds of a step's forward pass from which a CPU trains in bf16: below the smallest
network that was measured to gain (docs/benchmarks.md)."""


def training_precision(
    config: TrainConfig, model: nn.Module, *, gpu: bool, multiplies: bool
) -> tuple[str, str]:
    """fp32 or bf16, and a line that says why.

    multiplies: whether all devices of the run multiply bf16. `auto` never looks at the clock, so
    the same command trains the same weights; nor at context blocks, so that networks which differ
    in these alone are trained alike.
    """
    if config.precision != "auto":
        return config.precision, f"precision: {config.precision}"
    if not multiplies:
        kind = "GPU" if gpu else "CPU"
        return "fp32", f"precision: fp32 (auto; this {kind} does not multiply bf16)"
    if gpu:
        return "bf16", "precision: bf16 (auto)"
    if config.compile and config.activation_checkpointing:
        return "fp32", "precision: fp32 (auto; compile and activation_checkpointing together)"
    step = config.batch_size * without_context(model, config.clip.frames, config.clip.crop)
    which, than = ("bf16", "at least") if step >= LEAST else ("fp32", "fewer than")
    return which, f"precision: {which} (auto; {than} {LEAST // 10**6} M multiply-adds a step)"


def begun_in(config: dict[str, Any], *, gpu: bool) -> str:
    """The precision in which a run goes on: as it was begun. config: of its checkpoint."""
    precision = str(config.get("precision", "auto"))  # older versions kept `auto`: on a CPU fp32
    return "fp32" if precision == "auto" and not gpu else precision


def without_context(model: nn.Module, frames: int, side: int) -> int:
    """Multiply-adds of the forward pass of one clip, without those of context blocks."""
    flops = count_modules(model, torch.empty(1, 3, frames, side, side, device="meta")).flops
    blocks = {id(block) for block in context_blocks(model).values()}
    added = (inside(flops, name) for name, module in model.named_modules() if id(module) in blocks)
    return flops.total() - sum(added)
