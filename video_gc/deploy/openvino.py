"""A network compiled by OpenVINO, an optional library, for the CPU."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

HINTS = {"fp32": "f32", "bf16": "bf16"}


def compile_openvino(
    model: nn.Module, clip_shape: tuple[int, int, int], size: int, *, precision: str
) -> Callable[[Tensor], Tensor]:
    """`model` for exactly `size` clips (3, T, H, W): clips → logits in fp32.

    It uses as many threads as torch uses now.
    """
    import openvino

    clips = torch.zeros(size, 3, *clip_shape)
    with torch.no_grad():  # without gradients the blocks use no autograd function of their own
        exported = torch.export.export(model, (clips,))
    compiled: Any = openvino.Core().compile_model(
        openvino.convert_model(exported),
        "CPU",
        {
            "INFERENCE_PRECISION_HINT": HINTS[precision],
            "INFERENCE_NUM_THREADS": torch.get_num_threads(),
            "PERFORMANCE_HINT": "LATENCY",
        },
    )

    def run(clips: Tensor) -> Tensor:
        logits = compiled(clips.contiguous().numpy(), share_outputs=False)[0]
        return torch.from_numpy(logits)

    return run
