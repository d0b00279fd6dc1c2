"""Attention maps of context blocks, and class-activation maps."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from math import prod
from typing import TypeGuard, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from video_gc.backbones.stages import FEATURES, named_parts, residual_blocks
from video_gc.blocks import (
    CrissCross,
    DisentangledNonLocal,
    NonLocal,
    QueryMaps,
    SharedMap,
    kind_of,
)
from video_gc.extras import installed, need
from video_gc.models.context import context_blocks
from video_gc.models.eval_mode import eval_mode

Observer = Callable[[str, nn.Module, Tensor, list[Tensor], Tensor], None]
"""Name, block, its input x, its additions to x (one (N, C, P) per recurrence; [] unless the block
is NL, DNL or CC), and its output."""


def shares_map(block: nn.Module) -> TypeGuard[SharedMap]:
    """Whether all positions share one map of attention; the plain mean of SE is none."""
    return isinstance(block, SharedMap) and kind_of(block) != "se"


@contextmanager
def observe_blocks(model: nn.Module, observer: Observer) -> Iterator[None]:
    """In the block, every forward pass calls `observer` for each context block after it has run.

    The network is in eval mode without gradients; afterwards its state is restored.
    """
    hooks = []
    for name, block in context_blocks(model).items():
        norms: list[nn.Module] = []
        if isinstance(block, NonLocal | DisentangledNonLocal):
            norms = [block.norm]
        if isinstance(block, CrissCross):
            norms = list(block.norms.children())
        added: list[Tensor] = []

        def add(_norm: object, _x: object, z: Tensor, added: list[Tensor] = added) -> None:
            added.append(z.flatten(2))  # (N, C, 1, P) → (N, C, P)

        def report(
            block: nn.Module,
            inputs: tuple[Tensor, ...],
            output: Tensor,
            name: str = name,
            added: list[Tensor] = added,
        ) -> None:
            observer(name, block, inputs[0], list(added), output)
            added.clear()

        hooks += [norm.register_forward_hook(add) for norm in norms]
        hooks.append(block.register_forward_hook(report))
    try:
        with eval_mode(model):
            yield
    finally:
        for hook in hooks:
            hook.remove()


def attention_maps(model: nn.Module, clip: Tensor) -> dict[str, Tensor]:
    """The map of every block whose positions share one, for a prepared clip (N, C, T, H, W).

    Name of the residual block → (N, T', H', W') at the resolution of its features; each map sums
    to 1 per clip. Empty if the network has no such block.
    """
    maps: dict[str, Tensor] = {}

    def look(name: str, block: nn.Module, x: Tensor, *_: object) -> None:
        if shares_map(block):
            maps[name] = _with_time(block.attention_map(x), 1)

    with observe_blocks(model, look):
        model(clip)
    return maps


def query_maps(
    model: nn.Module, clip: Tensor, queries: Sequence[tuple[float, float, float]]
) -> dict[str, Tensor]:
    """The weights of all positions for chosen queries, of every block that has such maps.

    clip: (N, C, T, H, W), prepared.
    queries: their positions, as fractions (t, h, w) in [0, 1) of the block's feature map.

    Name of the residual block → (N, Q, T', H', W'), over the keys, at the pooled size if the block
    pools them; 0 at keys out of a query's reach (`span` of NL, the lines of CC, whose first
    recurrence this is). A map sums to 1 (of DNL it is the mean of both terms), except for the
    pairwise functions dot_product (any sign) and concatenation. Empty if the network has no such
    block.

    Raises ValueError for a query outside [0, 1).
    """
    for query in queries:
        if len(query) != 3 or not all(0 <= part < 1 for part in query):
            raise ValueError(f"query {query} must be three fractions (t, h, w) in [0, 1)")
    places = torch.tensor(queries, dtype=torch.double).T
    maps: dict[str, Tensor] = {}

    def look(name: str, block: nn.Module, x: Tensor, *_: object) -> None:
        if not isinstance(block, QueryMaps):
            return
        axes = x.shape[2:]
        index = torch.zeros(len(queries), dtype=torch.long)
        for size, fractions in zip(axes, places[-len(axes) :], strict=True):
            index = index * size + (fractions * size).long().clamp(max=size - 1)
        maps[name] = _with_time(block.query_maps(x, index), 2)

    with observe_blocks(model, look):
        model(clip)
    return maps


def keys_of_a_query(block: nn.Module, keys: Sequence[int]) -> int:
    """Number of the keys (T', H', W') that one query weighs; 0 if the block has no queries."""
    frames, height, width = keys
    if isinstance(block, CrissCross):
        return frames + height + width - 2
    if isinstance(block, NonLocal) and block.span != "spacetime":
        return height * width if block.span == "space" else frames
    return prod(keys) if isinstance(block, QueryMaps | SharedMap) else 0


def stretch(attention: Tensor, shape: tuple[int, int, int]) -> Tensor:
    """One map (T', H', W') scaled to the size (T, H, W) of the clip and to 0…1 for drawing."""
    large = F.interpolate(attention[None, None], shape, mode="trilinear")[0, 0]
    low, high = large.min(), large.max()
    return (large - low) / (high - low).clamp(min=1e-12)


def has_captum() -> bool:
    """Whether captum is installed."""
    return installed("captum")


def check_captum() -> None:
    """Raise ImportError with the install command if captum is missing."""
    need("cam", "captum", by="class activation")


def class_activation(model: nn.Module, clips: Tensor, classes: Tensor) -> Tensor:
    """Evidence of each position for a class: (N, C, T, H, W), (N,) → (N, T', H', W'), ≥ 0.

    Features of the last residual block (of the slow pathway, if there are two; of an image network
    without named blocks, its last part), weighted by the mean gradient of the class's logit over
    each channel, summed over channels, negative sums dropped (Selvaraju et al., "Grad-CAM", ICCV
    2017). Raises ImportError without captum.
    """
    check_captum()
    from captum.attr import LayerGradCam

    parts = named_parts(model)
    blocks = residual_blocks(model) or {n: m for n, m in parts.items() if n.startswith(FEATURES)}
    last = [name for name in blocks if not name.startswith("fast.")][-1]
    with torch.inference_mode(False), torch.enable_grad():
        own = clips.detach().clone().requires_grad_()  # all parameters may be frozen
        maps = LayerGradCam(model, blocks[last]).attribute(
            own, target=classes, relu_attributions=True
        )
    return cast(Tensor, maps).detach()[:, 0]


def _with_time(maps: Tensor, lead: int) -> Tensor:
    """Maps with all three position axes, of an image network too; lead: the axes before them."""
    shape = maps.shape
    return maps.reshape(*shape[:lead], *[1] * (3 + lead - maps.ndim), *shape[lead:])
