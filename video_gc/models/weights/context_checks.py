"""Whether the context blocks in a file of weights match those of the network.

A dropped block, a tensor in a block of another kind, or another value of an option that shapes do
not show (`pairwise`, `scale`, …) changes the network's output without an error: logits are 40 to
100 % off. Such options are compared with the file's configuration, or with what its library always
does. The user must name the options that neither tells.
"""

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping
from typing import Any

from torch import Tensor, nn

from video_gc.backbones.stages import places, sites
from video_gc.blocks import (
    BLOCKS,
    CrissCross,
    DisentangledNonLocal,
    GlobalContext,
    NonLocal,
    kind_of,
)
from video_gc.models.context import ContextConfig, context_blocks
from video_gc.models.weights.configuration import Configuration, Statement
from video_gc.models.weights.states import State

INFIX = ".context."
OWN = "own"
"""Kind of a block whose parameters have the names of none of ours."""
FRAMEWORK = ("gc", "snl", "se")
"""Kinds that are one class; its options are named for gc."""


def check_blocks(source: str, state: State, model: nn.Module) -> None:
    """Raise ValueError unless `state` has no context block or those of `model`, of equal shapes."""
    theirs, ours = _by_block(state), _by_block(model.state_dict())
    differing = {
        block: name
        for block in theirs
        if (name := _difference(theirs[block], ours.get(block, {}))) is not None
    }
    if not differing:
        return
    first = next(iter(differing))
    kind = _kind(theirs[first])
    own = _kind(ours[first]) if first in ours else "no block"
    where, place = _where(differing if kind == own else theirs, model)
    if kind == own:
        raise ValueError(
            f"weights {source} have {kind} blocks with other options at {where} "
            f"({differing[first]} differs); set theirs in model.context.options"
        )
    raise ValueError(
        f"weights {source} have {kind} blocks {place} of {where}, the network has {own}; use "
        f"context={'KIND' if kind == OWN else kind} model.context.place={place} "
        f"model.context.after=[{where}], or weights without context blocks"
    )


def _where(blocks: Iterable[str], model: nn.Module) -> tuple[str, str]:
    """Names of the residual blocks of some context blocks, and the place of the first."""
    names = _names(model)
    found = [names.get(block, (block, "after_add")) for block in blocks]
    return ",".join(name for name, _ in found), found[0][1]


def _difference(theirs: dict[str, Tensor], ours: dict[str, Tensor]) -> str | None:
    """The first name that only one of two blocks has, or has in another shape."""
    for name in [*theirs, *ours]:
        if name not in theirs or name not in ours:
            return name
        if _squeezed(theirs[name]) != _squeezed(ours[name]):
            return name
    return None


def _by_block(state: State) -> dict[str, dict[str, Tensor]]:
    """Path of the residual block → name inside its context block → tensor."""
    blocks: dict[str, dict[str, Tensor]] = defaultdict(dict)
    for name, tensor in state.items():
        if INFIX in name and not name.endswith("num_batches_tracked"):
            path, _, inner = name.partition(INFIX)
            blocks[path][inner] = tensor
    return dict(blocks)


def _names(model: nn.Module) -> dict[str, tuple[str, str]]:
    """Path of the module with a context block → residual block and place."""
    path_of = {module: path for path, module in model.named_modules()}
    return {
        path_of[there.module]: (name, place)
        for name, block in sites(model).items()
        for place, there in places(block).items()
    }


def _squeezed(tensor: Tensor) -> list[int]:
    return [length for length in tensor.shape if length != 1]


def _kind(block: dict[str, Tensor]) -> str:
    """The kind of a context block, from the names of its parameters."""
    if any(name.startswith("norms.") for name in block):
        return "cc"
    if "unary.weight" in block:
        return "dnl"
    if "value.weight" in block:
        return "nl"
    if "transform.0.weight" not in block:
        return OWN
    if "key.weight" not in block and "transform.1.weight" not in block:
        return "se"
    return "gc" if "transform.3.weight" in block else "snl"


