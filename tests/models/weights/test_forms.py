"""Files of every age and origin, and what they hold beside weights."""

import argparse
import collections
import datetime
import enum
import os
import pickle
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from video_gc.models.weights.reading.read import read_file, read_weights, read_with_origin

FLOATS = [torch.float32, torch.float64, torch.float16, torch.bfloat16]
OTHERS = [torch.int64, torch.int32, torch.int16, torch.int8, torch.uint8, torch.bool]


@pytest.mark.parametrize("zipped", [True, False])
def test_tensors_are_those_that_torch_saved(zipped: bool, tmp_path: Path) -> None:
    """Of every dtype, shared, transposed, cut out, empty, and of no dimension."""
    base = torch.randn(4, 6)
    saved = {str(d): (torch.randn(3, 5) * 9).to(d) for d in [*FLOATS, *OTHERS, torch.complex64]}
    saved |= {"whole": base, "part": base[1:3, ::2], "turned": base.T, "last": base[3, 5:]}
    saved |= {"empty": torch.zeros(0, 3), "scalar": torch.tensor(7.0)}
    saved |= {"parameter": nn.Parameter(torch.randn(2))}
    if zipped:
        saved["float8"] = torch.randn(5).to(torch.float8_e4m3fn)
        saved["uint16"] = torch.arange(5).to(torch.uint16)
    torch.save(saved, tmp_path / "w.pth", _use_new_zipfile_serialization=zipped)
    found = read_file(tmp_path / "w.pth")
    mapped = read_file(tmp_path / "w.pth", mapped=True)
    assert list(found) == list(saved)
    for name, value in saved.items():
        for read in (found[name], mapped[name]):
            assert read.dtype == value.dtype
            assert read.shape == value.shape
            assert read.contiguous().flatten().view(torch.uint8).tolist() == (
                value.detach().contiguous().flatten().view(torch.uint8).tolist()
            )
    found["part"].fill_(5)  # they share memory as they did
    assert (found["whole"][1:3, ::2] == 5).all()


@pytest.mark.parametrize("protocol", [2, 4])
def test_a_state_dict_that_pickle_wrote(protocol: int, tmp_path: Path) -> None:
    state = nn.Linear(3, 2).state_dict()
    (tmp_path / "w.pkl").write_bytes(pickle.dumps(state, protocol))
    found = read_weights(tmp_path / "w.pkl")
    assert all(torch.equal(found[name], value) for name, value in state.items())


def test_a_file_of_the_other_byte_order(tmp_path: Path) -> None:
    order = "big" if sys.byteorder == "little" else "little"
    saved = {"a": torch.randn(5), "b": torch.randn(3, dtype=torch.complex64), "c": torch.arange(4)}
    swapped = {
        "a": torch.from_numpy(saved["a"].numpy().byteswap()),
        "b": torch.from_numpy(saved["b"].numpy().byteswap()),
        "c": torch.from_numpy(saved["c"].numpy().byteswap()),
    }
    torch.save(swapped, tmp_path / "w.pth")
    content = (tmp_path / "w.pth").read_bytes()
    assert content.count(sys.byteorder.encode()) == 1
    known, other = (f"{name:6}".strip().encode() for name in (sys.byteorder, order))
    with (
        zipfile.ZipFile(tmp_path / "w.pth") as old,
        zipfile.ZipFile(tmp_path / "big.pth", "w") as new,
    ):
        for record in old.namelist():
            raw = old.read(record)
            new.writestr(record, other if raw == known else raw)
    found = read_file(tmp_path / "big.pth")
    for name, value in saved.items():
        assert torch.equal(found[name], value)


class Colour(enum.Enum):
    RED = "red"


class Settings(dict):
    """As yacs's and fvcore's CfgNode: a dictionary with attributes."""

    def __init__(self, **items: object) -> None:
        super().__init__(items)
        self.__dict__["frozen"] = True


