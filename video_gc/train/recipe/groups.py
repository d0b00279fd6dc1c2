"""Which parameters decay, how fast each stage learns, and which stages are frozen.

Factors per layer: Clark et al., ELECTRA, ICLR 2020; here one factor per stage of the network.
"""

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

import torch
from torch import nn

from video_gc.backbones.stages import FEATURES, STAGES, named_parts
from video_gc.blocks import choices
from video_gc.models.context import context_blocks

BATCH_NORMS = (
    *(nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d, nn.SyncBatchNorm),
    *(nn.InstanceNorm1d, nn.InstanceNorm2d, nn.InstanceNorm3d),
)
NORMS = (*BATCH_NORMS, nn.GroupNorm, nn.LayerNorm, nn.RMSNorm)
LEVELS = ("stem", *STAGES, "head")


def stage_names(model: nn.Module) -> dict[str, str]:
    """Parameter → its part of the network, in the order of the network.

    stem, res2 … res5, head; with two pathways slow.stem, fast.res2 … and the laterals fuse1 …
    fuse4; features in an image network without residual blocks. Context blocks: `context res3`
    (`context slow.res3`, `context features`). Anything else is the head.
    """
    owner: dict[int, str] = {}
    for part, module in named_parts(model).items():
        stage = re.sub(r"\.\d+$", "", part)
        owner |= {id(parameter): stage for parameter in module.parameters()}
    for block, module in context_blocks(model).items():
        stage = re.sub(r"\.\d+$", "", block.split(" ")[0])
        owner |= {id(parameter): f"context {stage}" for parameter in module.parameters()}
    return {name: owner.get(id(p), "head") for name, p in model.named_parameters()}


def level(stage: str) -> int:
    """0 for the stem, 1 … 4 for res2 … res5, 5 for the head; a lateral as the stage before it,
    features as res5.
    """
    if stage.endswith(FEATURES):
        return LEVELS.index("res5")
    if stage.startswith("fuse"):
        return int(stage.removeprefix("fuse")) - 1
    return LEVELS.index(re.split(r"[. ]", stage)[-1])


def parameter_kinds(model: nn.Module) -> dict[str, str]:
    """Parameter → norm, bias, vector (or scalar) or weight; only weights decay."""
    norms = {
        f"{prefix}.{name}".lstrip(".")
        for prefix, module in model.named_modules()
        if isinstance(module, NORMS)
        for name, _ in module.named_parameters(recurse=False)
    }
    kinds = {}
    for name, parameter in model.named_parameters():
        if name in norms:
            kinds[name] = "norm"
        elif name.rpartition(".")[2] == "bias":
            kinds[name] = "bias"
        else:
            kinds[name] = "vector" if parameter.ndim <= 1 else "weight"
    return kinds


def parameter_groups(
    model: nn.Module,
    *,
    lr: float,
    weight_decay: float,
    by_stage: bool = False,
    layer_decay: float = 1.0,
    head_lr: float = 1.0,
    fresh: bool = True,
) -> list[dict[str, Any]]:
    """The optimiser's groups: weights; norms, biases and other vectors; of each stage if asked.

    Each has a `name`, its `lr` and `waits`: whether it is not trained while the head is trained
    alone. The optimiser's state stores `lr` and `waits`, because a resumed run cannot know whether
    its context blocks were `fresh`. The parameters of a group do not depend on this.
    """
    kinds = parameter_kinds(model)
    stages = stage_names(model) if by_stage else dict.fromkeys(kinds, "")
    groups: dict[str, dict[str, Any]] = {}
    for name, parameter in model.named_parameters():
        if not parameter.requires_grad:
            continue
        decays, stage = kinds[name] == "weight", stages[name]
        label = " ".join(filter(None, [stage, "weights" if decays else "norms and biases"]))
        new = stage == "head" or (stage.startswith("context") and fresh)
        factor = 1.0
        if stage:
            factor = head_lr if new else layer_decay ** (len(LEVELS) - 1 - level(stage))
        group = groups.setdefault(
            label,
            {
                "params": [],
                "name": label,
                "lr": lr * factor,
                "weight_decay": weight_decay if decays else 0.0,
                "waits": bool(stage) and not new,
            },
        )
        group["params"].append(parameter)
    return sorted(groups.values(), key=lambda group: group["weight_decay"] == 0)