def unstored_block_options(block: nn.Module) -> dict[str, Any]:
    """Option of a context block → its value, for relevant options that shapes do not show.

    Empty for a user's own block.
    """
    if isinstance(block, NonLocal):
        pool = list(block.pool) if block.pool and max(block.pool) > 1 else None
        found: dict[str, Any] = {"pairwise": block.pairwise, "span": block.span, "pool": pool}
        if pool:
            found["pool_at"] = block.pool_at
        if block.pairwise.endswith("gaussian"):
            found["scale"] = block.scale != 1.0
        return found
    if isinstance(block, DisentangledNonLocal):
        return {"temperature": block.temperature}
    if isinstance(block, CrissCross):
        return {"scale": block.scale != 1.0}
    if isinstance(block, GlobalContext):
        found = {} if block.fusion == "both" else {"fusion": block.fusion}
        if len(block.transform) > 1:
            found["relu"] = isinstance(block.transform[2], nn.ReLU)
        return found
    return {}


def named_options(contexts: Iterable[ContextConfig]) -> dict[str, set[str]]:
    """Kind of block → the options that configs set by name or by their kind."""
    named: dict[str, set[str]] = {}
    for context in contexts:
        if context.kind != "none":
            kind = _family(context.kind)
            given = {*context.options, *getattr(BLOCKS[context.kind], "keywords", ())}
            named[kind] = named.get(kind, given) & given
    return named


def library_options(naming: str, names: Collection[str]) -> list[tuple[str, Statement]]:
    """The fixed options of a library's blocks, for any configuration.

    naming: of the file. names: of its tensors.
    """
    if naming in ("PySlowFast", "Caffe2"):
        facts: dict[str, Any] = {"pool_at": "before"}
        if naming == "PySlowFast":
            facts |= {"scale": True}
    elif naming == "MMAction2":
        pooled = any(".non_local_block.g.0." in name for name in names)
        facts = {"span": "spacetime", "pool_at": "after", "pool": [1, 2, 2] if pooled else None}
        if any(".non_local_block." in name for name in names):
            if any(".concat_project." in name for name in names):
                facts |= {"pairwise": "concatenation"}
            elif not any(".non_local_block.theta." in name for name in names):
                facts |= {"pairwise": "gaussian", "scale": False}
    else:
        return []
    return [("", Statement(naming, value, option, value)) for option, value in facts.items()]


def check_block_options(
    source: str,
    model: nn.Module,
    loaded: Collection[str],
    said: Configuration,
    named: Mapping[str, Collection[str]],
) -> None:
    """Compare the context blocks of the loaded weights with the settings in the file.

    loaded: parameters from the file. named: kind of block → options set by name; the file must give
        the others.

    Raises ValueError naming the options that differ, with the file's values, and those that are
    missing.
    """
    wrong: dict[str, str] = {}
    missing: dict[str, None] = {}
    paths = {module: path for path, module in model.named_modules()}
    kind = ""
    for name, block in context_blocks(model).items():
        if not any(parameter.startswith(f"{paths[block]}.") for parameter in loaded):
            continue
        theirs = said.of_block(name)
        for option, value in unstored_block_options(block).items():
            if option in theirs:
                if value != theirs[option].value:
                    wrong.setdefault(option, _differing(name, option, value, theirs[option]))
                    kind = _family(kind_of(block))
            elif option not in named.get(_family(kind_of(block)), ()):
                missing[option] = None
                kind = _family(kind_of(block))
    if wrong:
        differing = "; ".join(wrong.values())
        raise ValueError(f"weights {source} have other context blocks: {differing}")
    if missing:
        shown = " ".join(f"model.context.options.{option}=…" for option in missing)
        raise ValueError(
            f"weights {source} do not tell the {', '.join(missing)} of their {kind} blocks, "
            f"and no parameter shows it; set each by name: {shown} (docs/weights.md lists "
            f"published files), in Python load_weights(named={{{kind!r}: {[*missing]}}})"
        )


def _family(kind: str) -> str:
    """The key in `named` for a kind of block: itself, or gc for SNL and SE too."""
    return "gc" if kind in FRAMEWORK else kind


def _differing(name: str, option: str, own: Any, said: Statement) -> str:
    typed = f"model.context.options.{option}={_yaml(said.value)}"
    return (
        f"{option} is {_yaml(own)} at {name}, theirs is {_yaml(said.value)} "
        f"({said.option}: {said.theirs}); use {repr(typed) if '[' in typed else typed}"
    )


def _yaml(value: Any) -> str:
    """The value as typed on the command line."""
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    return str(value).replace(" ", "") if isinstance(value, list) else str(value)