BESIDE = {
    "counter": (collections.Counter([30, 30, 40]), {"30": 2, "40": 1}),
    "default": (collections.defaultdict(list, a=[1]), {"a": [1]}),
    "ordered": (collections.OrderedDict(a=1), {"a": 1}),
    "deque": (collections.deque([1, 2]), [1, 2]),
    "path": (Path("/data/kinetics/train"), "/data/kinetics/train"),
    "namespace": (argparse.Namespace(lr=0.1, name="a"), {"lr": 0.1, "name": "a"}),
    "settings": (Settings(TRAIN=Settings(BATCH=8)), {"TRAIN": {"BATCH": 8}}),
    "enum": (Colour.RED, "red"),
    "datetime": (datetime.datetime(2024, 5, 1, tzinfo=datetime.UTC), None),
    "numpy float": (np.float32(0.5), 0.5),
    "numpy int": (np.int64(-3), -3),
    "numpy text": (np.array(["a", "b"]), None),
    "numpy random": (np.random.RandomState(0), None),
    "dtype": (torch.float16, None),
    "device": (torch.device("cuda:1"), None),
    "set": ({3}, [3]),
    "frozen": (frozenset("a"), ["a"]),
    "bytes": (bytearray(b"a"), None),
    "complex": (1j, None),
    "size": (torch.Size([2, 3]), [2, 3]),
    "class": (Settings, None),
    "layer": (nn.Linear(1, 1), None),
}


@pytest.mark.parametrize("protocol", [0, 1, 2, 3, 4, 5])
@pytest.mark.parametrize("name", BESIDE)
def test_what_trainings_put_beside_weights_is_inert(
    name: str, protocol: int, tmp_path: Path
) -> None:
    value, expected = BESIDE[name]
    blobs = {"a": np.arange(3.0)}
    (tmp_path / "w.pkl").write_bytes(pickle.dumps({"blobs": blobs, "x": value}, protocol))
    found = read_with_origin(tmp_path / "w.pkl")
    assert found.state["a"].tolist() == [0, 1, 2]
    if name not in ("numpy random", "layer"):  # whose attributes are as they are
        assert found.extra == {"x": expected}


@pytest.mark.parametrize("zipped", [True, False])
def test_a_checkpoint_of_mmengine_with_milestones(zipped: bool, tmp_path: Path) -> None:
    """MultiStepLR keeps a Counter of them."""
    optimiser = torch.optim.SGD([nn.Parameter(torch.zeros(2))], 0.1, momentum=0.9)
    schedule = torch.optim.lr_scheduler.MultiStepLR(optimiser, [40, 80])
    content = {
        "meta": {"epoch": 100, "cfg": "model = dict(type='Recognizer3D')", "at": Path("a")},
        "state_dict": {"backbone.conv1.conv.weight": torch.ones(2)},
        "optimizer": optimiser.state_dict(),
        "param_schedulers": [schedule.state_dict()],
    }
    torch.save(content, tmp_path / "w.pth", _use_new_zipfile_serialization=zipped)
    found = read_with_origin(tmp_path / "w.pth")
    assert found.extra["meta"] == {"epoch": 100, "cfg": content["meta"]["cfg"], "at": "a"}
    assert found.extra["param_schedulers"][0]["milestones"] == {"40": 1, "80": 1}


@pytest.mark.parametrize("zipped", [True, False])
def test_storages_of_a_gpu_come_to_the_cpu(zipped: bool, tmp_path: Path) -> None:
    torch.save({"a": torch.arange(3.0)}, tmp_path / "w.pth", _use_new_zipfile_serialization=zipped)
    content = (tmp_path / "w.pth").read_bytes()
    here = b"X\x03\x00\x00\x00cpu"
    assert content.count(here) == 1
    if not zipped:  # a longer word would move what follows in a zip
        content = content.replace(here, b"X\x06\x00\x00\x00cuda:7")
        content = content.replace(b"ctorch\nFloatStorage", b"ctorch.cuda\nFloatStorage")
    else:
        content = content.replace(here, b"X\x03\x00\x00\x00mps")
    (tmp_path / "w.pth").write_bytes(content)
    assert read_weights(tmp_path / "w.pth")["a"].tolist() == [0, 1, 2]


