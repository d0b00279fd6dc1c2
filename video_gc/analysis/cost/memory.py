"""Peak memory of a network in tests or training, measured in a fresh process for each figure."""

from dataclasses import replace
from typing import Any

import torch
from torch import nn

from video_gc.analysis.cost.latency import build_work
from video_gc.analysis.measure import MIB, peak_mib
from video_gc.data.sampling import ClipConfig
from video_gc.deploy.device import pick_device
from video_gc.models.build import ModelConfig
from video_gc.subprocess_call import ProcessDied, call_in_new_process

STEPS = 2
"""Training steps measured; from the second on, the optimiser has its state."""


def peak_memory(
    model: ModelConfig, clip: ClipConfig, *, batch: int = 1, device: str = "cpu", train: bool
) -> float:
    """The peak memory of this `build_work` in MiB, measured in a fresh process.

    It contains weights, clips and feature maps, and in training also gradients and momentum, but
    not Python and its libraries. The number of threads is that of the calling process.

    Raises ValueError for a network that cannot be built or rejects such a clip, ChildProcessError
    if the process dies or fails, for example for lack of memory.
    """
    pick_device(device)
    side = clip.crop if train else clip.test_crop
    what = (
        f"{model.title}, {'training' if train else 'test'}, {batch} × "
        f"{clip.frames}×{side}² on {device}"
    )
    case = {"model": replace(model, weights=None), "clip": clip, "batch": batch,
            "device": device, "train": train}  # fmt: skip
    try:
        return call_in_new_process(_peak, case, torch.get_num_threads())
    except ValueError as error:
        raise ValueError(f"{what}: {error}") from None
    except Exception as error:
        raise ChildProcessError(f"{what}: {_reason(error)}") from None


def _peak(case: dict[str, Any], threads: int) -> float:
    """As `peak_memory`, in this process, which must be fresh."""
    torch.set_num_threads(threads)
    device = torch.device(case["device"])
    work = build_work(**case | {"device": device})
    _wake_libraries(device)
    held = [*work.network.parameters(), *work.network.buffers(), work.clips]
    before = sum(tensor.nbytes for tensor in held) / MIB
    return before + peak_mib(work.call, device, STEPS if case["train"] else 1)


def _reason(error: Exception) -> str:
    if isinstance(error, ProcessDied):
        if not str(error).startswith("SIGKILL"):
            return f"the process that measured it ended with {error}"
        reason = "the process that measured it was killed, most likely because the machine has no "
        return reason + "memory left; take a smaller batch or clip"
    if isinstance(error, RuntimeError | MemoryError):
        reason = (str(error) or "out of memory").splitlines()[0]
        return f"{reason}; where memory is short, take a smaller batch or clip"
    return f"{type(error).__name__}: {error}"


def _wake_libraries(device: torch.device) -> None:
    """Run a small network forward and backward, so memory of the libraries is not counted."""
    small = nn.Sequential(nn.Conv3d(3, 8, 3), nn.BatchNorm3d(8), nn.Flatten(), nn.Linear(64, 2))
    small.to(device)(torch.randn(2, 3, 4, 4, 4, device=device)).sum().backward()
