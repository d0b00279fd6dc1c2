"""Simplify trained non-local blocks: NL → SNL → GC without norm and activation.

Cao et al., GCNet, 2019, section 3.2, derives the simplified block from attention that is the same
for all queries; here the trained weights follow that derivation.
"""

from collections.abc import Iterable, Sequence
from copy import deepcopy
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_linear_bn_eval

from video_gc.blocks import GlobalContext, NonLocal, build_block
from video_gc.blocks.layout import project, rows
from video_gc.models.build import ModelConfig
from video_gc.models.context import ContextConfig, context_blocks, matching_blocks
from video_gc.models.eval_mode import eval_mode

TARGETS = ("snl", "gc")


@dataclass(frozen=True)
class Replaced:
    """One block that was replaced."""

    name: str
    """as in `context_blocks`"""
    before: str
    """kind: nl or snl"""
    config: ContextConfig
    """config of the new block at this residual block"""
    query_mean: float | None = None
    """norm of the mean query over all positions and calibration clips; None unless it was NL"""
    query_spread: float | None = None
    """root mean square distance of the queries from it"""
    rank: int | None = None
    """hidden channels of the GC block: number of singular values of W_v kept"""
    energy: float | None = None
    """their share of the sum of squares of all singular values, 0…1; 1 means nothing was cut"""
    notes: tuple[str, ...] = ()
    """further approximations, beside the mean query and the rank"""

    @property
    def query_share(self) -> float | None:
        """Share of the mean query in the mean square of the queries: 1 if all are equal."""
        if self.query_mean is None or self.query_spread is None:
            return None
        total = self.query_mean**2 + self.query_spread**2
        return self.query_mean**2 / total if total else 1.0


@dataclass(frozen=True)
class Conversion:
    """A network with blocks replaced."""

    network: nn.Module
    """in eval mode, on the device of the given network"""
    to: str
    replaced: list[Replaced]
    clips: int
    """number of clips used for calibration"""

    def config(self, given: ModelConfig) -> ModelConfig:
        """The description of the new network, from that of the original.

        `build_model` of it (without weights) takes the state of `network`, so every tool reads a
        checkpoint with both. Raises ValueError if `given` describes another network.
        """
        new = {(r.config.place, r.config.after[0]): r.config for r in self.replaced}
        contexts: list[ContextConfig] = []
        left = set(new)
        for context in (given.context, *given.more_context):
            if context.kind == "none":
                continue
            names = matching_blocks(self.network, context.after)
            kept = [name for name in names if (context.place, name) not in new]
            left -= {(context.place, name) for name in names}
            if kept:
                contexts.append(replace(context, after=kept))
        if left:
            names = sorted(name for _, name in left)
            raise ValueError(f"the given config has no context block at {', '.join(names)}")
        for config in new.values():
            alike = [c for c in contexts if replace(c, after=config.after) == config]
            if alike:
                alike[0].after.append(config.after[0])
            else:
                contexts.append(replace(config, after=list(config.after)))
        return replace(given, context=contexts[0], more_context=contexts[1:], weights=None)


