"""Refuse weights with NaN or infinite values: scores of such a network look like results."""

from collections.abc import Mapping

import torch
from torch import Tensor, nn


def check_finite(source: str, state: Mapping[str, Tensor], model: nn.Module) -> None:
    """Raise ValueError for values that are not finite in the model's dtype.

    source: the file, for the message, which also names the parameter. Names that the model lacks
    are skipped.
    """
    own = model.state_dict()
    for name, value in state.items():
        if name not in own or not value.is_floating_point():
            continue
        wide = value if value.dtype in (torch.float32, torch.float64) else value.float()
        there = wide.to(own[name].dtype)
        strange = int((~torch.isfinite(there)).sum())
        if strange:
            large = bool(torch.isfinite(wide).all())
            what = f"too large for {own[name].dtype}" if large else "not finite (NaN or infinite)"
            raise ValueError(
                f"{source}: {strange} of {value.numel()} values of {name} are {what}; a network "
                "with them gives no results, so take weights from before they broke"
            )
