"""The ways to run a benchmark's network: a precision and a backend, named `bf16, eager`."""

from collections.abc import Callable, Iterable
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory

import torch
from torch import Tensor

from benchmarks.parts.measurement import CPU
from benchmarks.parts.network_timing import PLAIN, Clocked, Setting
from video_gc.deploy import fastest
from video_gc.deploy.exported_program import trace
from video_gc.deploy.fold import fold_norms
from video_gc.deploy.inference_network import example_clip, fast_network, run_int8
from video_gc.subprocess_call import call_in_new_process

Network = Callable[[Tensor], Tensor]
INT8 = f"{fastest.INT8}, openvino"
CALIBRATION = 8
"""Random clips; the accuracy of int8 is measured on trained networks (--choose)."""


def backends_here() -> list[str]:
    """Those that are installed; not compile, which takes a minute."""
    return ["eager", *(["openvino"] if find_spec("openvino") else [])]


def ways_of(backends: Iterable[str]) -> list[str]:
    """Their names; int8 where it can be made."""
    ways = [f"{precision}, {one}" for one in backends for precision in ("fp32", "bf16")]
    quantises = "fp32, openvino" in ways and find_spec("nncf") and find_spec("onnxscript")
    return [*ways, INT8] if quantises else ways


def precision_of(name: str) -> str:
    """fp32, bf16 or int8."""
    return "fp32" if name == PLAIN else name.split(", ")[0]


def network_of(name: str, setting: Setting, micro_batch: int) -> Network:
    """The network of a way, or the plain one, for so many clips in a call."""
    if name == PLAIN:
        return Clocked(setting.plain().eval())
    if name == INT8:
        return int8_network(setting, micro_batch)
    precision, backend = name.split(", ")
    return fast_network(setting.ours(), setting.shape, device=CPU, precision=precision,
                        backend=backend, micro_batch=micro_batch)  # fmt: skip


def int8_network(setting: Setting, micro_batch: int) -> Network:
    """As `video-gc export --format openvino --int8` writes it, with random clips.

    It is written in another process: that takes more memory than running it.
    """
    with TemporaryDirectory() as folder:
        call_in_new_process(write_int8, setting, file := Path(folder, "model.xml"))
        return run_int8(file, setting.shape, micro_batch)


def write_int8(setting: Setting, file: Path) -> None:
    """An .xml, and its .bin beside it."""
    from video_gc.deploy.onnx import write_onnx
    from video_gc.deploy.openvino import write_openvino

    model = setting.ours()
    folded, _ = fold_norms(model, example_clip(model, setting.shape))
    random = torch.Generator().manual_seed(0)
    clips = [torch.randn(1, 3, *setting.shape, generator=random) for _ in range(CALIBRATION)]
    onnx = file.with_suffix(".onnx")
    write_onnx(trace(folded.eval(), setting.shape, dynamic=True), onnx, {})
    write_openvino(onnx, file, file.with_suffix(".bin"), {}, calibration=clips)
