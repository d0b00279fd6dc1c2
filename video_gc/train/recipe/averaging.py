"""Averaged weights (EMA): a second network with the running mean of the weights, also tested.

Polyak and Juditsky, 1992; with the warm-up of TensorFlow's ExponentialMovingAverage.
"""

from collections.abc import Mapping
from copy import deepcopy

from torch import Tensor, nn
from torch.distributed.tensor import DTensor
from torch.optim.swa_utils import get_ema_multi_avg_fn

from video_gc.models.weights.states import PREFIXES


def kept_weights(state: Mapping[str, Tensor]) -> list[str]:
    """The kinds of weights in a checkpoint's `state_dict`: raw, or raw and ema."""
    return [kind for kind, prefix in PREFIXES.items() if any(n.startswith(prefix) for n in state)]


def pick_weights(state: Mapping[str, Tensor], kind: str | None = None) -> dict[str, Tensor]:
    """The network's weights under its own names, from a checkpoint's `state_dict`.

    kind: raw or ema; default: ema if the checkpoint has it.

    Raises ValueError for a kind that is missing.
    """
    kept = kept_weights(state)
    if kind is None:
        kind = "ema" if "ema" in kept else "raw"
    if kind not in PREFIXES:
        raise ValueError(f"weights ({kind!r}) must be one of {', '.join(PREFIXES)}")
    if kind not in kept:
        raise ValueError(f"has no {kind} weights, only {', '.join(kept) or 'foreign ones'}")
    prefix = PREFIXES[kind]
    return {n.removeprefix(prefix): value for n, value in state.items() if n.startswith(prefix)}


def averaged_copy(model: nn.Module) -> nn.Module:
    """The network that holds the average: a copy without gradients."""
    return deepcopy(model).requires_grad_(False)


def decay_at(step: int, decay: float) -> float:
    """The decay after `step` earlier steps: min(decay, (1 + step) / (10 + step)).

    So a short training does not test its initial weights.
    """
    return min(decay, (1 + step) / (10 + step))


def local(value: Tensor) -> Tensor:
    """Its numbers without a gradient; with FSDP2 only this process's part."""
    return value.to_local().detach() if isinstance(value, DTensor) else value.detach()


def update_average(average: nn.Module, model: nn.Module, decay: float) -> None:
    """average ← decay · average + (1 − decay) · model, for parameters and running statistics.

    Counters are copied.
    """
    pairs: list[tuple[Tensor, Tensor]] = []
    pairs += zip(average.parameters(), model.parameters(), strict=True)
    for mine, theirs in zip(average.buffers(), model.buffers(), strict=True):
        if mine.is_floating_point():
            pairs.append((mine, theirs))
        else:
            mine.copy_(theirs)
    old, new = zip(*((local(mine), local(theirs)) for mine, theirs in pairs), strict=True)
    get_ema_multi_avg_fn(decay)(old, new, 0)
