"""The precisions and backends of a network; without torch, for parsers."""

PRECISIONS = ("auto", "fp32", "bf16")
BACKENDS = ("auto", "eager", "compile", "openvino")
INSTALL = 'pip install "video_gc[openvino]"'
PRECISION_HELP = "fp32, bf16, or auto: bf16 if the hardware supports it (auto)"
BACKEND_HELP = (
    "eager; compile (torch.compile: a minute at the start); openvino (on a CPU, an extra: "
    f"{INSTALL}); or auto: eager (auto)"
)
