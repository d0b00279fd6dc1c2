"""A network's cost: parameters, multiply-adds, activations, time and memory."""

from video_gc.analysis.cost.memory import peak_memory
from video_gc.models.counts import Complexity, complexity

__all__ = ["Complexity", "complexity", "peak_memory"]