def convert(
    model: nn.Module,
    to: str,
    clips: Iterable[Tensor],
    *,
    blocks: Sequence[str] | None = None,
    reduction: int = 4,
) -> Conversion:
    """A copy of `model` in which its NL blocks are SNL (`to="snl"`) or GC blocks (`"gc"`).

    clips: prepared (N, 3, T, H, W), on the model's device, for the mean query; not read if no NL
        block is converted.
    blocks: names in `context_blocks`; default: every NL block, and with "gc" every SNL block too.
    reduction: C / rank of W_v in a GC block.

    NL → SNL: W_k = s · W_φᵀ q̄ with q̄ the mean of the queries θ(x_i) over all positions and clips
    and s the scale (`gaussian`: W_k = s · mean of x), W_v = W_z W_g with the biases, and the batch
    norm as in eval mode. All statistics come from one pass through the given network, so each
    block is calibrated with its inputs before any replacement.
        Exact: W_v, its bias and the batch norm, since weights that sum to 1 keep a constant. So the
        outputs agree to rounding if attention is query-independent, as with W_θ = 0.
        Approximate: the mean query in place of each, for any other W_θ, and for `gaussian` unless x
        is the same everywhere. Pooled keys: the new block uses all positions, not the maxima.
    SNL → GC: the truncated singular value decomposition of W_v, its two factors in the two layers;
    no norm, no activation, the bias kept. W_k and the fusion stay.
        Exact to rounding if rank(W_v) ≤ C / reduction. Otherwise the share 1 − `energy` is cut off
        (the best such approximation of W_v itself, not of the network's outputs).
    NL → GC: both steps.

    Raises ValueError for another target; a name that is not a context block; a block that cannot be
    converted: another kind, `dot_product` or `concatenation` (they have no softmax), `span` space
    or time (SNL has one map for the clip), `fusion="both"` (it has two W_v); if there is nothing to
    convert; and without clips for an NL block.
    """
    if to not in TARGETS:
        raise ValueError(f"to ({to!r}) must be one of {', '.join(TARGETS)}")
    chosen = _chosen(model, to, blocks)
    queries, count = _queries(model, chosen, clips)
    network = deepcopy(model).eval()
    holders = {id(child): module for module in network.modules() for child in module.children()}
    replaced = []
    for name, block in context_blocks(network).items():
        if name not in chosen:
            continue
        new, facts = block, Replaced(name, "snl", ContextConfig())
        if isinstance(block, NonLocal):
            mean, square = queries[name]
            new, options = simplified(block, mean)
            length = float(torch.linalg.vector_norm(mean))
            spread = max(0.0, square - length**2) ** 0.5
            facts = Replaced(name, "nl", _config(name, "snl", options), length, spread)
            if block.pool and max(block.pool) > 1:
                pooled = f"its keys were pooled {list(block.pool)}; those of the new block are not"
                facts = replace(facts, notes=(pooled,))
        if to == "gc":
            assert isinstance(new, GlobalContext)
            new, options, rank, energy = bottleneck(new, reduction)
            config = _config(name, "gc", options)
            facts = replace(facts, config=config, rank=rank, energy=energy)
        like = next(block.parameters())
        holders[id(block)].context = new.to(like.device, like.dtype).eval()
        replaced.append(facts)
    return Conversion(network, to, replaced, count)


def _chosen(model: nn.Module, to: str, blocks: Sequence[str] | None) -> list[str]:
    """The names of the blocks to convert; ValueError for one that cannot be converted."""
    present = context_blocks(model)
    wanted = list(present) if blocks is None else list(dict.fromkeys(blocks))
    kinds = "NL" if to == "snl" else "NL or SNL"
    chosen = []
    for name in wanted:
        if name not in present:
            raise ValueError(f"no context block at {name!r}; there are {', '.join(present)}")
        block = present[name]
        linear = isinstance(block, GlobalContext) and len(block.transform) == 1
        linear = linear and block.pool == "attention"
        if isinstance(block, NonLocal) or (to == "gc" and linear):
            _check(name, block)
            chosen.append(name)
        elif blocks is not None:
            raise ValueError(f"{name} is {type(block).__name__}, not an {kinds} block")
    if not chosen:
        raise ValueError(f"there is no {kinds} block to convert in this network")
    return chosen


def _check(name: str, block: nn.Module) -> None:
    if isinstance(block, NonLocal):
        if not block.pairwise.endswith("gaussian"):
            raise ValueError(
                f"{name}: pairwise {block.pairwise!r} has no softmax, so no SNL block computes it; "
                "only gaussian and embedded_gaussian can be converted"
            )
        if block.span != "spacetime":
            raise ValueError(
                f"{name}: span {block.span!r} has a map for each frame or location, SNL has one "
                "for the clip; only span 'spacetime' can be converted"
            )
    elif isinstance(block, GlobalContext) and block.fusion == "both":
        raise ValueError(f"{name}: fusion 'both' has two transforms; only one can be converted")


