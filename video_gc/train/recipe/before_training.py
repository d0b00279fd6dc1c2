"""What training does to a network before its first step; names in its state_dict stay."""

import os
import shutil

from torch import nn

from video_gc.models.activation_checkpointing import checkpoint_activations
from video_gc.train.recipe.norms import NormConfig, prepare_norms


def prepare_network(
    model: nn.Module,
    norm: NormConfig,
    *,
    weights: str | None,
    gpu: bool,
    activation_checkpointing: bool = False,
    compile: bool = False,
) -> None:
    """Norms, activation checkpointing and compiling, in place and in this order.

    weights: what the run starts from, also where it is resumed. The first training step compiles,
    for the shapes that it has; without gradients the network runs as written.

    Raises ValueError for frozen norms that nothing could be learnt with, or where `compile` finds
    no compiler.
    """
    prepare_norms(model, norm, weights=weights, gpu=gpu)
    if activation_checkpointing:
        checkpoint_activations(model)
    if compile:
        if not gpu and not any(map(shutil.which, (os.environ.get("CXX", "g++"), "clang++"))):
            raise ValueError("compile: the CPU needs a C++ compiler; install g++, or compile=false")
        model.compile(dynamic=False)
