"""A network as ONNX, written by torch and run by onnxruntime, an optional library."""

import logging
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.export import ExportedProgram

from video_gc.deploy.model_file import INPUT, OUTPUT, ModelFile, not_a_model
from video_gc.extras import need

SCOPES = "pkg.torch.onnx.name_scopes"
"""Key of a node's note: the paths of the modules around it."""


def write_onnx(
    program: ExportedProgram, file: Path, notes: Mapping[str, str], opset: int | None = None
) -> None:
    """Write it with its notes, in one file; opset: default is torch's.

    Raises ValueError for an opset that cannot be written.
    """
    with _quiet():
        converted: Any = torch.onnx.export(
            program,
            dynamo=True,
            input_names=[INPUT],
            output_names=[OUTPUT],
            opset_version=opset,
            external_data=False,
            verbose=False,
        )
    written = converted.model.opset_imports[""]
    if opset not in (None, written):  # torch only warns
        raise ValueError(
            f"opset ({opset}): torch can write this network in {written}; leave it out, or give "
            "another"
        )
    converted.model.metadata_props.update(notes)
    converted.save(file, external_data=False)


def context_nodes(file: Path) -> set[str]:
    """Names of the nodes that context blocks compute, in a file of `write_onnx`: torch notes the
    modules around each, and in every backbone a block is one called `context`.
    """
    import onnx

    nodes = onnx.load(file, load_external_data=False).graph.node
    inside = re.compile(r"\bcontext\b")
    notes = ((node.name, note) for node in nodes for note in node.metadata_props)
    return {name for name, note in notes if note.key == SCOPES and inside.search(note.value)}


def open_onnx(file: Path) -> ModelFile:
    """Open an ONNX file on the CPU, with as many threads as torch uses now.

    Raises ImportError with the install line, ValueError if it is no such file.
    """
    need("onnx", "onnxruntime", by=file)
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    options.log_severity_level = 3
    try:
        session = onnxruntime.InferenceSession(file, options, providers=["CPUExecutionProvider"])
        (given,), (made,) = session.get_inputs(), session.get_outputs()
    except Exception as error:
        raise not_a_model(file, "an ONNX model with one input and one output", error) from error

    def call(clips: Tensor) -> Tensor:
        (logits,) = session.run([made.name], {given.name: clips.contiguous().numpy()})
        return torch.from_numpy(logits)

    shape = tuple(size if isinstance(size, int) else None for size in given.shape)
    classes = made.shape[-1] if made.shape and isinstance(made.shape[-1], int) else None
    return ModelFile(call, shape, classes, session.get_modelmeta().custom_metadata_map)


@contextmanager
def _quiet() -> Iterator[None]:
    """Without the exporters' own messages on stderr."""
    loggers = [logging.getLogger(name) for name in ("torch.onnx", "onnxscript")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
