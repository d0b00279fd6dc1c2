"""What each row's network costs: counted, and measured on this machine once for each network."""

import hashlib
import json
import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch

from video_gc.analysis.complexity import Complexity, complexity
from video_gc.analysis.complexity.counts import FLOPS
from video_gc.analysis.complexity.measured import measured_cost
from video_gc.analysis.measure import Cost, machine
from video_gc.atomic import write_text
from video_gc.data.sampling import ClipConfig
from video_gc.models.build import ModelConfig, sketch
from video_gc.progress import progress_bar, say

CACHE = "costs.json"
LOAD = "load"
COUNTED = f"of one test clip: {FLOPS}"
MEASURED = "one clip at a time, fp32"
Network = tuple[ModelConfig, ClipConfig]


@dataclass(frozen=True)
class Costs:
    """Of one network and clip."""

    counted: Complexity
    test: Cost | None = None
    """of a forward pass; None where it was not, or could not be, measured"""
    train: Cost | None = None
    """of a training step"""
    load: float = 0.0
    """how many other processes wanted the processor meanwhile, on average"""


def network_costs(
    networks: Sequence[Network], cache: Path, *, measure: bool = True, device: str | None = None
) -> list[Costs]:
    """The costs of each network; what `cache` has of this machine is not done again.

    device: cpu or cuda; by default a GPU where there is one.
    """
    device = device or ("cuda" if torch.cuda.is_available() else "cpu")
    kept: dict[str, Any] = {}
    if cache.is_file():
        try:
            kept = json.loads(cache.read_text(encoding="utf-8"))
        except ValueError:
            say(f"{cache}: cannot be read; all is counted and measured again", style="yellow")
    here = machine(torch.device(device)) | {"device": device}
    kinds: tuple[str, ...] = ("counted", "test", "train") if measure else ("counted",)
    jobs: dict[str, tuple[str, Network]] = {}
    for network in networks:
        for kind in kinds:
            key = _key(network, kind, {} if kind == "counted" else here)
            if key not in kept:
                jobs[key] = kind, network
    _work(jobs, kept, cache, device)
    found = []
    for network in networks:
        counted = Complexity(**_known(kept[_key(network, "counted", {})]))
        times = [kept.get(_key(network, kind, here)) for kind in ("test", "train")]
        test, train = (Cost(**_known(each)) if measure and each else None for each in times)
        load = max((each.get(LOAD, 0.0) for each in times if measure and each), default=0.0)
        found.append(Costs(counted, test, train, load))
    return found


def _work(
    jobs: dict[str, tuple[str, Network]], kept: dict[str, Any], cache: Path, device: str
) -> None:
    """Do what is missing and keep each result at once: measuring is slow and may be stopped."""
    if not jobs:
        return
    failed = []
    with progress_bar() as bar:
        task = bar.add_task("Measuring", total=len(jobs))
        for key, (kind, network) in jobs.items():
            bar.update(task, description=f"{'Counting' if kind == 'counted' else 'Measuring'}")
            try:
                kept[key] = asdict(_one(kind, network, device)) | {LOAD: round(_load(), 2)}
            except ChildProcessError as error:
                failed.append(f"{kind}: {error}")
            else:
                write_text(cache, json.dumps(kept, indent=1))
            bar.advance(task)
    for line in failed:
        say(f"not measured, {line}", style="yellow")


def _one(kind: str, network: Network, device: str) -> Complexity | Cost:
    model, clip = network
    if kind == "counted":
        shape = (clip.frames, clip.test_crop, clip.test_crop)
        return complexity(sketch(model), shape)
    return measured_cost(model, clip, batch=1, device=device, train=kind == "train")


def _load() -> float:
    """Processes that wanted the processor in the last minute, without the one that was measured."""
    if not hasattr(os, "getloadavg"):
        return 0.0
    return max(0.0, os.getloadavg()[0] - torch.get_num_threads())


def _known(kept: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in kept.items() if name != LOAD}


def _key(network: Network, kind: str, here: dict[str, str]) -> str:
    """Sixteen digits of what a figure depends on: network, size of the clip, machine."""
    model, clip = network
    side = clip.crop if kind == "train" else clip.test_crop
    what = [kind, asdict(replace(model, weights=None)), clip.frames, side, here]
    text = json.dumps(what, sort_keys=True)
    return hashlib.blake2b(text.encode(), digest_size=8).hexdigest()
