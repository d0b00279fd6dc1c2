"""Moments of a running network: on a CPU by its clock, on a GPU by events of its stream."""

import time
from typing import Any

import torch

from video_gc.analysis.measure import wait


class Clock:
    """Marks moments; on a GPU they are when the device gets there, not when Python does."""

    def __init__(self, device: torch.device) -> None:
        self.device, self.gpu = device, device.type == "cuda"

    def mark(self) -> Any:
        """The present moment."""
        if not self.gpu:
            return time.perf_counter()
        event = torch.cuda.Event(enable_timing=True)
        event.record(torch.cuda.current_stream(self.device))
        return event

    def between(self, start: Any, end: Any) -> float:
        """Seconds; on a GPU after `settle`."""
        return start.elapsed_time(end) / 1e3 if self.gpu else end - start

    def settle(self) -> None:
        """Wait for a GPU."""
        wait(self.device)
