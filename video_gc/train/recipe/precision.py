"""The precision of a training: fp32 or bf16."""

import torch
from torch import nn

from video_gc.deploy.inference_network import has_bf16
from video_gc.models.counts import complexity
from video_gc.train.options import TrainConfig

LEAST = 200_000_000
"""Multiply-adds of a step's forward pass from which bf16 is faster on a CPU that multiplies it.
Measured with 53 convolutions, once as fast at about 100 million (docs/benchmarks.md)."""


def training_precision(config: TrainConfig, model: nn.Module, *, gpu: bool) -> tuple[str, str]:
    """fp32 or bf16, and a line that says why.

    `auto` depends on the options and the kind of machine alone, never on the clock, so the same
    command trains the same weights.
    """
    if config.precision != "auto":
        return config.precision, f"precision: {config.precision}"
    if not has_bf16(torch.device("cuda" if gpu else "cpu")):
        kind = "GPU" if gpu else "CPU"
        return "fp32", f"precision: fp32 (auto; this {kind} does not multiply bf16)"
    if gpu:
        return "bf16", "precision: bf16 (auto)"
    if config.compile and config.activation_checkpointing:
        return "fp32", "precision: fp32 (auto; compile and activation_checkpointing together)"
    side = config.clip.crop
    clip = (config.clip.frames, side, side)
    step = config.batch_size * complexity(model, clip).flops
    which, than = ("bf16", "at least") if step >= LEAST else ("fp32", "fewer than")
    return which, f"precision: {which} (auto; {than} {LEAST // 10**6} M multiply-adds a step)"
