"""A network as torch's exported program: a graph without Python code, in a .pt2 file."""

import json
import re
import zipfile
from collections.abc import Mapping
from io import BytesIO
from itertools import chain
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.export import Dim, ExportedProgram
from torch.fx import GraphModule

from video_gc.deploy.model_file import ModelFile, not_a_model

NOTES = "video_gc.json"
PLAIN = re.compile(
    r"models/[^/]+\.json|data/weights/(weight_\d+|[^/]+_config\.json)|"
    r"data/constants/(tensor_\d+|[^/]+_config\.json)|"
    rf"extra/{re.escape(NOTES)}|archive_format|archive_version|byteorder|\.data/\w+"
)
"""Members of the archive that are read without unpickling anything."""
TARGET = re.compile(
    r"""torch\.ops\.aten\.(
        _assert_tensor_metadata| abs| adaptive_avg_pool1d| adaptive_avg_pool2d|
        adaptive_avg_pool3d| add| addcmul| addmm| alias| amax| amin| arange| avg_pool2d|
        avg_pool3d| baddbmm| batch_norm| bmm| cat| chunk| clamp| clone| contiguous| conv1d|
        conv2d| conv3d| cos| cumsum| detach| div| dropout| einsum| elu| eq| exp| expand|
        expand_as| eye| feature_dropout| flatten| full| full_like| gather| ge| gelu| group_norm|
        gt| hardsigmoid| hardswish| hardtanh| index| index_select| instance_norm| layer_norm| le|
        leaky_relu| linear| linspace| log| log_softmax| logical_and| logical_not| lt| masked_fill|
        matmul| max| max_pool2d| max_pool3d| maximum| mean| min| minimum| movedim| mul| narrow|
        ne| neg| new_ones| new_zeros| ones| ones_like| pad| permute| pow| prelu| promote_types|
        reciprocal| relu| relu6| repeat| reshape| rms_norm| roll| rsqrt|
        scaled_dot_product_attention| searchsorted| select| sigmoid| silu| sin| slice| softmax|
        softplus| sort| split| split_with_sizes| sqrt| squeeze| stack| sub| sum| sym_size| t|
        tanh| to| transpose| unbind| unflatten| unsqueeze| upsample_nearest3d|
        upsample_trilinear3d| var| view| where| zeros| zeros_like
    )_?\.\w+ | _operator\.(add|sub|mul|floordiv|truediv|mod|neg|eq|ne|lt|le|gt|ge|getitem)""",
    re.VERBOSE,
)
"""Functions that a graph may call: aten's, also in place, of our backbones and blocks, and others
that touch no file and no memory but their tensors'."""
SYMBOL = r"Symbol\('[su]\d+'(, (positive|nonnegative|integer)=True)*\)"
RULES = {
    "target": ("its graph calls", TARGET),
    "expr_str": (
        "a size in it is",
        re.compile(rf"((Add|Mul|Mod|FloorDiv|Max|Min)\(|Integer\(-?\d{{1,18}}\)|{SYMBOL}|[, )])*"),
    ),
}
"""Key of JSON → what stands there, and which texts may; torch evaluates an expression."""
NAME = ("a name in it is", re.compile(r"[\w.@-]*|\[\]"))
"""Any other text: torch writes names into Python code."""
FREE = {"metadata", "guards_code", "as_string", "as_strings", "torch_version"}
"""Keys whose texts are not used, or only as text."""


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
    graphs = (part for part in program.graph_module.modules() if isinstance(part, GraphModule))
    for node in chain.from_iterable(part.graph.nodes for part in graphs):
        node.meta.pop("stack_trace", None)  # it names folders of this machine
    return program


def write_exported_program(program: ExportedProgram, file: Path, notes: Mapping[str, str]) -> None:
    """Write it with its notes."""
    torch.export.save(program, file, extra_files={NOTES: json.dumps(dict(notes))})


def open_exported_program(file: Path) -> ModelFile:
    """Open a .pt2 file; raises ValueError if it is none, or holds more than a graph and tensors."""
    extra = {NOTES: ""}
    try:
        program = torch.export.load(_checked(file), extra_files=extra)
        network = program.module(check_guards=False)
        values = {node.name: node.meta.get("val") for node in program.graph.nodes}
        (given,) = (values[name] for name in program.graph_signature.user_inputs)
        (made,) = (values[str(name)] for name in program.graph_signature.user_outputs)
        shape, classes = _sizes(given), _sizes(made)[-1]
        notes = dict(json.loads(extra[NOTES] or "{}"))
    except Exception as error:  # a foreign file may lack anything
        kind = "an exported program of torch with one input and one output"
        raise not_a_model(file, kind, error) from error

    def call(clips: Tensor) -> Tensor:
        with torch.inference_mode():
            logits: Tensor = network(clips)
            return logits

    return ModelFile(call, shape, classes, notes)


def _sizes(value: Any) -> tuple[int | None, ...]:
    return tuple(size if isinstance(size, int) else None for size in value.shape)


def _checked(file: Path) -> BytesIO:
    """The archive, written anew, since torch may find other parts in a zip file than Python does.

    Raises ValueError if loading could run code: torch unpickles some members without limits,
    evaluates text, and a graph may name any function of torch.
    """
    copy = BytesIO()
    with zipfile.ZipFile(file) as archive, zipfile.ZipFile(copy, "w") as checked:
        names = archive.namelist()
        for name in names:
            plain = PLAIN.fullmatch(name.partition("/")[2])
            if (not plain and archive.getinfo(name).file_size) or names.count(name) > 1:
                raise ValueError(f"its part {name!r} could run code; video-gc export writes none")
            content = archive.read(name)
            if plain and name.endswith(".json"):
                _check_json(json.loads(content))
            checked.writestr(name, content)
    copy.seek(0)
    return copy


def _check_json(value: Any, key: str = "", parent: str = "") -> None:
    """Raise ValueError for a text in nested JSON that could run code."""
    if key in ("in_spec", "out_spec") and isinstance(value, str):
        value = json.loads(value)
    if isinstance(value, dict):
        for name, one in value.items():
            _check_json(name)
            _check_json(one, name, key)
    elif isinstance(value, list):
        for one in value:
            _check_json(one, key, parent)
    elif key == "use_pickle" and value:
        raise ValueError("a tensor in it is pickled, which could run code")
    elif isinstance(value, str) and (key in RULES or not {key, parent} & FREE):
        what, allowed = RULES.get(key, NAME)
        if not allowed.fullmatch(value):
            raise ValueError(f"{what} {value[:80]!r}, which is not allowed, as it could run code")
