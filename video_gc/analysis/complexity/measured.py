"""Latency and peak memory of a network, tested or trained, in a process of its own.

Peak memory is a process's, so each figure has a fresh one. It is a plain child and not one of
multiprocessing, which would run the caller's script again.
"""

import json
import os
import pickle
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from video_gc.analysis.measure import MIB, Cost, measure
from video_gc.data.sampling import ClipConfig
from video_gc.engine.device import pick_device
from video_gc.engine.recipe.optim import OptimConfig, build_optimizer
from video_gc.models.build import ModelConfig, build_model

CHILD = "from video_gc.analysis.complexity.measured import answer; answer()"
PACKAGES = Path(__file__).parents[3]
STEPS = 2
"""Over which the peak of a training is taken: from the second on, the optimiser has its state."""


def measured_cost(
    model: ModelConfig,
    clip: ClipConfig,
    *,
    batch: int = 1,
    device: str = "cpu",
    train: bool,
    seconds: float = 1.0,
) -> Cost:
    """Latency and peak memory of `batch` clips in a fresh process, in fp32, channels last.

    model: with num_classes; its weights are not loaded, for they cost the same. clip: its
    `test_crop` is what a test sees, its `crop` a training. train: forward, loss, backward and a
    step of the default optimiser; otherwise forward alone, without gradients, norms not folded.
    seconds: to repeat a quick call for. The threads are those of the calling process.

    The peak is of all that the work holds at once, in MiB: weights, clips and feature maps, and in
    training gradients and momentum too; not Python and its libraries.

    Raises ValueError for a network that cannot be built or takes no such clip, ChildProcessError
    where the process dies or fails, for want of memory for instance.
    """
    pick_device(device)
    side = clip.crop if train else clip.test_crop
    what = (
        f"{model.backbone} R{model.depth}, {'training' if train else 'test'}, {batch} × "
        f"{clip.frames}×{side}² on {device}"
    )
    case = {
        "model": replace(model, weights=None),
        "size": (batch, 3, clip.frames, side, side),
        "device": device,
        "train": train,
        "seconds": seconds,
        "threads": torch.get_num_threads(),
    }
    return Cost(**_apart(case, what))


def cost_of(
    model: ModelConfig,
    size: tuple[int, int, int, int, int],
    device: torch.device,
    *,
    train: bool,
    seconds: float,
) -> Cost:
    """As `measured_cost`, in this process, which should have done nothing before."""
    torch.manual_seed(0)
    network = build_model(model).to(device).to(memory_format=torch.channels_last_3d).train(train)
    clips = torch.randn(size, device=device).to(memory_format=torch.channels_last_3d)
    _wake_libraries(device)
    if train:
        call = training_step(network, clips, model.num_classes or 1)
    else:
        call = torch.inference_mode()(lambda: network(clips))
    cost = measure(call, device, seconds, peak_calls=STEPS if train else 1)
    held = [*network.parameters(), *network.buffers(), clips]
    return replace(cost, peak_mib=cost.peak_mib + sum(tensor.nbytes for tensor in held) / MIB)


def training_step(network: nn.Module, clips: Tensor, classes: int) -> Callable[[], object]:
    """A call that does forward, loss, backward and a step of the default optimiser."""
    optimizer = build_optimizer(network, OptimConfig(lr=1e-6))  # weights that stay what they are
    labels = torch.arange(len(clips), device=clips.device) % classes

    def step() -> None:
        optimizer.zero_grad()
        F.cross_entropy(network(clips), labels).backward()
        optimizer.step()

    return step


def answer() -> None:
    """In the process of its own: read the case from stdin, write the cost to stdout."""
    case = pickle.load(sys.stdin.buffer)
    torch.set_num_threads(case.pop("threads"))
    case["device"] = torch.device(case["device"])
    try:
        reply: dict[str, Any] = {"cost": asdict(cost_of(**case))}
    except ValueError as error:
        reply = {"refused": str(error)}
    except (RuntimeError, MemoryError) as error:
        reply = {"failed": (str(error) or "out of memory").splitlines()[0]}
    json.dump(reply, sys.stdout)


def _apart(case: dict[str, Any], what: str) -> dict[str, Any]:
    """The reply of a fresh process to `case`. what: the case in words, for errors."""
    paths = [str(PACKAGES), os.environ.get("PYTHONPATH", "")]
    done = subprocess.run(
        [sys.executable, "-c", CHILD],
        input=pickle.dumps(case),
        capture_output=True,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, paths))},
        check=False,
    )
    if done.returncode:
        lines = done.stderr.decode(errors="replace").strip().splitlines()
        raise ChildProcessError(f"{what}: {_end(done.returncode, lines)}")
    reply: dict[str, Any] = json.loads(done.stdout)
    if "refused" in reply:
        raise ValueError(f"{what}: {reply['refused']}")
    if "failed" in reply:
        raise ChildProcessError(
            f"{what}: {reply['failed']}; where memory is short, take a smaller batch or clip"
        )
    cost: dict[str, Any] = reply["cost"]
    return cost


def _end(status: int, lines: list[str]) -> str:
    if status == -signal.SIGKILL:
        return (
            "the process that measured it was killed, most likely because the machine has no "
            "memory left; take a smaller batch or clip"
        )
    name = signal.Signals(-status).name if status < 0 else f"status {status}"
    return ": ".join([f"the process that measured it ended with {name}", *lines[-1:]])


def _wake_libraries(device: torch.device) -> None:
    """A small network forward and backward: what libraries hold for themselves is not counted."""
    small = nn.Sequential(nn.Conv3d(3, 8, 3), nn.BatchNorm3d(8), nn.Flatten(), nn.Linear(64, 2))
    small.to(device)(torch.randn(2, 3, 4, 4, 4, device=device)).sum().backward()
