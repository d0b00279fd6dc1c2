"""Peak memory of a network, tested or trained, in a process of its own.

Peak memory is a process's, so each figure has a fresh one. It is a plain child and not one of
multiprocessing, which would run the caller's script again.
"""

import json
import os
import pickle
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import nn

from video_gc.analysis.cost.latency import build_work
from video_gc.analysis.measure import MIB, peak_mib
from video_gc.data.sampling import ClipConfig
from video_gc.deploy.device import pick_device
from video_gc.models.build import ModelConfig

CHILD = "from video_gc.analysis.cost.memory import answer; answer()"
PACKAGES = Path(__file__).parents[3]
STEPS = 2
"""Over which the peak of a training is taken: from the second on, the optimiser has its state."""


def peak_memory(
    model: ModelConfig, clip: ClipConfig, *, batch: int = 1, device: str = "cpu", train: bool
) -> float:
    """The most MiB that `build_work` of these holds at once, measured in a fresh process.

    It is of weights, clips and feature maps, and in training of gradients and momentum too; not of
    Python and its libraries. The threads are those of the calling process.

    Raises ValueError for a network that cannot be built or takes no such clip, ChildProcessError
    where the process dies or fails, for want of memory for instance.
    """
    pick_device(device)
    side = clip.crop if train else clip.test_crop
    what = (
        f"{model.backbone} R{model.depth}, {'training' if train else 'test'}, {batch} × "
        f"{clip.frames}×{side}² on {device}"
    )
    case = {"model": replace(model, weights=None), "clip": clip, "batch": batch,
            "device": device, "train": train, "threads": torch.get_num_threads()}  # fmt: skip
    return _apart(case, what)


def answer() -> None:
    """In the process of its own: read the case from stdin, write its peak to stdout."""
    case = pickle.load(sys.stdin.buffer)
    torch.set_num_threads(case.pop("threads"))
    try:
        reply: dict[str, Any] = {"peak": _peak(**case)}
    except ValueError as error:
        reply = {"refused": str(error)}
    except (RuntimeError, MemoryError) as error:
        reply = {"failed": (str(error) or "out of memory").splitlines()[0]}
    json.dump(reply, sys.stdout)


def _peak(
    model: ModelConfig, clip: ClipConfig, batch: int, device: str | torch.device, train: bool
) -> float:
    """As `peak_memory`, in this process, which should have done nothing before."""
    device = torch.device(device)
    work = build_work(model, clip, batch=batch, device=device, train=train)
    _wake_libraries(device)
    held = [*work.network.parameters(), *work.network.buffers(), work.clips]
    before = sum(tensor.nbytes for tensor in held) / MIB
    return before + peak_mib(work.call, device, STEPS if train else 1)


def _apart(case: dict[str, Any], what: str) -> float:
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
    return float(reply["peak"])


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
