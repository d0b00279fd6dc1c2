"""A trained network written for another runtime, opened there, and kept only if it agrees."""

import time
from collections.abc import Iterable, Sequence
from contextlib import ExitStack
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

import numpy as np
import torch
from torch import Tensor, nn

from video_gc.atomic import remove_stale_parts
from video_gc.deploy.choices import CLOSE_LOGITS, FORMATS, SAME_CLASS
from video_gc.deploy.contract import Contract, write_contract
from video_gc.deploy.exported import check_fits, open_file
from video_gc.deploy.exported_program import trace, write_exported_program
from video_gc.deploy.fold import fold_norms
from video_gc.deploy.inference_network import example_clip, fast_network, rounded
from video_gc.deploy.model_file import INPUT, PRECISION, WEIGHTS, ModelFile
from video_gc.deploy.onnx import write_onnx
from video_gc.deploy.openvino import write_openvino
from video_gc.extras import need
from video_gc.outputs import Outputs

CALLS = 7
"""Timed calls of each network."""
MIB = 1 << 20
CPU = torch.device("cpu")


@dataclass(frozen=True, kw_only=True)
class ExportOptions:
    """The file to write, in Ultralytics' words."""

    format: str = "onnx"
    """onnx, openvino or exported_program"""
    half: bool = False
    """weights in fp16, and in onnx and exported_program feature maps too; input and output stay
    fp32"""
    int8: bool = False
    """openvino: weights and feature maps in int8"""
    dynamic: bool = False
    """any number of clips in a call, instead of one"""
    opset: int | None = None
    """onnx: version of its operators"""
    accept_difference: bool = False
    """keep a model that disagrees with the checkpoint"""

    def __post_init__(self) -> None:
        if self.format not in FORMATS:
            raise ValueError(f"format ({self.format!r}) must be one of {', '.join(FORMATS)}")
        if self.int8 and self.format != "openvino":
            raise ValueError(f"int8: not in {self.format}; use format openvino")
        if self.int8 and self.half:
            raise ValueError("int8 and half: choose one")
        if self.opset is not None and self.format != "onnx":
            raise ValueError(f"opset ({self.opset}): only onnx has one; leave it out")

    @property
    def precision(self) -> str:
        """fp32, fp16 or int8."""
        return "int8" if self.int8 else "fp16" if self.half else "fp32"

    @property
    def stem(self) -> str:
        """Name of the files, without suffix: model, model_half or model_int8."""
        return "model" + ("_int8" if self.int8 else "_half" if self.half else "")

    def check_installed(self) -> None:
        """Raise ImportError with the install line if a library is missing."""
        name = f"format {self.format}"
        if self.format != "exported_program":
            need(self.format, "onnx", "onnxscript", by=name)
        if self.format == "onnx":
            need("onnx", "onnxruntime", by=name)
        if self.format == "openvino":
            need("openvino", "openvino", *(["nncf"] if self.int8 else []), by=name)


@dataclass(frozen=True)
class Comparison:
    """The exported model against the checkpoint's network in fp32, on the same clips."""

    clips: int
    difference: float
    """largest of a logit"""
    relative: float
    """that, divided by the largest logit"""
    agreement: float
    """share of clips with the same best class"""
    labelled: int
    """clips whose class is known"""
    accuracy: tuple[float, float]
    """share of these that are right, before and after"""
    seconds: tuple[float, float]
    """median time of a call with one clip, before (eager, norms folded) and after"""

    def disagrees(self, precision: str) -> str:
        """What is beyond the limits, in words; empty if nothing is."""
        limit, least = CLOSE_LOGITS[precision], 0.0 if precision == "fp32" else SAME_CLASS
        if self.relative <= limit and self.agreement >= least:
            return ""
        allowed = f"at most {limit:g}" + (f" and at least {least:.0%}" if least else "")
        return (
            f"a logit differs by {self.relative:.2g} of the largest, and the best class is the "
            f"same for {self.agreement:.1%} of {self.clips} clips, where {allowed} is allowed"
        )


@dataclass(frozen=True)
class Exported:
    """A written model."""

    files: list[Path]
    """the model first, its contract last"""
    mib: float
    """size of the model's files"""
    options: ExportOptions
    comparison: Comparison
    tensorrt: str
    """of ONNX: the command that makes a TensorRT engine of it"""


