"""The precisions, backends, sizes of calls and file formats of a network; without torch, for
parsers."""

from math import prod

from video_gc.extras import install_line

PRECISIONS = ("auto", "fp32", "bf16")
BACKENDS = ("auto", "eager", "compile", "openvino")
PRECISION_HELP = (
    "fp32, bf16, or auto: bf16 if the hardware supports it, or for predictions what video-gc "
    "benchmark predict --choose found to be fastest (auto)"
)
BACKEND_HELP = (
    "eager; compile (torch.compile: a minute at the start); openvino (on a CPU, an extra: "
    f"{install_line('openvino')}); or auto: eager, or for predictions what video-gc benchmark "
    "predict --choose found to be fastest (auto)"
)
MOST_CLIPS = 8
"""Clips in one call, if nothing better is known."""
POSITIONS = 2**20
"""Positions T·H·W of the clips in one call on a CPU, at most: the feature maps of more leave its
cache (docs/benchmarks.md)."""
FORMATS = {"onnx": ".onnx", "openvino": ".xml", "exported_program": ".pt2"}
"""Format of an exported model → suffix of its file."""
CLOSE_LOGITS = {"fp32": 1e-3, "fp16": 2e-2, "int8": 0.5}
"""Precision → the largest difference of a logit from the checkpoint's, as a share of the largest
logit, with which an exported model is kept."""
SAME_CLASS = 0.99
"""Least share of clips with the same best class, in fp16 and int8."""
EXPORT_LIMITS = (
    "A model is kept if no logit differs by more than "
    + ", ".join(f"{limit:g} ({name})" for name, limit in CLOSE_LOGITS.items())
    + " of the largest one, and, in fp16 and int8, "
    f"at least {SAME_CLASS:.0%} of the clips have the same best class."
)


def clips_in_call(clip: tuple[int, int, int], device: str) -> int:
    """Clips of (T, H, W) in one call that suit a device of this type: cpu or cuda."""
    if device != "cpu":
        return MOST_CLIPS
    return min(max(POSITIONS // prod(clip), 1), MOST_CLIPS)