def test_what_torch_2_reads_is_read_alike(tmp_path: Path) -> None:
    """Lists, tuples, numbers of every size, text, nothing: as torch.load gives them."""
    content = {
        "numbers": [0, -1, 255, 256, 65536, -(2**31), 2**40, -(2**70), 0.1, float("inf")],
        "nested": ({"a": ()}, [(1, (2,)), [None, True, False]]),
        "text": "ä𝄞\n'\"" * 100,
        "size": torch.Size([2, 3]),
        "schedule": collections.Counter({30: 1}),
    }
    torch.save(content, tmp_path / "w.pth")
    found = read_file(tmp_path / "w.pth")
    assert found == torch.load(tmp_path / "w.pth", weights_only=True) == content
    assert isinstance(found["schedule"], collections.Counter)


def test_the_versions_of_modules_are_kept(tmp_path: Path) -> None:
    torch.save(nn.BatchNorm1d(2).state_dict(), tmp_path / "w.pth")
    assert read_file(tmp_path / "w.pth")._metadata[""] == {"version": 2}


def test_a_pipe_is_refused_and_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "w.pth")
    with pytest.raises(ValueError, match="w.pth: .*not a regular file"):
        read_file(tmp_path / "w.pth")


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"\x1f\x8b\x08rest", "compressed with gzip"),
        (b"\x89HDF\r\n", "HDF5"),
        (b"version https://git-lfs.github.com/spec/v1\n", "git lfs pull"),
        (b"<!DOCTYPE html>", "web page"),
    ],
)
def test_what_is_often_taken_for_weights_is_named(
    content: bytes, reason: str, tmp_path: Path
) -> None:
    (tmp_path / "w.pth").write_bytes(content)
    with pytest.raises(ValueError, match=f"w.pth: .*{reason}"):
        read_weights(tmp_path / "w.pth")


def test_a_whole_network_is_no_weights(tmp_path: Path) -> None:
    torch.save(nn.Linear(2, 2), tmp_path / "w.pth")
    with pytest.raises(ValueError, match="save the network's state_dict"):
        read_weights(tmp_path / "w.pth")


def test_no_name_is_imported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "not_imported.py").write_text("class Thing:\n    pass\n")
    monkeypatch.syspath_prepend(tmp_path)
    named = b"\x80\x02}X\x01\x00\x00\x00ac%s\nThing\ns."
    (tmp_path / "other.pkl").write_bytes(named % b"not_imported")
    assert read_file(tmp_path / "other.pkl")["a"].name == "not_imported.Thing"
    (tmp_path / "hostile.pkl").write_bytes(named % b"this")  # of Python's library
    with pytest.raises(ValueError, match="this.Thing is not allowed"):
        read_file(tmp_path / "hostile.pkl")
    assert not {"this", "not_imported"} & {*sys.modules}


@pytest.mark.filterwarnings("ignore:torch.quantize_per_tensor:UserWarning")
@pytest.mark.parametrize(
    ("made", "kind"),
    [
        (lambda: torch.eye(2).to_sparse(), "sparse"),
        (lambda: torch.quantize_per_tensor(torch.ones(2), 0.1, 0, torch.qint8), "qtensor"),
        (lambda: torch.empty(2, device="meta"), "meta"),
    ],
)
def test_a_tensor_of_another_form_is_named(made: object, kind: str, tmp_path: Path) -> None:
    torch.save({"a": torch.ones(2), "b": made()}, tmp_path / "w.pth")  # type: ignore[operator]
    with pytest.raises(
        ValueError, match=f"w.pth: .*(b is a tensor of an unsupported kind.*{kind}|QInt8Storage)"
    ):
        read_weights(tmp_path / "w.pth")
