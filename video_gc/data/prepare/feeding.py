"""How many processor cores read clips as fast as a GPU trains on them. Arithmetic only.

The share of a GPU's peak rate that a training reaches is an assumption, not a measurement.
"""

import math

PEAK = 989e12
"""FLOP/s of an H100 SXM in bf16 without sparsity, from NVIDIA's data sheet"""
SHARE = 0.3
"""Assumed share of the peak that a training reaches."""
FORWARDS = 3
"""Forward passes that a training step costs: one forward, and backward two, for the gradients of
the inputs and of the weights of each product."""
NETWORK = "Slow-only R50 with five GC"
MULTIPLY_ADDS = 41_765_142_528
"""Of a forward pass of NETWORK for one clip of 8×224²; a test counts them again."""


def trained_clips(multiply_adds: int, *, peak: float = PEAK, share: float = SHARE) -> float:
    """Clips per second on which a GPU trains.

    multiply_adds: of one forward pass of one clip; each is two FLOPs. peak: FLOP/s of the GPU.
    """
    return share * peak / (2 * FORWARDS * multiply_adds)


def cores_needed(clip_ms: float, clips_per_second: float) -> int:
    """Cores that together read so many clips, if one core reads a clip in `clip_ms`."""
    return math.ceil(clips_per_second * clip_ms / 1000)


def longest_ms(cores: int, clips_per_second: float) -> float:
    """Milliseconds of a core that a clip may take, if so many cores read so many clips."""
    return 1000 * cores / clips_per_second
