"""A trained network, ready for inference: precision, backend, norms folded.

docs/benchmarks.md compares the choices.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch
from torch import Tensor, nn

from video_gc.deploy.choices import BACKENDS, MOST_CLIPS, PRECISIONS, clips_in_call
from video_gc.deploy.fastest import Way, fastest
from video_gc.deploy.fold import fold_norms
from video_gc.deploy.model_file import files_hash
from video_gc.extras import need

SMALL = 64
"""Side in pixels of the clip on which the folded and unfolded networks are compared."""


@dataclass(frozen=True)
class FastNetwork:
    """Clips (n, 3, T, H, W) in fp32 → logits (n, classes) in fp32, on `device`, for any n."""

    run: Callable[[Tensor], Tensor]
    device: torch.device
    precision: str
    """fp32, bf16 or int8 for the products; sums are in fp32. An exported model: its own"""
    backend: str
    """eager, compile or openvino; onnxruntime, openvino or torch.export for an exported model"""
    folded: int
    """number of batch norms folded into the convolution before them"""
    model: nn.Module | None
    """the folded network in torch, to find the first layer with a NaN; None: an exported model"""
    micro_batch: int = MOST_CLIPS
    """clips in one call that suit it"""
    file_hash: str = ""
    """of the files of an exported model, or of one in int8"""

    def __call__(self, clips: Tensor) -> Tensor:
        """The logits; without gradients.

        Raises FloatingPointError, naming the layer, if they are NaN or infinite.
        """
        logits = self.run(clips)
        if not logits.isfinite().all():
            found = self.model and first_not_finite(self.model, clips)
            layer = found or "the output"
            raise FloatingPointError(
                f"the network's scores are NaN or infinite, first in {layer} ({self.about})"
                + ("; try --precision fp32" if self.precision == "bf16" else "")
            )
        return logits

    @property
    def about(self) -> str:
        """The choices, for a title or a table."""
        folded = f", {self.folded} norms folded" if self.folded else ""
        return f"{self.precision}, {self.backend}{folded}, {self.device}"


def fast_network(
    model: nn.Module,
    clip_shape: tuple[int, int, int],
    *,
    device: torch.device,
    precision: str = "auto",
    backend: str = "auto",
    micro_batch: int | None = None,
    way: Way | None = None,
) -> FastNetwork:
    """A copy of `model` that is ready to score clips.

    clip_shape: (T, H, W). precision, backend: if both are auto, the fastest way that was measured
    here (`fastest`), else bf16 where the hardware has it, and eager. micro_batch: clips in one call
    (default: as measured, or `clips_in_call`); `compile` and `openvino` build a network for this
    number and one for a single clip; other numbers are padded with zeros. way: all of these.

    Raises ValueError for an unknown choice, ImportError with the install command if OpenVINO is
    missing.
    """
    way = way or choose_way(model, clip_shape, device, precision, backend)
    precision, backend, micro_batch = way.precision, way.backend, micro_batch or way.micro_batch
    # on the model's device: a GPU's TF32 may differ by more than folding is allowed to
    where = next(model.parameters()).device
    folded, count = fold_norms(model, example_clip(model, clip_shape).to(where))
    folded = folded.to(device)
    run: Callable[[Tensor], Tensor]
    if way.file:
        run = run_int8(way.file, clip_shape, micro_batch)
    elif backend == "openvino":
        from video_gc.deploy.openvino import compile_openvino

        compile_for = partial(compile_openvino, folded, clip_shape, precision=precision)
        run = FixedSizes(compile_for, micro_batch)
    else:
        folded = _ready(folded, precision)
        run = partial(_eager, folded, precision)
        if backend == "compile":
            run = FixedSizes(partial(_compiled, folded, precision), micro_batch)
    digest = files_hash(way.file) if way.file else ""
    return FastNetwork(run, device, precision, backend, count, folded, micro_batch, digest)


def run_int8(file: Path, clip_shape: tuple[int, int, int], micro_batch: int) -> "FixedSizes":
    """OpenVINO's model in int8 for any number of clips, in calls of `micro_batch` or one.

    It is read at once: the file may go afterwards. Raises ValueError for a damaged one.
    """
    from video_gc.deploy.openvino import compile_int8, read_int8

    return FixedSizes(partial(compile_int8, read_int8(file), clip_shape), micro_batch)


def first_not_finite(model: nn.Module, clips: Tensor) -> str | None:
    """The first layer whose output is NaN or infinite for these clips; None if all are finite."""
    found: list[str] = []

    def look(name: str, output: object) -> None:
        if isinstance(output, Tensor) and not output.isfinite().all():
            found.append(name)

    handles = [
        module.register_forward_hook(lambda _module, _inputs, output, name=name: look(name, output))
        for name, module in model.named_modules()
    ]
    weight = next(model.parameters())
    try:
        _eager(model, "bf16" if weight.dtype == torch.bfloat16 else "fp32", clips)
    finally:
        for handle in handles:
            handle.remove()
    return found[0] if found else None


def choose_way(
    model: nn.Module,
    clip_shape: tuple[int, int, int],
    device: torch.device,
    precision: str = "auto",
    backend: str = "auto",
) -> Way:
    """How to run `model`: as given, as measured, or as `choose` says. Raises as `choose`."""
    measured = fastest(model, clip_shape, device) if precision == backend == "auto" else None
    size = clips_in_call(clip_shape, device.type)
    return measured or Way(*choose(device, precision, backend), size)


def choose(device: torch.device, precision: str, backend: str) -> tuple[str, str]:
    """Replace `auto` by the choice for this machine, and check the others.

    Raises ValueError for an unknown choice, ImportError if OpenVINO is missing.
    """
    for name, value, choices in (
        ("precision", precision, PRECISIONS),
        ("backend", backend, BACKENDS),
    ):
        if value not in choices:
            raise ValueError(f"{name} ({value!r}) must be one of {', '.join(choices)}")
    if precision == "auto":
        precision = "bf16" if has_bf16(device) else "fp32"
    if backend == "auto":
        backend = "eager"
    if backend == "openvino" and device.type != "cpu":
        raise ValueError(f"backend (openvino) runs on the CPU, not on {device}; use eager")
    if backend == "openvino":
        need("openvino", "openvino", by="backend (openvino)")
    return precision, backend


def has_bf16(device: torch.device) -> bool:
    """Whether the device supports bf16 in hardware; elsewhere bf16 is slower than fp32."""
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    return device.type == "cpu" and torch.cpu.get_capabilities().get("avx512_bf16", False)


class FixedSizes:
    """Networks for fixed numbers of clips, built when they are first needed."""

    def __init__(self, make: Callable[[int], Callable[[Tensor], Tensor]], size: int) -> None:
        """make: number of clips → network, may be slow. size: clips in a full call."""
        self.make, self.size = make, size
        self.networks: dict[int, Callable[[Tensor], Tensor]] = {}

    def __call__(self, clips: Tensor) -> Tensor:
        """(n, 3, T, H, W) → (n, classes)."""
        return torch.cat([self._some(part) for part in clips.split(self.size)])

    def _some(self, clips: Tensor) -> Tensor:
        count = len(clips)
        size = 1 if count == 1 else self.size
        if size not in self.networks:
            self.networks[size] = self.make(size)
        if count < size:
            clips = torch.cat([clips, clips.new_zeros(size - count, *clips.shape[1:])])
        return self.networks[size](clips)[:count]


def example_clip(model: nn.Module, clip_shape: tuple[int, int, int]) -> Tensor:
    """One clip to observe the network with: small if its head takes any size."""
    frames, height, width = clip_shape
    if not any(isinstance(module, nn.AvgPool3d) for module in model.modules()):
        height, width = min(height, SMALL), min(width, SMALL)
    random = torch.Generator().manual_seed(0)
    return torch.randn((1, 3, frames, height, width), generator=random)


def _ready(model: nn.Module, precision: str) -> nn.Module:
    """Lay out and round the weights; the classifier stays in fp32, which avoids ties."""
    model = model.to(memory_format=torch.channels_last_3d)
    return rounded(model, torch.bfloat16) if precision == "bf16" else model


def rounded(model: nn.Module, dtype: torch.dtype) -> nn.Module:
    """Round all weights but the classifier's, in place."""
    linear = [module for module in model.modules() if isinstance(module, nn.Linear)]
    model = model.to(dtype)
    if linear:
        linear[-1].float().register_forward_pre_hook(_as_fp32)
    return model


def _as_fp32(_module: nn.Module, inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    return tuple(tensor.float() for tensor in inputs)


def _eager(model: nn.Module, precision: str, clips: Tensor) -> Tensor:
    dtype = torch.bfloat16 if precision == "bf16" else torch.float32
    with torch.inference_mode():
        clips = clips.to(dtype, memory_format=torch.channels_last_3d)
        logits: Tensor = model(clips)
        return logits.float()


def _compiled(model: nn.Module, precision: str, _size: int) -> Callable[[Tensor], Tensor]:
    compiled = torch.compile(model, dynamic=False)
    return partial(_eager, compiled, precision)  # type: ignore[arg-type]
