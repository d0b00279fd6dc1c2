"""The context blocks of a network, their places and costs."""

from collections.abc import Sequence
from copy import deepcopy
from typing import Any

import torch
from rich.table import Table
from torch import Tensor, nn

from video_gc.backbones.receptive_field import receptive_field
from video_gc.models.context import context_blocks
from video_gc.models.counts import count_modules, inside
from video_gc.models.eval_mode import eval_mode


def describe(model: nn.Module, clip: Sequence[int] = (8, 224, 224)) -> Table:
    """A table of the context blocks, for rich's print; the last line is their sum.

    clip: T, H, W of the input (H, W for an image network). The columns are the residual block, the
    kind, its channels and positions, and the parameters and multiply-adds (of convolutions, matrix
    products and attention, counted in a forward pass) that it adds.

    Raises ValueError if the network cannot take such a clip.
    """
    size = "×".join(map(str, clip))
    table = Table(title=f"Context blocks for one input of {size}")
    for heading in ("after", "block", "channels", "positions", "parameters", "multiply-adds"):
        table.add_column(heading, justify="left" if heading in ("after", "block") else "right")
    shapes = positions_seen(model, clip)
    flops = count_modules(model, torch.empty(1, 3, *clip, device="meta")).flops
    paths = {module: path for path, module in model.named_modules()}
    totals = [0, 0]
    for name, block in context_blocks(model).items():
        channels, *positions = shapes[name]
        added = [sum(p.numel() for p in block.parameters()), inside(flops, paths[block])]
        totals = [total + more for total, more in zip(totals, added, strict=True)]
        kind = f"{type(block).__name__}({block.extra_repr()})"
        where = "×".join(map(str, positions))
        table.add_row(name, kind, f"{channels:,}", where, *(f"{number:,}" for number in added))
    table.add_section()
    whole = sum(parameter.numel() for parameter in model.parameters())
    summary = f"{len(shapes)} in a network of {whole:,} parameters"
    table.add_row("all", summary, "", "", *(f"{number:,}" for number in totals))
    seen = receptive_field(model)
    if seen is not None:
        table.caption = (
            f"without the blocks, a position of the last map sees {seen[0]} frames of "
            f"{seen[1]}×{seen[2]} pixels"
        )
    return table


def positions_seen(model: nn.Module, clip: Sequence[int]) -> dict[str, tuple[int, ...]]:
    """Channels and position axes that each context block sees for one input of size `clip`."""
    shadow = deepcopy(model).to("meta").eval()  # only shapes: nothing is computed
    shapes: dict[str, tuple[int, ...]] = {}

    def record(name: str) -> Any:
        def hook(_block: nn.Module, inputs: tuple[Tensor, ...]) -> None:
            shapes[name] = tuple(inputs[0].shape[1:])

        return hook

    for name, block in context_blocks(shadow).items():
        block.register_forward_pre_hook(record(name))
    try:
        check_clip(shadow, clip)
    except ValueError as error:
        raise ValueError(
            f"{error}; give its T, H and W as clip=(8, 224, 224), or H and W for an image network"
        ) from error
    return shapes


def check_clip(model: nn.Module, clip: Sequence[int]) -> None:
    """Try the network on the size of one clip, (T, H, W), without computing anything.

    Raises ValueError if a layer would have an empty output.
    """
    shadow = model if next(model.parameters()).is_meta else deepcopy(model).to("meta")
    try:
        with eval_mode(shadow):
            shadow(torch.zeros(1, 3, *clip, device="meta"))
    except RuntimeError as error:
        size = "×".join(map(str, clip))
        reason = str(error).splitlines()[0]
        raise ValueError(f"the network takes no input of {size} ({reason})") from error