def export_network(
    model: nn.Module,
    contract: Contract,
    options: ExportOptions,
    folder: Path,
    clips: Iterable[tuple[Tensor, Sequence[int]]],
    calibration: Iterable[Tensor] | None = None,
) -> Exported:
    """Write `model` and its contract into `folder`.

    clips: batches (n, 3, T, H, W) with their labels (-1: unknown), scored by both. calibration:
        clips (1, 3, T, H, W) for int8.

    Raises ImportError with the install line; FloatingPointError if the model disagrees, and then
    nothing is written; FileExistsError for files of others; ValueError for an option that the
    network cannot fulfil, or int8 without calibration.
    """
    options.check_installed()
    if options.int8 and calibration is None:
        raise ValueError("int8 needs clips to calibrate")
    shape = contract.clip_shape
    model = model.eval()
    folded, _ = fold_norms(model, example_clip(model, shape))
    ready = _Half(deepcopy(folded)) if options.half and options.format != "openvino" else folded
    # NNCF fails on some non-local blocks of a fixed number of clips
    program = trace(ready.eval(), shape, dynamic=options.dynamic or options.int8)
    notes = {WEIGHTS: contract.weights, PRECISION: options.precision}
    suffix = FORMATS[options.format]
    suffixes = [suffix, ".bin", ".json"] if options.format == "openvino" else [suffix, ".json"]
    names = [options.stem + each for each in suffixes]
    remove_stale_parts(folder)
    outputs = Outputs(folder)
    with ExitStack() as stack:  # the model gets its name last
        part, *more = [stack.enter_context(outputs.path(name)) for name in names]
        beside = write_contract(contract, more[-1])
        if options.format == "onnx":
            write_onnx(program, part, notes, options.opset)
        elif options.format == "exported_program":
            write_exported_program(program, part, notes)
        else:
            onnx = Path(stack.enter_context(TemporaryDirectory())) / "model.onnx"
            write_onnx(program, onnx, {})
            ranges = calibration if options.int8 else None
            one, half = not options.dynamic, options.half
            write_openvino(onnx, part, more[0], notes, one=one, half=half, calibration=ranges)
        opened = open_file(part, more[0])
        check_fits(contract, opened, beside, part)
        comparison = compare(model, opened, clips, shape)
        disagrees = comparison.disagrees(options.precision)
        if disagrees and not options.accept_difference:
            raise FloatingPointError(
                f"{folder / names[0]}: is not written: {disagrees}; --accept-difference writes it "
                "all the same"
            )
        size = sum(file.stat().st_size for file in (part, *more[:-1])) / MIB
    files = [folder / name for name in names]
    return Exported(files, size, options, comparison, _tensorrt(files[0], shape, options))


def compare(
    model: nn.Module,
    opened: ModelFile,
    clips: Iterable[tuple[Tensor, Sequence[int]]],
    shape: tuple[int, int, int],
) -> Comparison:
    """Score the clips with both, and time both with one clip; shape: (T, H, W)."""
    logits: tuple[list[Tensor], list[Tensor]] = [], []
    labels: list[int] = []
    for batch, of_batch in clips:
        with torch.inference_mode():
            logits[0].append(model(batch))
        logits[1].append(opened.run(batch))
        labels += of_batch
    before, after = (torch.cat(parts).double() for parts in logits)
    largest = float((after - before).abs().max())
    best = np.stack([before.argmax(1).numpy(), after.argmax(1).numpy()])
    known = np.array(labels) >= 0
    right = (best == np.array(labels))[:, known]
    fast = fast_network(model, shape, device=CPU, precision="fp32", backend="eager")
    one = batch[:1]
    times: tuple[list[float], list[float]] = [], []
    for _ in range(CALLS):
        for run, spent in zip((fast.run, opened.run), times, strict=True):
            started = time.perf_counter()
            run(one)
            spent.append(time.perf_counter() - started)
    return Comparison(
        clips=len(labels),
        difference=largest,
        relative=largest / float(before.abs().max()),
        agreement=float((best[0] == best[1]).mean()),
        labelled=int(known.sum()),
        accuracy=(float(right[0].mean()), float(right[1].mean())) if known.any() else (0.0, 0.0),
        seconds=(median(times[0]), median(times[1])),
    )


class _Half(nn.Module):
    """A network in fp16 with input and output in fp32; the classifier stays in fp32."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = rounded(model, torch.float16)

    def forward(self, clips: Tensor) -> Tensor:
        logits: Tensor = self.model(clips.half())
        return logits.float()


def _tensorrt(file: Path, shape: tuple[int, int, int], options: ExportOptions) -> str:
    if options.format != "onnx":
        return ""
    line = f"trtexec --onnx={file} --saveEngine={file.with_suffix('.engine')}"
    for name, count in (("min", 1), ("opt", 8), ("max", 32)) if options.dynamic else ():
        line += f" --{name}Shapes={INPUT}:{'x'.join(map(str, (count, 3, *shape)))}"
    return line + (" --fp16" if options.half else "")