def freeze_stages(model: nn.Module, names: Iterable[str]) -> None:
    """Freeze these stages: their parameters require no gradient.

    names: stem, res2 … res5; in SlowFast those of both pathways and the lateral behind them, or
        slow.res2, fast.res2, fuse1. Context blocks in a frozen stage are still trained.

    `keep_still` freezes the norms. Raises ValueError for a name that the network lacks.
    """
    stages = stage_names(model)
    laterals = {f"fuse{number}": LEVELS[number - 1] for number in range(1, len(LEVELS))}
    aliases = {s: {s, s.rpartition(".")[2], laterals.get(s, s)} for s in set(stages.values())}
    own = [s for s in dict.fromkeys(stages.values()) if s != "head" and "context" not in s]
    valid = list(dict.fromkeys([*(s.rpartition(".")[2] for s in own), *own]))
    for name in names:
        if name not in valid:
            raise ValueError(f"optim.freeze: no stage is called {name!r}; {choices(name, valid)}")
    wanted = set(names)
    for name, parameter in model.named_parameters():
        stage = stages[name]
        if stage != "head" and not stage.startswith("context") and aliases[stage] & wanted:
            parameter.requires_grad_(False)


def keep_still(model: nn.Module, waiting: Iterable[nn.Parameter] = ()) -> None:
    """Put the batch norms of untrained parts in eval mode; call it after `model.train()`.

    waiting: parameters that are not trained yet, beside those that require no gradient.
    """
    still = {id(parameter) for parameter in waiting}
    for module in model.modules():
        if isinstance(module, BATCH_NORMS):
            own = list(module.parameters(recurse=False))
            if own and all(id(p) in still or not p.requires_grad for p in own):
                module.eval()


def train_mode(
    model: nn.Module, average: nn.Module | None = None, waiting: Iterable[nn.Parameter] = ()
) -> None:
    """`model.train()`, but the batch norms of untrained parts stay in eval mode.

    average: the averaged copy; its norms are treated as the model's.
    """
    model.train()
    keep_still(model, waiting)
    if average is not None:
        for mine, theirs in zip(average.modules(), model.modules(), strict=True):
            mine.training = theirs.training


def waiting_parameters(optimizer: torch.optim.Optimizer) -> list[nn.Parameter]:
    """Parameters that are not trained while the head is trained alone."""
    groups = optimizer.param_groups
    return [parameter for group in groups if group.get("waits") for parameter in group["params"]]


def drop_gradients(parameters: Iterable[nn.Parameter]) -> None:
    """Exclude them from the next step: no decay, no momentum.

    `requires_grad` would not do: DDP decides only once whose gradients it exchanges.
    """
    for parameter in parameters:
        parameter.grad = None


def describe_groups(model: nn.Module, groups: Sequence[dict[str, Any]]) -> list[str]:
    """Sentences on weight decay, frozen stages and the rates of the stages."""
    kinds, stages = parameter_kinds(model), stage_names(model)
    trained = {name for name, parameter in model.named_parameters() if parameter.requires_grad}
    counts = Counter(kinds[name] for name in trained)
    decay = max(group["weight_decay"] for group in groups)
    lines = [
        f"weight decay {decay:g} on {counts['weight']} weights; none on {counts['norm']} "
        f"parameters of norms, {counts['bias']} biases and {counts['vector']} other vectors"
    ]
    frozen = dict.fromkeys(stage for name, stage in stages.items() if name not in trained)
    if frozen:
        lines.append(f"frozen, with their batch norms: {', '.join(frozen)}")
    rates = {
        group["name"].removesuffix(" weights"): group["lr"]
        for group in groups
        if group["name"].endswith(" weights")
    }
    if len(set(rates.values())) > 1:
        lines.append("rates: " + ", ".join(f"{stage} {rate:.3g}" for stage, rate in rates.items()))
    return lines
