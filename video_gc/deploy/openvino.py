"""A network compiled by OpenVINO, an optional library, for the CPU; its files .xml and .bin."""

import logging
import os
import sys
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import redirect_stdout
from dataclasses import dataclass
from functools import cache
from io import StringIO
from pathlib import Path
from statistics import fmean
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from video_gc.deploy.choices import SAME_CLASS
from video_gc.deploy.model_file import PRECISION, WEIGHTS, ModelFile, not_a_model
from video_gc.deploy.onnx import context_nodes
from video_gc.extras import need
from video_gc.progress import say, track

ENOUGH = 100
"""Calibration clips from which a share of equal best classes says something."""
CHANGED = (1 - SAME_CLASS) / 2
"""Largest share of the calibration clips whose best class int8 may change: half of what it may on
other videos (`SAME_CLASS`), on which a network is less sure."""
LAYER_NORM = ["MVN", "Multiply"]
"""Operations of OpenVINO that a layer norm becomes; they keep no name of it."""
HINTS = {"fp32": "f32", "bf16": "bf16"}


def compile_openvino(
    model: nn.Module, clip_shape: tuple[int, int, int], size: int, *, precision: str
) -> Callable[[Tensor], Tensor]:
    """`model` for exactly `size` clips (3, T, H, W): clips → logits in fp32.

    It uses as many threads as torch uses now.
    """
    openvino = _openvino()
    clips = torch.zeros(size, 3, *clip_shape)
    with torch.no_grad():  # without gradients the blocks use no autograd function of their own
        exported = torch.export.export(model, (clips,))
    return _compiled(openvino.convert_model(exported), precision)


def read_int8(file: Path) -> Any:
    """The model of a file in int8, for `compile_int8`. Raises ValueError for a damaged file."""
    try:
        return _core().read_model(file)
    except Exception as error:
        raise not_a_model(file, "an OpenVINO model", error) from error


def compile_int8(
    model: Any, clip_shape: tuple[int, int, int], size: int
) -> Callable[[Tensor], Tensor]:
    """A model that takes any number of clips, for exactly `size` of them."""
    model = model.clone()
    model.reshape([size, 3, *clip_shape])
    return _compiled(model, "fp32")


def write_openvino(
    onnx: Path,
    file: Path,
    weights: Path,
    notes: Mapping[str, str],
    *,
    one: bool = False,
    half: bool = False,
    calibration: Iterable[Tensor] | None = None,
) -> None:
    """Convert an ONNX file; an exported program with a dynamic batch is converted wrongly.

    file, weights: the .xml and the .bin. one: exactly one clip in a call. half: store the weights
        in fp16. calibration: clips (1, 3, T, H, W); quantise weights and feature maps to int8 for
        their ranges.
    """
    openvino = _openvino()
    model = openvino.convert_model(onnx)
    if calibration is not None:
        model = _quantised(model, calibration, context_nodes(onnx))
    if one:
        model.reshape([1, *model.inputs[0].partial_shape[1:]])
    for name, note in notes.items():
        model.set_rt_info(note, name.split("."))
    openvino.save_model(model, file, compress_to_fp16=half)
    os.replace(file.with_suffix(".bin"), weights)


def open_openvino(file: Path, weights: Path | None = None) -> ModelFile:
    """Open .xml and .bin, computing in fp32 or int8, with as many threads as torch uses now.

    weights: by default the .bin beside it. Raises ImportError with the install line, ValueError if
    they are no such files.
    """
    need("openvino", "openvino", by=file)
    try:
        model = _core().read_model(file, weights or file.with_suffix(".bin"))
        (given,), (made,) = model.inputs, model.outputs
        shape, classes = _sizes(given.partial_shape), _sizes(made.partial_shape)[-1]
        notes = {
            name: model.get_rt_info(name.split(".")).value
            for name in (WEIGHTS, PRECISION)
            if model.has_rt_info(name.split("."))
        }
        compiled = _compiled(model, "fp32")
    except Exception as error:
        raise not_a_model(file, "an OpenVINO model with one input and one output", error) from error
    return ModelFile(compiled, shape, classes, notes)


def _quantised(model: Any, calibration: Iterable[Tensor], context: Collection[str]) -> Any:
    """The model in int8, after Jacob et al., CVPR 2018; by NNCF.

    If that changes the best class of more than `CHANGED` of many clips, the nodes of context blocks
    stay in fp32, if this changes fewer: a small part of the work whose rounding reaches all
    positions.
    """
    import nncf

    nncf.set_log_level(logging.ERROR)
    with TemporaryDirectory() as folder:  # decoded once, read several times
        files = [_saved(clip, Path(folder, f"{at}.npy")) for at, clip in enumerate(calibration)]

        def quantise(**options: Any) -> Any:
            with redirect_stdout(StringIO()):  # NNCF's own bars
                return nncf.quantize(model.clone(), nncf.Dataset(_Shown(files), np.load), **options)

        rounded = quantise()
        if len(files) < ENOUGH or not context:
            return rounded
        changed = _changed(model, rounded, files)
        if changed <= max(CHANGED, 1 / len(files)):
            return rounded
        names = [operation.get_friendly_name() for operation in model.get_ordered_ops()]
        kept = [name for name in names if name.partition("/")[0] in context]
        scope = nncf.IgnoredScope(names=kept, types=LAYER_NORM, validate=False)
        mixed = quantise(ignored_scope=scope)
        left = _changed(model, mixed, files)
        say(f"int8 changes the best class of {changed:.1%} of the calibration clips, and of "
            f"{left:.1%} with context blocks in fp32")  # fmt: skip
        return mixed if left < changed else rounded


@dataclass(frozen=True)
class _Shown:
    """Files, with a bar each time that they are gone through."""

    files: Sequence[Path]

    def __iter__(self) -> Iterator[Path]:
        return track(self.files, "Rounding to int8", len(self.files))


def _saved(clip: Tensor, file: Path) -> Path:
    np.save(file, clip.numpy())
    return file


def _changed(exact: Any, rounded: Any, files: Sequence[Path]) -> float:
    """Share of the clips in whose best class two models differ."""
    runs = [_compiled(model, "fp32") for model in (exact, rounded)]
    found = []
    for file in track(files, "Comparing with fp32", len(files)):
        clip = torch.from_numpy(np.load(file))
        found.append(len({int(run(clip).argmax()) for run in runs}) > 1)
    return fmean(found)


def _compiled(model: Any, precision: str) -> Callable[[Tensor], Tensor]:
    """Clips → logits, on the CPU."""
    compiled: Any = _core().compile_model(
        model,
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


@cache
def _core() -> Any:
    """The one of this process, never dropped. With the last core OpenVINO 2026.4 unmaps the stack
    for signals of the thread that made it; dropped in another thread, the next signal with a
    handler in Python would kill the process.
    """
    return _openvino().Core()


def _openvino() -> Any:
    """The library, without its reports to Intel: it sends them unless a user has opted out."""
    sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]
    import openvino

    return openvino


def _sizes(shape: Any) -> tuple[int | None, ...]:
    return tuple(None if size.is_dynamic else size.get_length() for size in shape)
