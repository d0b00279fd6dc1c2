"""What a network loses when its NL blocks become SNL or GC blocks, each alone and all together."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from video_gc.analysis.attention.clips import Clips
from video_gc.analysis.attention.hooks import kind_of
from video_gc.analysis.attention.intervals import mean_intervals
from video_gc.analysis.compare.bootstrap import NORMAL
from video_gc.blocks import NonLocal
from video_gc.models.context import context_blocks
from video_gc.models.convert import Replaced, convert
from video_gc.progress import track

CALIBRATION = 32
"""Most clips that the mean query is taken over."""
FEWEST = 8
"""Fewer videos than this calibrate and measure both; more are divided."""
TOGETHER = "all together"


@dataclass(frozen=True)
class Interval:
    """A mean over videos and its 95 % interval."""

    value: float
    low: float | None
    """None with fewer than two videos"""
    high: float | None


@dataclass(frozen=True)
class Loss:
    """One replacement, on the clips that did not calibrate it."""

    block: str
    """name, or "all together" """
    to: str
    """snl or gc"""
    clips: int
    relative: Interval
    """|b - a| / |a| of the logits, a before and b after"""
    agreement: Interval
    """share of clips with the same class first"""
    labelled: int
    before: float | None
    """share of labelled clips recognised; None without any"""
    after: float | None
    change: Interval | None
    """after - before, paired over videos"""
    energy: float | None
    """share of W_v that the rank of a GC block keeps"""
    query_share: float | None
    """share of the mean query in the mean square of the queries"""


@dataclass(frozen=True)
class Losses:
    """All replacements of a network, and what was not replaced."""

    rows: list[Loss]
    reduction: int
    calibration: int
    """clips of the mean query"""
    apart: bool
    """whether other clips measured than calibrated"""
    left_out: dict[str, str]
    """block → why it cannot be converted"""


def convertible(model: nn.Module) -> tuple[list[str], dict[str, str]]:
    """The NL blocks that `convert` takes, and why it does not take the others."""
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


def measure_losses(
    model: nn.Module, clips: Clips, *, reduction: int = 4, seed: int = 0
) -> Losses | None:
    """Replace the NL blocks of `model` and compare, in one pass over `clips`; None without any.

    Each block is calibrated in the network as it was trained, on every fourth video (32 at most),
    and measured on the others; fewer than 8 videos do both.

    Raises ValueError where no video could be read.
    """
    names, reasons = convertible(model)
    if not names:
        return None
    rows = [row for row in range(len(clips.index)) if row not in clips.damaged]
    apart = len(rows) >= FEWEST
    calibrating = rows[::4][:CALIBRATION] if apart else rows
    measuring = [row for row in rows if row not in set(calibrating)] if apart else rows
    found = [clip for clip, _ in clips.batches("Calibrating the replacements", calibrating)]
    variants: list[tuple[str, str, dict[str, nn.Module]]] = []
    facts: dict[tuple[str, str], Replaced] = {}
    for to in ("snl", "gc"):
        calibrating_clips = track(found, f"Replacing by {to.upper()}", len(found))
        done = convert(model, to, calibrating_clips, blocks=names, reduction=reduction)
        new = {name: context_blocks(done.network)[name] for name in names}
        variants += [(name, to, {name: new[name]}) for name in names]
        if len(names) > 1:
            variants.append((TOGETHER, to, new))
        facts |= {(to, one.name): one for one in done.replaced}
    moved, same, right, base = _compare(model, clips, measuring, variants)
    labelled = ~np.isnan(base)
    known = bool(labelled.any())
    losses = []
    for number, (name, to, _) in enumerate(variants):
        fact = facts.get((to, name))
        change = (right[number] - base)[labelled]
        losses.append(
            Loss(
                name,
                to,
                len(base),
                moved_interval(moved[number], seed),
                share_interval(same[number]),
                int(labelled.sum()),
                float(base[labelled].mean()) if known else None,
                float(right[number][labelled].mean()) if known else None,
                change_interval(change) if known else None,
                fact.energy if fact else None,
                fact.query_share if fact else None,
            )
        )
    return Losses(losses, reduction, len(calibrating), apart, reasons)


def moved_interval(moved: np.ndarray, seed: int) -> Interval:
    """The mean of one value a video, 0 or more, with its interval by bootstrap over videos."""
    mean = float(moved.mean())
    if len(moved) < 2:
        return Interval(mean, None, None)
    low, high = mean_intervals(moved[:, None], np.arange(len(moved)), seed=seed)
    return Interval(mean, max(float(low[0]), 0.0), float(high[0]))


def share_interval(same: np.ndarray) -> Interval:
    """The share of ones among 0 and 1, with Wilson's interval, which has a width at 0 and 1, too.

    Wilson, Journal of the American Statistical Association 22, 1927.
    """
    count, share = len(same), float(same.mean())
    if count < 2:
        return Interval(share, None, None)
    middle = (share + NORMAL**2 / (2 * count)) / (1 + NORMAL**2 / count)
    half = NORMAL * (share * (1 - share) / count + NORMAL**2 / (4 * count**2)) ** 0.5
    half /= 1 + NORMAL**2 / count
    return Interval(share, min(middle - half, share), max(middle + half, share))


def change_interval(change: np.ndarray) -> Interval:
    """The mean of paired changes -1, 0 and 1, with a Wald interval after half a video was added to
    each cell of the paired table, so that it has a width where nothing changed.

    Agresti and Min, Statistics in Medicine 24, 2005.
    """
    count, mean = len(change), float(change.mean())
    if count < 2:
        return Interval(mean, None, None)
    more, less, total = (change > 0).sum() + 0.5, (change < 0).sum() + 0.5, count + 2
    middle = (more - less) / total
    half = NORMAL * ((more + less) - (more - less) ** 2 / total) ** 0.5 / total
    low, high = max(float(middle - half), -1.0), min(float(middle + half), 1.0)
    return Interval(mean, low, high)


@contextmanager
def swapped(model: nn.Module, blocks: Mapping[str, nn.Module]) -> Iterator[None]:
    """Within it, `model` has these context blocks in place of its own of the same names."""
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
    model: nn.Module,
    clips: Clips,
    rows: Sequence[int],
    variants: Sequence[tuple[str, str, dict[str, nn.Module]]],
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Relative move, agreement and hits of each variant (variants, V), hits before (V,).

    Hits are nan where a clip has no label.
    """
    index = clips.index
    moved, same, right, base = [], [], [], []
    with torch.inference_mode():
        for clip, videos in clips.batches("Replacing blocks", rows):
            labels = torch.from_numpy(index.labels[videos])
            unknown = (labels < 0) | index.multi_label
            logits = model(clip).cpu().double()
            base.append(_hits(logits, labels, unknown))
            parts = []
            for _, _, blocks in variants:
                with swapped(model, blocks):
                    parts.append(model(clip).cpu().double())
            others = torch.stack(parts)
            distance = torch.linalg.vector_norm(others - logits, dim=2)
            size = torch.linalg.vector_norm(logits, dim=1).clamp(min=1e-12)
            moved.append(distance / size)
            same.append((others.argmax(2) == logits.argmax(1)).double())
            right.append(_hits(others, labels, unknown))
    if not base:
        raise ValueError("no clips to measure the replacements on")
    every = [torch.cat(part, -1).numpy() for part in (moved, same, right, base)]
    return every[0], every[1], every[2], every[3]


def _hits(logits: Tensor, labels: Tensor, unknown: Tensor) -> Tensor:
    right = (logits.argmax(-1) == labels).double()
    return torch.where(unknown, torch.nan, right)
