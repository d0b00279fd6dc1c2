"""The configuration of a network in its file of weights.

PySlowFast stores its whole configuration (`cfg`, YAML), MMAction2 the text of its config file
(`meta`, Python), our checkpoints their description. All are read as data: in the Python text only
assignments of literals and calls of `dict`.
"""

import ast
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import yaml

from video_gc.backbones import unstored_options as facts

LONGEST = 300_000
"""Largest configuration that is read, in characters."""
DEEPEST = 60
"""Largest nesting of brackets."""


@dataclass(frozen=True)
class Statement:
    """One setting in a file."""

    option: str
    """its name in the file"""
    theirs: Any
    fact: str
    """a property of `backbones.unstored_options`, or an option of a context block"""
    value: Any
    """the value of that fact"""


@dataclass(frozen=True)
class Configuration:
    """The settings of a network in its file."""

    network: list[Statement] = field(default_factory=list)
    context: list[tuple[str, Statement]] = field(default_factory=list)
    """for one context block (`res3.1`), for those in a stage (`slow.res4.`), or for all (``)"""
    as_command: str = ""
    """the options to type for that network, if known"""

    def of_block(self, name: str) -> dict[str, Statement]:
        """Option of the context block at `name` → its setting in the file."""
        return {
            said.fact: said
            for where, said in self.context
            if where in ("", name) or (where.endswith(".") and name.startswith(where))
        }

    def contradicted_by(self, network: Mapping[str, Any]) -> Statement | None:
        """The first setting that differs from a network's `backbones.unstored_options`."""
        return next(
            (s for s in self.network if s.fact in network and network[s.fact] != s.value), None
        )


def configuration(extra: Mapping[str, Any], naming: str) -> Configuration:
    """The settings in the plain values beside the weights; empty if none are understood."""
    if naming == "PySlowFast":
        return _pyslowfast(_yaml(extra.get("cfg")))
    if naming == "MMAction2":
        meta = _mapping(extra.get("meta"))
        return _mmaction2(_mapping(_python(meta.get("cfg") or meta.get("config")).get("model")))
    return Configuration()


def _pyslowfast(cfg: Mapping[str, Any]) -> Configuration:
    arch = str(_mapping(cfg.get("MODEL")).get("ARCH"))
    resnet, slowfast = _mapping(cfg.get("RESNET")), _mapping(cfg.get("SLOWFAST"))
    nonlocal_ = _mapping(cfg.get("NONLOCAL"))
    network = []
    if arch in ("c2d", "i3d", "2d", "slow_c2d", "slow_i3d", "slow"):
        pooling = 2 if arch in ("c2d", "i3d") else 1
        network += [
            Statement("MODEL.ARCH", arch, facts.POOLING, pooling),
            Statement("MODEL.ARCH", arch, facts.STEM_STRIDE, 1),
            Statement("MODEL.ARCH", arch, facts.STEM_PADDING, 1),
        ]
    if arch == "slowfast":
        network.append(Statement("MODEL.ARCH", arch, facts.SLOW_FRAMES, "spread"))
        if "ALPHA" in slowfast:
            alpha = slowfast["ALPHA"]
            network.append(Statement("SLOWFAST.ALPHA", alpha, facts.FRAME_RATIO, alpha))
    for option, fact in (
        ("SPATIAL_STRIDES", facts.STRIDES),
        ("SPATIAL_DILATIONS", facts.DILATIONS),
    ):
        if isinstance(stages := resnet.get(option), list):
            value = [stage[0] if isinstance(stage, list) and stage else stage for stage in stages]
            network.append(Statement(f"RESNET.{option}", stages, fact, value))
    if "STRIDE_1X1" in resnet:
        where = "1×1" if resnet["STRIDE_1X1"] else "3×3"
        network.append(Statement("RESNET.STRIDE_1X1", resnet["STRIDE_1X1"], facts.STRIDE_AT, where))
    return Configuration(network, _pyslowfast_context(nonlocal_, arch == "slowfast"))


def _pyslowfast_context(options: Mapping[str, Any], two: bool) -> list[tuple[str, Statement]]:
    how = options.get("INSTANTIATION")
    pairwise = {"softmax": "embedded_gaussian"}.get(str(how), how)
    found = []
    if how is not None:
        found.append(("", Statement("NONLOCAL.INSTANTIATION", how, "pairwise", pairwise)))
    for option in ("POOL", "GROUP"):
        stages = options.get(option)
        for stage, pathways in enumerate(stages if isinstance(stages, list) else [], start=2):
            for number, value in enumerate(pathways if isinstance(pathways, list) else []):
                prefix = f"{('slow.', 'fast.')[number % 2] if two else ''}res{stage}."
                if option == "POOL":
                    said = Statement("NONLOCAL.POOL", value, "pool", _pool(value))
                else:
                    span = "spacetime" if value == 1 else f"{value} groups of frames"
                    said = Statement("NONLOCAL.GROUP", value, "span", span)
                found.append((prefix, said))
    return found


