"""The cost of each row's network: counted, and measured on this machine.

Memory is measured once per network. Time is measured for all networks in turns, so that rows can be
compared; a new network makes all of them take turns again.
"""

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch

from video_gc.analysis.cost.latency import MODES, Network, Spread, rounds, spread, time_networks
from video_gc.analysis.cost.memory import peak_memory
from video_gc.analysis.measure import load, machine
from video_gc.atomic import write_text
from video_gc.models.build import sketch
from video_gc.models.counts import FLOPS, Complexity, complexity
from video_gc.progress import progress_bar, say

CACHE = "costs.json"
LOAD = "load"
COUNTED = f"of one test clip: {FLOPS}"
MEASURED = (
    "one clip at a time, fp32; time: median of rounds in which all rows take turns, brackets: half "
    "of the rounds"
)
SECONDS = 8.0
"""For a network's turns, tested or trained, including building it."""


@dataclass(frozen=True)
class Measured:
    """A forward pass, or a training step."""

    time: Spread
    """seconds, of rounds"""
    peak_mib: float

    @property
    def seconds(self) -> float:
        """Median."""
        return self.time.median


@dataclass(frozen=True)
class Costs:
    """Costs of one network and clip."""

    counted: Complexity
    test: Measured | None = None
    """of a forward pass; None if not measured"""
    train: Measured | None = None
    """of a training step"""
    load: float = 0.0
    """mean number of other processes that wanted the processor during the turns"""


def network_costs(
    networks: Sequence[Network],
    cache: Path,
    *,
    measure: bool = True,
    device: str | None = None,
) -> list[Costs]:
    """The costs of each network; figures of this machine in `cache` are reused.

    device: cpu or cuda; by default a GPU if available.
    """
    device = device or ("cuda" if torch.cuda.is_available() else "cpu")
    here = machine(torch.device(device)) | {"device": device}
    modes = list(MODES) if measure else []
    keyed = {kind: {_key(network, kind, here): network for network in networks}
             for kind in ("counted", *modes)}  # fmt: skip
    kept = _read(cache)
    jobs = [(kind, key) for kind, own in keyed.items() for key in own if key not in kept]
    due = [mode for mode in modes if keyed[mode].keys() - kept.get(f"turns {mode}", {})]
    if due:
        number = len(keyed[due[0]])
        say(
            f"Measuring {number} network{'s' * (number > 1)} on this machine: "
            f"{SECONDS * sum(len(keyed[mode]) for mode in due):.0f} s or longer, and "
            f"{sum(kind != 'counted' for kind, _ in jobs)} processes of a few seconds each for "
            f"memory; --no-measure leaves it out, {cache} keeps it"
        )
    with progress_bar() as bar:
        for kind, key in bar.track(jobs, description="Cost of networks") if jobs else ():
            try:
                kept[key] = _one(kind, keyed[kind][key], device)
            except ChildProcessError as error:
                say(f"not measured, {kind}: {error}", style="yellow")
            else:  # saved at once, because it is slow and may be stopped
                write_text(cache, json.dumps(kept, indent=1))
        for mode in modes:
            fit = {key: network for key, network in keyed[mode].items() if key in kept}
            if fit.keys() - kept.get(f"turns {mode}", {}):
                title = f"Rounds of {len(fit)} networks in turns, {mode}"
                each = bar.track(rounds(SECONDS, len(fit)), total=None, description=title)
                kept[f"turns {mode}"] = _turns(fit, mode, device, each)
                write_text(cache, json.dumps(kept, indent=1))
    return [
        _costs({kind: _key(network, kind, here) for kind in keyed}, kept) for network in networks
    ]


def _read(cache: Path) -> dict[str, Any]:
    if cache.is_file():
        try:
            return dict(json.loads(cache.read_text(encoding="utf-8")))
        except (ValueError, TypeError):
            say(
                f"{cache}: cannot be read; everything is counted and measured again", style="yellow"
            )
    return {}


def _one(kind: str, network: Network, device: str) -> Any:
    """The stored costs of one network: the counts, or the MiB of a mode."""
    model, clip = network
    if kind == "counted":
        return asdict(complexity(sketch(model), clip.test_shape))
    return peak_memory(model, clip, device=device, train=MODES[kind])


def _turns(
    fit: Mapping[str, Network], mode: str, device: str, rounds: Iterable[int]
) -> dict[str, Any]:
    """The time of each network in the same rounds, and the load from other processes."""
    times = time_networks(fit, rounds, device=torch.device(device), train=MODES[mode])
    beside = round(max(0.0, load() - torch.get_num_threads()), 2)
    return {key: asdict(spread(own)) | {LOAD: beside} for key, own in times.items()}


def _costs(keys: Mapping[str, str], kept: Mapping[str, Any]) -> Costs:
    """keys: of one network, by what is counted or measured."""
    found, beside = {}, 0.0
    for mode in MODES:
        if keys.get(mode) in kept:
            time = dict(kept[f"turns {mode}"][keys[mode]])
            beside = max(beside, time.pop(LOAD))
            found[mode] = Measured(Spread(**time), kept[keys[mode]])
    return Costs(Complexity(**kept[keys["counted"]]), **found, load=beside)


def _key(network: Network, kind: str, here: Mapping[str, str]) -> str:
    """A hash of 16 digits of all that a figure depends on: network, clip size, machine."""
    model, clip = network
    side = clip.crop if kind == "train" else clip.test_crop
    where = {} if kind == "counted" else here
    what = [kind, "cost-2", asdict(model), clip.frames, side, where]
    text = json.dumps(what, sort_keys=True)
    return hashlib.blake2b(text.encode(), digest_size=8).hexdigest()
