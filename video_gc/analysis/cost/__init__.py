"""A network's cost: parameters, multiply-adds, activations, time and memory."""

from video_gc.analysis.cost.counts import Complexity, complexity
from video_gc.analysis.cost.memory import peak_memory

__all__ = ["Complexity", "complexity", "peak_memory"]
