"""Files that ask for more than they hold, or for what is not theirs."""

import contextlib
import io
import pickle
import struct
import sys
import tarfile
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.serialization import MAGIC_NUMBER, PROTOCOL_VERSION

from tests.forked import sent_by
from tests.models.weights.mutated import MAKERS, attack
from video_gc.models.weights.reading import unpickle
from video_gc.models.weights.reading.placeholders import Placeholder
from video_gc.models.weights.reading.read import read_file, read_weights


def text(content: str) -> bytes:
    return b"X" + struct.pack("<I", len(content)) + content.encode()


def number(value: int) -> bytes:
    raw = value.to_bytes(16, "little", signed=True)
    return b"\x8a" + bytes([len(raw)]) + raw


def legacy(pickled: bytes, storages: bytes = pickle.dumps([], 2)) -> bytes:
    head = (MAGIC_NUMBER, PROTOCOL_VERSION, {"little_endian": True})
    return b"".join(pickle.dumps(part, 2) for part in head) + b"\x80\x02" + pickled + storages


def tensor(
    count: int = 4, offset: int = 0, size: tuple[int, ...] = (4,), stride: tuple[int, ...] = (1,)
) -> bytes:
    """The opcodes of {"a": a float32 tensor over a storage "0" of `count` elements}."""
    storage = b"(" + text("storage") + b"ctorch\nFloatStorage\n" + text("0") + text("cpu")
    storage += number(count)
    lists = [b"(" + b"".join(map(number, numbers)) + b"t" for numbers in (size, stride)]
    made = b"ctorch._utils\n_rebuild_tensor_v2\n(%s" + number(offset) + b"".join(lists) + b"\x89Nt"
    return b"}" + text("a") + made.replace(b"%s", storage + b"tQ") + b"Rs."


def in_zip(path: Path, pickled: bytes, data: bytes = bytes(16), how: int = 0) -> None:
    with zipfile.ZipFile(path, "w", how) as file:
        file.writestr("w/data.pkl", b"\x80\x02" + pickled)
        file.writestr("w/byteorder", sys.byteorder)
        file.writestr("w/data/0", data)


STORED = pickle.dumps(["0"], 2) + struct.pack("<q", 4) + bytes(16)
CLAIMS = {
    "a storage beyond the file": (tensor(count=1 << 40, size=(1 << 40,)), "claims"),
    "a storage of 2⁶¹ elements": (tensor(count=1 << 61), "claims|as a size"),
    "a negative storage": (tensor(count=-4), "as a size"),
    "an expanded tensor": (tensor(size=(1 << 40,), stride=(0,)), "clone"),
    "a tensor beyond its storage": (tensor(size=(4,), stride=(2,)), "in a storage of 4"),
    "an offset beyond its storage": (tensor(offset=1), "in a storage of 4"),
    "a negative stride": (tensor(offset=3, stride=(-1,)), "as a size"),
    "a product that overflows": (tensor(size=(1 << 33, 1 << 33), stride=(0, 0)), "clone"),
}


@pytest.mark.parametrize("form", ["zip", "mapped", "legacy"])
@pytest.mark.parametrize("name", CLAIMS)
def test_sizes_are_bounded_by_the_file(name: str, form: str, tmp_path: Path) -> None:
    pickled, reason = CLAIMS[name]
    if form == "legacy":
        (tmp_path / "w.pth").write_bytes(legacy(pickled, STORED))
    else:
        in_zip(tmp_path / "w.pth", pickled)
    with pytest.raises(ValueError, match=f"w.pth: .*({reason})"):
        read_file(tmp_path / "w.pth", mapped=form == "mapped")


def test_the_same_files_without_a_claim_are_read(tmp_path: Path) -> None:
    (tmp_path / "w.pth").write_bytes(legacy(tensor(), STORED))
    assert read_file(tmp_path / "w.pth")["a"].tolist() == [0] * 4
    in_zip(tmp_path / "w.pth", tensor())
    assert read_file(tmp_path / "w.pth")["a"].tolist() == [0] * 4


def test_a_compressed_record_is_refused(tmp_path: Path) -> None:
    """20 kB that are 20 MB."""
    in_zip(tmp_path / "w.pth", tensor(count=5_000_000), bytes(20_000_000), zipfile.ZIP_DEFLATED)
    assert (tmp_path / "w.pth").stat().st_size < 30_000
    with pytest.raises(ValueError, match="w.pth: .*is compressed"):
        read_file(tmp_path / "w.pth")


