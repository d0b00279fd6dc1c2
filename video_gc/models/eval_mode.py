"""Run networks in eval mode without gradients, then restore their modes."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn


@contextmanager
def eval_mode(*networks: nn.Module) -> Iterator[None]:
    """Inside it all modules are in eval mode, without gradients."""
    modes = {module: module.training for network in networks for module in network.modules()}
    for network in networks:
        network.eval()
    try:
        with torch.inference_mode():
            yield
    finally:
        for module, mode in modes.items():
            module.training = mode
