"""What each module keeps for backward."""

from collections import Counter

import torch
from torch import Tensor, nn

from video_gc.analysis.complexity.attribution import RunningModule


def kept_for_backward(network: nn.Module, clips: Tensor) -> Counter[str]:
    """Module → bytes that autograd keeps from a forward pass in training, for itself alone.

    Each storage counts once, at the module that kept it first; weights, which are there anyway,
    and the clips do not count.
    """
    mine = [*network.parameters(), *network.buffers(), clips]
    seen = {tensor.untyped_storage().data_ptr() for tensor in mine}
    kept: Counter[str] = Counter()
    with RunningModule(network) as running:

        def keep(tensor: Tensor) -> Tensor:
            storage = tensor.untyped_storage()
            if storage.data_ptr() not in seen:
                seen.add(storage.data_ptr())
                kept[running.name] += storage.nbytes()
            return tensor

        with torch.enable_grad(), torch.autograd.graph.saved_tensors_hooks(keep, lambda kept: kept):
            output = network(clips)
    del output  # until here, so that no storage's address is another's
    return kept
