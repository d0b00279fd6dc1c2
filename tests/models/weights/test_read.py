"""Nothing in a file of weights can run."""

import collections
import os
import pickle
import subprocess
import sys
import types
from pathlib import Path

import numpy as np
import pytest
import torch

from video_gc.models.weights.reading.read import read_weights


class Hostile:
    def __init__(self, function: object, *arguments: object) -> None:
        self.call = (function, arguments)

    def __reduce__(self) -> tuple:
        return self.call


CALLS = {
    "posix.system": lambda trace: Hostile(os.system, f"touch {trace}"),
    "builtins.eval": lambda trace: Hostile(eval, f"open({str(trace)!r}, 'w')"),
    "(subprocess|commands).call": lambda trace: Hostile(subprocess.call, ["touch", str(trace)]),
    "getattr of": lambda _trace: Hostile(getattr, collections.OrderedDict, "fromkeys"),
    "dtype 'O8'": lambda _trace: np.array([print]),
    "nt.system|posix.system": lambda trace: {"a": [Hostile(os.system, f"touch {trace}")]},
}


@pytest.mark.parametrize("form", ["plain", "torch", "torch legacy", "inside a state dict"])
@pytest.mark.parametrize("named", CALLS)
def test_a_hostile_file_is_refused_by_name(named: str, form: str, tmp_path: Path) -> None:
    trace, path = tmp_path / "it-ran", tmp_path / "hostile.pth"
    content = CALLS[named](trace)
    if form == "plain":
        path.write_bytes(pickle.dumps(content))
    elif form == "inside a state dict":
        torch.save({"state_dict": {"a": torch.zeros(2)}, "meta": content}, path)
    else:
        torch.save(content, path, _use_new_zipfile_serialization=form == "torch")
    message = rf"hostile.pth: holds no weights that can be read safely \(.*({named})"
    with pytest.raises(ValueError, match=message):
        read_weights(path)
    assert not trace.exists()


def test_numpys_own_constructors_are_never_called(tmp_path: Path) -> None:
    """`set(np.ndarray((1,), np.dtype("O"), bytes))` would follow the bytes as a pointer."""
    pointer = Hostile(np.ndarray, (1,), Hostile(np.dtype, "O"), b"A" * 8)
    (tmp_path / "pointer.pkl").write_bytes(pickle.dumps(Hostile(set, pointer)))
    with pytest.raises(ValueError, match="dtype 'O' are not allowed"):
        read_weights(tmp_path / "pointer.pkl")


@pytest.mark.filterwarnings("ignore:.*torch.jit:FutureWarning")
def test_a_torchscript_program_is_refused(tmp_path: Path) -> None:
    torch.jit.save(torch.jit.trace(torch.nn.Linear(2, 2), torch.zeros(1, 2)), tmp_path / "p.pt")
    with pytest.raises(ValueError, match="p.pt: .*is a TorchScript program, which can run code"):
        read_weights(tmp_path / "p.pt")


@pytest.mark.parametrize("protocol", [2, 4, 5])
@pytest.mark.parametrize("dtype", ["<f4", ">f4", "<f8", "<i8"])
@pytest.mark.parametrize("order", ["C", "F"])
def test_arrays_of_every_form(protocol: int, dtype: str, order: str, tmp_path: Path) -> None:
    array = np.asarray(np.arange(6).reshape(2, 3), dtype=dtype, order=order)
    (tmp_path / "a.pkl").write_bytes(pickle.dumps({"blobs": {"a": array}}, protocol=protocol))
    assert read_weights(tmp_path / "a.pkl")["a"].tolist() == [[0, 1, 2], [3, 4, 5]]


def test_an_object_of_mmengine_becomes_a_placeholder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A checkpoint written with a stand-in mmengine, read where there is none."""
    name = "mmengine.logging.history_buffer"
    module = types.ModuleType(name)
    exec(MMENGINE, vars(module))
    weights = {"backbone.conv1.conv.weight": torch.arange(6.0).reshape(2, 3)}
    path = tmp_path / "mm.pth"
    with monkeypatch.context() as installed:
        for depth in range(1, 4):
            part = ".".join(name.split(".")[:depth])
            installed.setitem(sys.modules, part, module if depth == 3 else types.ModuleType(part))
        hub = {
            "loss": module.HistoryBuffer(), "all": module.Messages(a=1), "epochs": {1, 2},
        }  # fmt: skip
        torch.save({"state_dict": weights, "message_hub": hub}, path)
    found = read_weights(path)
    assert list(found) == ["backbone.conv1.conv.weight"]
    assert found["backbone.conv1.conv.weight"].tolist() == [[0, 1, 2], [3, 4, 5]]
    assert "mmengine" not in sys.modules


MMENGINE = """
import collections
import numpy as np

class HistoryBuffer:
    def __init__(self):
        self._log_history = np.arange(3.0)
        self._statistics_methods = collections.OrderedDict(mean=HistoryBuffer.mean)

    def mean(self):
        return self._log_history.mean()

class Messages(dict):
    pass
"""


def test_arrays_of_python_2(tmp_path: Path) -> None:
    blobs = {"conv1_w": np.arange(6, dtype=np.float32).reshape(2, 3), "lr": np.float64(0.1)}
    content = collections.OrderedDict(blobs=blobs)
    (tmp_path / "c2.pkl").write_bytes(pickle.dumps(content, protocol=2))
    weights = read_weights(tmp_path / "c2.pkl")
    assert weights["conv1_w"].dtype == torch.float32
    assert weights["conv1_w"].tolist() == [[0, 1, 2], [3, 4, 5]]


@pytest.mark.parametrize("form", ["zip", "legacy"])
def test_both_forms_of_torchs_files(form: str, tmp_path: Path) -> None:
    path = tmp_path / "weights.pt"
    state = {"module.a": torch.randn(3), "model.b": torch.nn.Parameter(torch.ones(2))}
    torch.save(state, path, _use_new_zipfile_serialization=form == "zip")
    weights = read_weights(path)
    assert torch.equal(weights["a"], state["module.a"])
    assert weights["b"].tolist() == [1, 1]


@pytest.mark.parametrize("content", [b"", b"text, no weights\n" * 50, b"PK\x03\x04broken"])
def test_a_file_without_weights(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "broken.pth"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"broken.pth: holds no weights"):
        read_weights(path)


def test_a_truncated_file(tmp_path: Path) -> None:
    torch.save({"a": torch.randn(1000)}, tmp_path / "whole.pt")
    whole = (tmp_path / "whole.pt").read_bytes()
    (tmp_path / "cut.pt").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ValueError, match="cut.pt: holds no weights.*damaged or incomplete"):
        read_weights(tmp_path / "cut.pt")
    torch.save([1, 2], tmp_path / "list.pt")
    with pytest.raises(ValueError, match="list.pt: holds no weights"):
        read_weights(tmp_path / "list.pt")
