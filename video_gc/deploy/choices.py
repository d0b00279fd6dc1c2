"""The precisions, backends and file formats of a network; without torch, for parsers."""

from video_gc.extras import install_line

PRECISIONS = ("auto", "fp32", "bf16")
BACKENDS = ("auto", "eager", "compile", "openvino")
PRECISION_HELP = "fp32, bf16, or auto: bf16 if the hardware supports it (auto)"
BACKEND_HELP = (
    "eager; compile (torch.compile: a minute at the start); openvino (on a CPU, an extra: "
    f"{install_line('openvino')}); or auto: eager, or for predictions what video-gc benchmark "
    "predict --choose found to be fastest (auto)"
)
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