def test_records_that_lie_on_each_other_are_counted_each(tmp_path: Path) -> None:
    """Many storages over the same bytes of a zip ask for many times its size."""
    keys = [f"{key:03}" for key in range(100)]
    one = tensor(count=250_000, size=(1,))[1:-2]  # without its dictionary
    content = b"}" + b"".join(one.replace(text("0"), text(key)) + b"s" for key in keys) + b"."
    in_zip(tmp_path / "w.pth", content, bytes(1_000_000))
    raw = (tmp_path / "w.pth").read_bytes()
    start = raw.index(b"PK\x01\x02")
    entries = raw[start : raw.index(b"PK\x05\x06")].split(b"PK\x01\x02")[1:]
    data = next(entry for entry in entries if entry.endswith(b"w/data/0"))
    named = [data[:24] + struct.pack("<H", 10) + data[26:-1] + key.encode() for key in keys]
    listed = b"".join(b"PK\x01\x02" + entry for entry in [*entries, *named])
    end = struct.pack("<4s4H2LH", b"PK\x05\x06", 0, 0, 103, 103, len(listed), start, 0)
    (tmp_path / "w.pth").write_bytes(raw[:start] + listed + end)
    with pytest.raises(ValueError, match="w.pth: .*claims 1000000 bytes, more than the file has"):
        read_file(tmp_path / "w.pth")


PICKLES = {
    "bytes of 2⁴⁰": b"\x8e" + struct.pack("<Q", 1 << 40) + b"abc.",
    "a byte array of 2⁴⁰": b"\x96" + struct.pack("<Q", 1 << 40) + b"abc.",
    "text of 2⁶²": b"\x8d" + struct.pack("<Q", 1 << 62) + b"abc.",
    "a frame of 2⁴⁰": b"\x95" + struct.pack("<Q", 1 << 40) + b"N.",
    "a number of 2³⁰ bytes": b"\x8b" + struct.pack("<I", 1 << 30) + b"1.",
    "copies of one text": b"cbuiltins\nbytearray\nq\x00("
    + text("a" * 1000) + text("latin1") + b"tq\x01R" + b"h\x00h\x01R" * 10_000 + b".",
    "copies of one list": b"ccollections\nOrderedDict\nq\x00"
    + b"(]" + b"(" + b"NN\x86" * 1000 + b"etq\x01R" + b"h\x00h\x01R" * 10_000 + b".",
    "an array of 2³⁰ zeros": b"cbuiltins\nbytearray\n" + number(1 << 30) + b"\x85R.",
    "an extension": b"\x82\x01.",
    "a buffer from outside": b"\x97.",
}  # fmt: skip


@pytest.mark.parametrize("zipped", [True, False])
@pytest.mark.parametrize("name", PICKLES)
def test_a_pickle_gets_no_more_than_it_has(name: str, zipped: bool, tmp_path: Path) -> None:
    if zipped:
        in_zip(tmp_path / "w.pkl", PICKLES[name])
    else:
        (tmp_path / "w.pkl").write_bytes(b"\x80\x04" + PICKLES[name])
    with pytest.raises(ValueError, match="w.pkl: holds no weights that can be read safely"):
        read_file(tmp_path / "w.pkl")


def test_a_pickle_of_too_many_parts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(unpickle, "PARTS", 1000)
    (tmp_path / "w.pkl").write_bytes(b"(" + b"}" * 999 + b".")
    with pytest.raises(ValueError, match="more than 1000 parts"):
        read_file(tmp_path / "w.pkl")


def test_a_memo_of_two_thousand_million_places(tmp_path: Path) -> None:
    """For which Python's own unpickler allocates a table."""
    (tmp_path / "w.pkl").write_bytes(b"\x80\x04Nr\xff\xff\xff\x7f0j\xff\xff\xff\x7f.")
    assert read_file(tmp_path / "w.pkl") is None


def test_a_key_whose_hash_would_never_end(tmp_path: Path) -> None:
    doubled = b"".join(b"q" + bytes([i]) + b"h" + bytes([i]) + b"\x86" for i in range(200))
    (tmp_path / "w.pkl").write_bytes(b"\x80\x02}K\x01\x85" + doubled + b"Ns.")
    in_zip(tmp_path / "w.pth", b"}K\x01\x85" + doubled + b"Ns.")
    for name in ("w.pkl", "w.pth"):
        assert list(read_file(tmp_path / name).values()) == [None]


