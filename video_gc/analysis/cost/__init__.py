"""A network's cost by parts: parameters, multiply-adds, activations, time and memory."""

from video_gc.analysis.cost.memory import peak_memory

__all__ = ["peak_memory"]