def _queries(
    model: nn.Module, chosen: list[str], clips: Iterable[Tensor]
) -> tuple[dict[str, tuple[Tensor, float]], int]:
    """For each NL block the mean query and the mean square of all, in float64; number of clips."""
    sums: dict[str, tuple[Tensor, float, int]] = {}
    hooks = []
    for name, block in context_blocks(model).items():
        if name in chosen and isinstance(block, NonLocal):

            def look(block: nn.Module, inputs: tuple[Tensor, ...], name: str = name) -> None:
                assert isinstance(block, NonLocal)
                query = rows(inputs[0])
                if block.pairwise != "gaussian":
                    query = project(query, block.query)
                query = query.flatten(0, 1).cpu().double()
                total, square, count = sums.get(name, (torch.zeros(()), 0.0, 0))
                sums[name] = (
                    total + query.sum(0),
                    square + float(query.square().sum()),
                    count + len(query),
                )

            hooks.append(block.register_forward_pre_hook(look))
    if not hooks:
        return {}, 0
    seen = 0
    try:
        with eval_mode(model):
            for batch in clips:
                model(batch)
                seen += len(batch)
    finally:
        for hook in hooks:
            hook.remove()
    if not seen:
        raise ValueError("converting an NL block needs clips for its mean query; none were given")
    return {name: (total / n, square / n) for name, (total, square, n) in sums.items()}, seen


@torch.no_grad()
def simplified(block: NonLocal, query: Tensor) -> tuple[GlobalContext, dict[str, Any]]:
    """The SNL block with the attention of `query` (d,), and its options (float64): W_k = s W_φᵀ q.

    W_v = W_z W_g, with the eval-mode batch norm of NL folded into it and its bias.
    """
    block = deepcopy(block).cpu().double().eval()
    out, value = block.out, block.value
    if isinstance(block.norm, nn.BatchNorm2d):
        out = fuse_linear_bn_eval(out, block.norm)
    look = query if block.pairwise == "gaussian" else query @ block.key.weight
    options = {"bias": True}
    new = _build("snl", block.channels, options)
    new.load_state_dict({
        "key.weight": block.scale * look.unsqueeze(0),
        "transform.0.weight": out.weight @ value.weight,
        "transform.0.bias": out.weight @ value.bias + out.bias,
    })  # fmt: skip
    return new, options


@torch.no_grad()
def bottleneck(
    block: GlobalContext, reduction: int
) -> tuple[GlobalContext, dict[str, Any], int, float]:
    """The GC block whose two layers are W_v at rank C / reduction, and its options, in float64.

    Also the rank, and the kept share of the sum of squares of W_v's singular values.

    Raises ValueError for a reduction that leaves no channel.
    """
    given = {name: value.cpu().double() for name, value in block.state_dict().items()}
    bias = given.get("transform.0.bias")
    options = {
        "reduction": reduction, "norm": False, "relu": False, "bias": bias is not None,
        "fusion": block.fusion,
    }  # fmt: skip
    new = _build("gc", block.channels, options)
    left, values, right = torch.linalg.svd(given["transform.0.weight"])
    rank, last = block.channels // reduction, len(new.transform) - 1
    roots = values[:rank].sqrt()
    state = {"key.weight": given["key.weight"]}
    state["transform.0.weight"] = roots.unsqueeze(1) * right[:rank]
    state[f"transform.{last}.weight"] = left[:, :rank] * roots
    if bias is not None:
        state |= {"transform.0.bias": torch.zeros(rank), f"transform.{last}.bias": bias}
    new.load_state_dict(state)
    squares = values.square()
    energy = float(squares[:rank].sum() / squares.sum()) if squares.any() else 1.0
    return new, options, rank, energy


def _build(kind: str, channels: int, options: dict[str, Any]) -> GlobalContext:
    block = build_block(kind, channels, **options).double()
    assert isinstance(block, GlobalContext)
    return block


def _config(name: str, kind: str, options: dict[str, Any]) -> ContextConfig:
    """The config of a block with this name in `context_blocks`."""
    after, _, place = name.partition(" ")
    return ContextConfig(kind=kind, place=place or "after_add", after=[after], options=options)