def test_keys_of_one_hash(tmp_path: Path) -> None:
    """Multiples of the modulus of hashes, and tuples of -1 and -2: each new one meets all others."""
    count, modulus = 20_000, (1 << 61) - 1
    whole = [b"\x8a\x0a" + (k * modulus).to_bytes(10, "little") for k in range(1, count)]
    pairs = [b"J" + struct.pack("<i", -1 - bit) for bit in (0, 1)]  # hash(-1) == hash(-2)
    tuples = [b"(" + b"".join(pairs[k >> i & 1] for i in range(16)) + b"t" for k in range(count)]
    for keys in (whole, tuples):
        (tmp_path / "w.pkl").write_bytes(b"\x80\x02}(" + b"".join(k + b"N" for k in keys) + b"u.")
        assert {type(key) for key in read_file(tmp_path / "w.pkl")} == {Placeholder}


def test_a_state_on_a_function_of_torchs(tmp_path: Path) -> None:
    """So torch could be told where to write; the next load would have done it."""
    function = b"ctorch._utils\n_rebuild_tensor_v2\n"
    slots = b"}(" + text("dump_patches") + b"\x88" + text("__name__") + text(str(tmp_path / "x"))
    source = b"(" + text("module") + b"h\x01" + text("x") + text("y") + b"tQ."
    built = function + b"N" + slots + b"u\x86bq\x010" + source
    (tmp_path / "w.pth").write_bytes(legacy(built))
    before = dict(vars(torch._utils._rebuild_tensor_v2))
    with pytest.raises(ValueError, match="a state for torch._utils._rebuild_tensor_v2"):
        read_file(tmp_path / "w.pth")
    assert vars(torch._utils._rebuild_tensor_v2) == before
    assert [file.name for file in tmp_path.iterdir()] == ["w.pth"]


def test_the_source_of_a_class_is_not_compared_or_written(tmp_path: Path) -> None:
    source = b"(" + text("module") + b"ctorch.nn\nLinear\n" + text("x.py") + text("code") + b"tQ."
    (tmp_path / "w.pth").write_bytes(legacy(source))
    before = sorted(Path.cwd().iterdir())
    read_file(tmp_path / "w.pth")
    assert sorted(Path.cwd().iterdir()) == before


def test_a_tar_is_refused_with_the_line_that_converts_it(tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "w.pth", "w") as tar:
        for name in ("storages", "tensors", "pickle"):
            tar.addfile(tarfile.TarInfo(name), io.BytesIO())
    with pytest.raises(ValueError, match=r"w.pth: .*a tar.*torch.load\('OLD', weights_only=False"):
        read_weights(tmp_path / "w.pth")


def test_a_pickle_alone_has_no_storages(tmp_path: Path) -> None:
    (tmp_path / "w.pkl").write_bytes(b"\x80\x02" + tensor())
    with pytest.raises(ValueError, match="without the storages"):
        read_file(tmp_path / "w.pkl")


@pytest.mark.parametrize("change", ["missing", "twice", "another size", "cut"])
def test_storages_of_an_old_file_are_those_of_its_tensors(change: str, tmp_path: Path) -> None:
    keys = {"missing": [], "twice": ["0", "0"]}.get(change, ["0"])
    count = 3 if change == "another size" else 4
    raw = struct.pack("<q", count) + bytes(12 if change == "cut" else 16)
    (tmp_path / "w.pth").write_bytes(legacy(tensor(), pickle.dumps(keys, 2) + raw))
    with pytest.raises(ValueError, match="w.pth: .*damaged or incomplete"):
        read_file(tmp_path / "w.pth")


def test_an_array_whose_bytes_are_others(tmp_path: Path) -> None:
    content = pickle.dumps({"blobs": {"a": np.arange(4.0)}}, 2)
    shape = b"K\x04\x85"
    assert content.count(shape) == 1
    (tmp_path / "w.pkl").write_bytes(content.replace(shape, b"K\x05\x85"))
    with pytest.raises(ValueError, match="w.pkl: .*32 bytes for an array of shape"):
        read_weights(tmp_path / "w.pkl")


def attacked(tmp_path: Path, seed: int, rounds: int) -> None:
    """Read mutated files in a child with little memory, whose folder is looked at afterwards."""
    (tmp_path / "work").mkdir()
    with contextlib.chdir(tmp_path / "work"):
        [(read, refused)] = sent_by(attack, f"{tmp_path}/in.pth", seed, rounds)
    assert not list((tmp_path / "work").iterdir())
    assert {file.name for file in tmp_path.iterdir()} == {"in.pth", "work"}
    assert read + refused == rounds * len(MAKERS)
    assert min(read, refused) > rounds / 4


def test_mutated_files_are_read_or_refused(tmp_path: Path) -> None:
    attacked(tmp_path, seed=0, rounds=40)


@pytest.mark.slow
def test_fuzz_of_weights(tmp_path: Path) -> None:
    attacked(tmp_path, seed=1, rounds=2000)
