"""An exported model and its contract, opened to score clips."""

import os
from pathlib import Path

import torch

from video_gc.deploy.choices import FORMATS, clips_in_call
from video_gc.deploy.contract import Contract, read_contract
from video_gc.deploy.exported_program import open_exported_program
from video_gc.deploy.inference_network import FastNetwork
from video_gc.deploy.model_file import PRECISION, WEIGHTS, ModelFile, files_hash
from video_gc.deploy.onnx import open_onnx
from video_gc.deploy.openvino import open_openvino

BACKENDS = {".onnx": "onnxruntime", ".xml": "openvino", ".pt2": "torch.export"}


def is_exported(path: str | os.PathLike[str]) -> bool:
    """Whether the name is that of an exported model: .onnx, .xml or .pt2."""
    return Path(path).suffix in FORMATS.values()


def open_exported(
    path: str | os.PathLike[str],
    device: torch.device | None = None,
    *,
    precision: str | None = None,
    backend: str | None = None,
) -> tuple[FastNetwork, Contract]:
    """The network of a file of tools/export.py, and the contract beside it: model.onnx, model.json.

    device: only the CPU, the default. precision, backend: an exported model has its own; raises
    ValueError for another choice than `auto`.

    Raises FileNotFoundError for a missing file or contract; ValueError for a file that is no model,
    a contract that does not fit it, or a GPU; ImportError for a runtime that is not installed.
    """
    file, device = Path(path), device or torch.device("cpu")
    check_exported(file, device, precision=precision, backend=backend)
    if not file.is_file():
        raise FileNotFoundError(f"{file}: no such exported model; video-gc export writes one")
    beside = file.with_suffix(".json")
    if not beside.is_file():
        raise FileNotFoundError(
            f"{file}: its contract {beside.name} is missing; copy it from where the model was "
            "exported, or export again"
        )
    contract = read_contract(beside)
    opened = open_file(file)
    check_fits(contract, opened, beside, file)
    network = FastNetwork(
        opened.run,
        device,
        opened.notes.get(PRECISION, "own precision"),
        BACKENDS[file.suffix],
        folded=0,
        model=None,
        micro_batch=clips_in_call(contract.clip_shape, device.type),
        file_hash=files_hash(file),
    )
    return network, contract


def check_exported(
    file: Path, device: torch.device, *, precision: str | None, backend: str | None
) -> None:
    """Raise ValueError for what an exported model cannot do; see `open_exported`."""
    for name, value in (("precision", precision), ("backend", backend)):
        if value not in (None, "auto"):
            raise ValueError(
                f"{file}: an exported model has its own {name}; for {value} give the checkpoint"
            )
    if device.type != "cpu":
        raise ValueError(
            f"{file}: runs on the CPU here, not on {device}; on a GPU give the checkpoint"
        )


def open_file(file: Path, weights: Path | None = None) -> ModelFile:
    """Open a file without its contract; weights: of an .xml, by default the .bin beside it."""
    if file.suffix == FORMATS["onnx"]:
        return open_onnx(file)
    if file.suffix == FORMATS["openvino"]:
        return open_openvino(file, weights)
    return open_exported_program(file)


def check_fits(contract: Contract, opened: ModelFile, beside: Path, file: Path) -> None:
    """Raise ValueError if the contract is that of another model."""
    wanted = (3, *contract.clip_shape)
    if opened.shape[0] not in (1, None) or opened.shape[1:] != wanted:
        given = "×".join("N" if size is None else str(size) for size in opened.shape)
        differs = f"clips of {'×'.join(map(str, wanted))}, the model takes {given}"
    elif opened.classes not in (len(contract.names), None):
        differs = f"{len(contract.names)} classes, the model has {opened.classes}"
    elif opened.notes.get(WEIGHTS, contract.weights) != contract.weights:
        differs = f"weights {contract.weights[:12]}, the model has {opened.notes[WEIGHTS][:12]}"
    else:
        return
    raise ValueError(
        f"{beside}: does not fit {file.name} (it says {differs}); take the contract that was "
        "exported with it, or export again"
    )
