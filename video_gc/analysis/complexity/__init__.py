"""What a network costs: parameters, multiply-adds, activations, time and memory."""

from video_gc.analysis.complexity.counts import Complexity, complexity, multiply_adds
from video_gc.analysis.complexity.measured import measured_cost

__all__ = ["Complexity", "complexity", "measured_cost", "multiply_adds"]
