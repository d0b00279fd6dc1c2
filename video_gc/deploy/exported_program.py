"""A network as torch's exported program: a graph without Python code, in a .pt2 file."""

import json
import re
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.export import Dim, ExportedProgram

from video_gc.deploy.model_file import ModelFile, not_a_model

NOTES = "video_gc.json"
PLAIN = re.compile(
    r"models/[^/]+\.json|data/weights/(weight_\d+|[^/]+_config\.json)|"
    r"data/constants/(tensor_\d+|[^/]+_config\.json)|"
    rf"extra/{re.escape(NOTES)}|archive_format|archive_version|byteorder|\.data/\w+"
)
"""Members of the archive that are read without unpickling anything."""
TARGETS = re.compile(r"torch\.ops\.(aten|higher_order)\.[\w.]+|_operator\.\w+|")
"""Functions that a graph may call."""


def trace(model: nn.Module, clip_shape: tuple[int, int, int], *, dynamic: bool) -> ExportedProgram:
    """The graph of a network for one clip, or for any number of clips if `dynamic`.

    clip_shape: (T, H, W). Raises ValueError if the network's graph fixes the number of clips.
    """
    clips = torch.zeros(2 if dynamic else 1, 3, *clip_shape)
    shapes = ({0: Dim("batch", min=1)},) if dynamic else None
    try:
        with torch.no_grad():  # without gradients the blocks use no autograd function of their own
            program = torch.export.export(model, (clips,), dynamic_shapes=shapes)
    except Exception as error:
        if not dynamic:
            raise
        raise ValueError(
            f"dynamic: this network's graph fixes the number of clips ({error}); leave it out"
        ) from error
    program.example_inputs = None  # they would be pickled
    return program


def write_exported_program(program: ExportedProgram, file: Path, notes: Mapping[str, str]) -> None:
    """Write it with its notes."""
    torch.export.save(program, file, extra_files={NOTES: json.dumps(dict(notes))})


def open_exported_program(file: Path) -> ModelFile:
    """Open a .pt2 file; raises ValueError if it is none, or holds more than a graph and tensors."""
    extra = {NOTES: ""}
    try:
        _check_harmless(file)
        program = torch.export.load(file, extra_files=extra)
    except Exception as error:  # a foreign file may lack anything
        raise not_a_model(file, "an exported program of torch", error) from error
    network = program.module()

    def call(clips: Tensor) -> Tensor:
        with torch.inference_mode():
            logits: Tensor = network(clips)
            return logits

    values = {node.name: node.meta.get("val") for node in program.graph.nodes}
    (given,) = (values[name] for name in program.graph_signature.user_inputs)
    (made,) = (values[str(name)] for name in program.graph_signature.user_outputs)
    shape = tuple(size if isinstance(size, int) else None for size in given.shape)
    return ModelFile(call, shape, made.shape[-1], json.loads(extra[NOTES] or "{}"))


def _check_harmless(file: Path) -> None:
    """Raise ValueError if loading could run code: torch unpickles some members without limits, and
    a graph may name any function of torch.
    """
    with zipfile.ZipFile(file) as archive:
        names = archive.namelist()
        for name in names:
            plain = PLAIN.fullmatch(name.partition("/")[2])
            if (not plain and archive.getinfo(name).file_size) or names.count(name) > 1:
                raise ValueError(f"its part {name!r} could run code; video-gc export writes none")
            if plain and name.endswith(".json"):
                for word, value in _entries(json.loads(archive.read(name))):
                    if word == "use_pickle" and value:
                        raise ValueError("a tensor in it is pickled, which could run code")
                    if word == "target" and not TARGETS.fullmatch(str(value)):
                        raise ValueError(f"its graph calls {str(value)[:80]!r}")


def _entries(value: Any) -> Iterator[tuple[str, Any]]:
    """Every key of nested JSON, with its value."""
    if isinstance(value, dict):
        yield from value.items()
        value = list(value.values())
    for one in value if isinstance(value, list) else ():
        yield from _entries(one)