def _mmaction2(model: Mapping[str, Any]) -> Configuration:
    backbone = _mapping(model.get("backbone"))
    kind = str(backbone.get("type")).split(".")[-1]
    network = []

    def say(option: str, default: Any, fact: str, value: Any = None) -> None:
        theirs = backbone.get(option, default)
        network.append(Statement(option, theirs, fact, theirs if value is None else value))

    if kind in ("C2D", "ResNet"):
        network += [
            Statement("backbone.type", kind, facts.POOLING, 2 if kind == "C2D" else 1),
            Statement("backbone.type", kind, facts.STEM_PADDING, 0 if kind == "C2D" else 1),
        ]
    elif kind in ("ResNet3d", "ResNet3dSlowOnly"):
        with_pool = backbone.get("with_pool2", kind == "ResNet3d")
        network.append(Statement("with_pool2", with_pool, facts.POOLING, 2 if with_pool else 1))
        strides = [backbone.get(f"{part}_stride_t", 1) for part in ("conv1", "pool1")]
        if all(isinstance(stride, int) for stride in strides):
            product = strides[0] * strides[1]
            said = Statement("conv1_stride_t, pool1_stride_t", strides, facts.STEM_STRIDE, product)
            network.append(said)
    elif kind == "ResNet3dSlowFast":
        network.append(Statement("backbone.type", kind, facts.SLOW_FRAMES, "strided"))
        say("resample_rate", 8, facts.FRAME_RATIO)
        say("speed_ratio", 8, facts.FRAME_RATIO)
        backbone = _mapping(backbone.get("slow_pathway"))
    if kind in ("C2D", "ResNet"):
        say("strides", [1, 2, 2, 2], facts.STRIDES)
    else:
        say("spatial_strides", [1, 2, 2, 2], facts.STRIDES)
        say("temporal_strides", [1, 1, 1, 1], facts.TIME_STRIDES)
    say("dilations", [1, 1, 1, 1], facts.DILATIONS)
    style = backbone.get("style", "pytorch")
    network.append(Statement("style", style, facts.STRIDE_AT, "1×1" if style == "caffe" else "3×3"))
    context = _mmaction2_context(_mapping(backbone.get("non_local_cfg")))
    return Configuration(network if kind != "None" else [], context if kind != "None" else [])


def _mmaction2_context(options: Mapping[str, Any]) -> list[tuple[str, Statement]]:
    """mmcv's NonLocal3d has its own defaults, and no scale for its gaussian."""
    mode = options.get("mode", "embedded_gaussian")
    scale = options.get("use_scale", True)
    pool = [1, 2, 2] if options.get("sub_sample", False) else None
    scaled = bool(scale) and mode != "gaussian"
    return [
        ("", Statement("non_local_cfg.mode", mode, "pairwise", mode)),
        ("", Statement("non_local_cfg.use_scale", scale, "scale", scaled)),
        ("", Statement("non_local_cfg.sub_sample", pool is not None, "pool", pool)),
    ]


def _pool(value: Any) -> Any:
    """The pooling kernel; None if it pools nothing."""
    return None if value in (None, [1, 1, 1]) else value


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _yaml(text: Any) -> Mapping[str, Any]:
    if not isinstance(text, str) or not _readable(text):
        return _mapping(text)
    try:
        return _mapping(yaml.safe_load(text))
    except (yaml.YAMLError, ValueError, RecursionError):
        return {}


def _python(text: Any) -> Mapping[str, Any]:
    """Name → value of the assignments of literals in a Python text."""
    if not isinstance(text, str) or not _readable(text):
        return _mapping(text)
    try:
        lines = ast.parse(text).body
        return {
            line.targets[0].id: _literal(line.value)
            for line in lines
            if isinstance(line, ast.Assign) and isinstance(line.targets[0], ast.Name)
        }
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return {}


def _literal(node: ast.expr) -> Any:
    """The value of a literal or of dict(name=literal, …); None for anything else."""
    if isinstance(node, ast.Constant):
        return node.value
    if isinstance(node, ast.List | ast.Tuple):
        return [_literal(item) for item in node.elts]
    if isinstance(node, ast.Dict):
        return {
            str(_literal(key)): _literal(value)
            for key, value in zip(node.keys, node.values, strict=True)
            if key is not None
        }
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "dict":
        return {word.arg: _literal(word.value) for word in node.keywords if word.arg}
    return None


def _readable(text: str) -> bool:
    """Whether it is neither too long nor nested too deeply for a parser's stack."""
    depth = deepest = 0
    for character in text if len(text) <= LONGEST else "":
        depth += (character in "([{") - (character in ")]}")
        deepest = max(deepest, depth)
    return len(text) <= LONGEST and deepest <= DEEPEST
