"""The loss when a network's NL blocks become SNL or GC blocks, each alone and all together."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch
from scipy import stats
from torch import Tensor, nn

from video_gc.analysis.attention.statistics import Interval, mean_intervals
from video_gc.analysis.clips import Clips
from video_gc.analysis.compare.bootstrap import NORMAL
from video_gc.blocks import NonLocal, kind_of
from video_gc.models.context import context_blocks
from video_gc.models.convert import Replaced, convert
from video_gc.progress import track

CALIBRATION = 32
"""Most clips for the mean query."""
FEWEST = 8
"""With fewer videos, all are used both to calibrate and to measure; more are divided."""
TOGETHER = "all together"

Variants = dict[tuple[str, str], dict[str, nn.Module]]
"""(block or TOGETHER, snl or gc) → the new blocks by name."""


@dataclass(frozen=True)
class Replacement:
    """One replacement, measured on clips that were not used to calibrate it."""

    block: str
    """name, or "all together" """
    to: str
    """snl or gc"""
    clips: int
    relative: Interval
    """|b - a| / |a| of the logits, a before and b after"""
    agreement: Interval
    """share of clips with the same best class"""
    labelled: int
    before: float | None
    """share of labelled clips recognised; None without labels"""
    after: float | None
    change: Interval | None
    """after - before, paired over videos"""
    energy: float | None
    """share of W_v kept by the rank of a GC block"""
    query_share: float | None
    """share of the mean query in the mean square of the queries"""


@dataclass(frozen=True)
class Replacements:
    """All replacements of a network, and the blocks not replaced."""

    rows: list[Replacement]
    reduction: int
    calibration: int
    """number of clips for the mean query"""
    apart: bool
    """whether different clips were used to calibrate and to measure"""
    left_out: dict[str, str]
    """block → why it cannot be converted"""


def convertible_blocks(model: nn.Module) -> tuple[list[str], dict[str, str]]:
    """The NL blocks accepted by `convert`, and the reasons for the others."""
    names, reasons = [], {}
    for name, block in context_blocks(model).items():
        if not isinstance(block, NonLocal):
            reasons[name] = f"{kind_of(block)} is no NL block"
        elif not block.pairwise.endswith("gaussian"):
            reasons[name] = f"{block.pairwise} has no softmax"
        elif block.span != "spacetime":
            reasons[name] = f"span {block.span} has a map for each frame or location"
        else:
            names.append(name)
    return names, reasons


def measure_replacements(
    model: nn.Module, clips: Clips, *, reduction: int = 4, seed: int = 0
) -> Replacements | None:
    """Replace the NL blocks of `model` and compare, in one pass over `clips`; None without any.

    Each block is calibrated in the trained network, on every fourth video (32 at most), and
    measured on the others; fewer than 8 videos are used for both.
    """
    names, reasons = convertible_blocks(model)
    if not names:
        return None
    rows = clips.sound
    apart = len(rows) >= FEWEST
    calibrating = rows[::4][:CALIBRATION] if apart else rows
    measuring = [row for row in rows if row not in set(calibrating)] if apart else rows
    batches = [clip for clip, _ in clips.batches("Calibrating the replacements", calibrating)]
    variants: Variants = {}
    facts: dict[tuple[str, str], Replaced] = {}
    for to in ("snl", "gc"):
        shown = track(batches, f"Replacing by {to.upper()}", len(batches))
        done = convert(model, to, shown, blocks=names, reduction=reduction)
        new = {name: context_blocks(done.network)[name] for name in names}
        variants |= {(name, to): {name: new[name]} for name in names}
        if len(names) > 1:
            variants[TOGETHER, to] = new
        facts |= {(one.name, to): one for one in done.replaced}
    moved, same, right, base = _compare(model, clips, measuring, list(variants.values()))
    labelled = ~np.isnan(base)
    before, known = base[labelled], bool(labelled.any())
    found = []
    for row, variant in enumerate(variants):
        after, fact = right[row][labelled], facts.get(variant)
        one = Replacement(
            *variant,
            clips=len(base),
            relative=mean_interval(moved[row], seed),
            agreement=share_interval(same[row]),
            labelled=len(before),
            before=float(before.mean()) if known else None,
            after=float(after.mean()) if known else None,
            change=change_interval(after - before) if known else None,
            energy=fact.energy if fact else None,
            query_share=fact.query_share if fact else None,
        )
        found.append(one)
    return Replacements(found, reduction, len(calibrating), apart, reasons)


@contextmanager
def swap_blocks(model: nn.Module, blocks: Mapping[str, nn.Module]) -> Iterator[None]:
    """In the block, `model` has these context blocks in place of its own of the same names."""
    own = context_blocks(model)
    holders = {id(child): module for module in model.modules() for child in module.children()}
    at = {name: holders[id(own[name])] for name in blocks}
    try:
        for name, block in blocks.items():
            at[name].context = block
        yield
    finally:
        for name, holder in at.items():
            holder.context = own[name]


def _compare(
    model: nn.Module, clips: Clips, rows: Sequence[int], variants: Sequence[dict[str, nn.Module]]
) -> list[np.ndarray]:
    """Relative change, agreement and hits of each variant (variants, V), hits before (V,).

    Hits are nan for a clip without a label.
    """
    parts: list[tuple[Tensor, ...]] = []
    with torch.inference_mode():
        for clip, videos in clips.batches("Replacing blocks", rows):
            labels = torch.from_numpy(clips.index.labels[videos])
            unknown = (labels < 0) | clips.index.multi_label
            logits = model(clip).cpu().double()
            changed = []
            for blocks in variants:
                with swap_blocks(model, blocks):
                    changed.append(model(clip).cpu().double())
            others = torch.stack(changed)
            size = torch.linalg.vector_norm(logits, dim=1).clamp(min=1e-12)
            moved = torch.linalg.vector_norm(others - logits, dim=2) / size
            first, before = others.argmax(2), logits.argmax(1)
            hits = [
                (one == labels).double().masked_fill(unknown, torch.nan) for one in (first, before)
            ]
            parts.append((moved, (first == before).double(), *hits))
    return [torch.cat(part, -1).numpy() for part in zip(*parts, strict=True)]


def mean_interval(values: np.ndarray, seed: int) -> Interval:
    """The mean of one value (≥ 0) per video, with its bootstrap interval over videos."""
    mean = float(values.mean())
    if len(values) < 2:
        return Interval(mean, None, None)
    (low,), (high,) = mean_intervals(values[:, None], seed=seed)
    return Interval(mean, max(float(low), 0.0), float(high))


def share_interval(same: np.ndarray) -> Interval:
    """The share of ones among 0 and 1, with Wilson's interval, whose width is not 0 at 0 and 1.

    Wilson, Journal of the American Statistical Association 22, 1927.
    """
    share = float(same.mean())
    if len(same) < 2:
        return Interval(share, None, None)
    ends = stats.binomtest(int(same.sum()), len(same)).proportion_ci(method="wilson")
    return Interval(share, float(ends.low), float(ends.high))


def change_interval(change: np.ndarray) -> Interval:
    """The mean of paired changes -1, 0 and 1, with a Wald interval after adding half a video to
    each cell of the paired table, so its width is not 0 if nothing changed.

    Agresti and Min, Statistics in Medicine 24, 2005.
    """
    mean = float(change.mean())
    if len(change) < 2:
        return Interval(mean, None, None)
    more, less, total = (change > 0).sum() + 0.5, (change < 0).sum() + 0.5, len(change) + 2
    middle = (more - less) / total
    half = NORMAL * ((more + less) - (more - less) ** 2 / total) ** 0.5 / total
    return Interval(mean, max(float(middle - half), -1.0), min(float(middle + half), 1.0))
