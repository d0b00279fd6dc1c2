"""VideoIndex: columns that survive saving, pickling and other processes; damage is found."""

import json
import os
import pickle
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.utils.data import DataLoader, Dataset

from tests.conftest import slow
from video_gc.data.index import DataError, VideoIndex

NAMES = ["jump", "run", "walk"]
METADATA = {"version": 1, "names": NAMES, "root": "", "multi_label": False, "about": {}}
ROWS = st.lists(
    st.tuples(
        st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), min_size=1),
        st.lists(st.integers(0, 2), unique=True, max_size=3),
        st.none() | st.floats(0, 1e6),
    ),
    min_size=1,
    max_size=20,
)


def plain() -> VideoIndex:
    return VideoIndex.build(
        ["a.mp4", "/videos/b.mp4", Path("c/d.mp4")], [2, 0, -1], NAMES, root="/root",
        start=[None, 1.5, None], end=[None, None, 4.0], group=["x", None, "y"],
    )  # fmt: skip


def test_rows() -> None:
    index = plain()
    assert len(index) == 3
    assert index.paths == [Path("/root/a.mp4"), Path("/videos/b.mp4"), Path("/root/c/d.mp4")]
    assert index.paths[-1] == Path("/root/c/d.mp4")
    assert index.paths[1:] == list(index.paths)[1:]
    assert index.labels.dtype == np.int64
    assert index.labels.tolist() == [2, 0, -1]
    assert [index.target(row) for row in range(3)] == [2, 0, -1]
    assert [index.label_names(row) for row in range(3)] == [["walk"], ["jump"], []]
    assert [index.segment(row) for row in range(3)] == [None, (1.5, float("inf")), (0.0, 4.0)]
    assert [index.group(row) for row in range(3)] == ["x", None, "y"]
    some = index.take(np.array([2, 0]))
    assert some.paths == [Path("/root/c/d.mp4"), Path("/root/a.mp4")]
    assert some.segment(0) == (0.0, 4.0)
    assert VideoIndex.build(["a"], [0], NAMES).segment(0) is None


@given(ROWS)
def test_what_is_saved_or_pickled_comes_back(rows: list) -> None:
    import tempfile

    paths, labels, starts = zip(*rows, strict=True)
    index = VideoIndex.build(paths, labels, NAMES, root="r", multi_label=True, start=starts)
    with tempfile.TemporaryDirectory() as folder:
        opened = VideoIndex.open(index.save(Path(folder, "sub", "i.arrow"), {"of": "x"}))
        assert opened.about == {"of": "x"}
        elsewhere = pickle.loads(pickle.dumps(opened.with_root("other")))
        for again in (
            opened,
            pickle.loads(pickle.dumps(opened)),
            pickle.loads(pickle.dumps(index)),
        ):
            assert again.names == NAMES
            assert again.multi_label
            assert again.paths == index.paths
            assert again.labels.tolist() == [row[0] if row else -1 for row in labels]
            for row in range(len(index)):
                assert np.flatnonzero(again.target(row)).tolist() == sorted(labels[row])
                assert again.segment(row) == index.segment(row)
        assert elsewhere.paths == [Path("other", path) for path in paths]


def test_a_multi_hot_target_is_what_a_loss_wants() -> None:
    index = VideoIndex.build(["a", "b"], [[2, 0], []], NAMES, multi_label=True)
    target = index.target(0)
    assert isinstance(target, np.ndarray)
    assert target.dtype == np.float32
    assert target.tolist() == [1, 0, 1]
    assert index.target(1).tolist() == [0, 0, 0]  # type: ignore[union-attr]
    assert index.labels.tolist() == [2, -1]


def test_a_file_is_sent_by_its_name(tmp_path: Path) -> None:
    index = VideoIndex.build([f"{n}.mp4" for n in range(50_000)], np.zeros(50_000, int), ["a"])
    opened = VideoIndex.open(index.save(tmp_path / "i.arrow"))
    assert len(pickle.dumps(opened)) < 1000 < len(pickle.dumps(index))


@pytest.mark.parametrize("share", [0.0, 0.3, 0.9])
def test_a_damaged_file_is_named(tmp_path: Path, share: float) -> None:
    file = plain().save(tmp_path / "i.arrow")
    content = file.read_bytes()
    file.write_bytes(content[: int(len(content) * share)])
    with pytest.raises(DataError, match="i.arrow: damaged, or not an index of video_gc"):
        VideoIndex.open(file)
    with pytest.raises(FileNotFoundError, match="none.arrow: no such index"):
        VideoIndex.open(tmp_path / "none.arrow")


def test_foreign_and_newer_files_are_refused(tmp_path: Path) -> None:
    table = pa.table({"path": ["a"]})
    with pa.ipc.new_file(tmp_path / "foreign.arrow", table.schema) as writer:
        writer.write_table(table)
    with pytest.raises(DataError, match="foreign.arrow: damaged, or not an index"):
        VideoIndex.open(tmp_path / "foreign.arrow")
    schema = table.schema.with_metadata({b"video_gc": json.dumps(METADATA | {"version": 99})})
    with pa.ipc.new_file(tmp_path / "new.arrow", schema) as writer:
        writer.write_table(table)
    with pytest.raises(DataError, match="new.arrow: an index of version 99, this program reads"):
        VideoIndex.open(tmp_path / "new.arrow")


@pytest.mark.parametrize(
    ("change", "kept"),
    [
        ({"label": pa.array([0, 3], pa.int32())}, {}),  # a class number without a name
        ({"label": pa.array([-2, 0], pa.int32())}, {}),
        ({"label": pa.array([0, None], pa.int32())}, {}),
        ({"path": pa.array(["a", None], pa.large_string())}, {}),
        ({"path": pa.array(["a", "b"])}, {}),  # of another type
        ({"end": pa.array(["a", "b"])}, {}),
        ({"unknown": pa.array(["a", "b"])}, {}),
        ({"labels": pa.array([[0], [-1]], pa.list_(pa.int32()))}, {"multi_label": True}),
        ({}, {"multi_label": True}),
        ({}, {"names": "abc"}),
        ({}, {"names": [1, 2, 3]}),
        ({}, {"root": None}),
        ({}, {"about": []}),
    ],
)
def test_what_no_index_holds_is_refused(tmp_path: Path, change: dict, kept: dict) -> None:
    good = {"path": pa.array(["a", "b"], pa.large_string()), "label": pa.array([0, 2], pa.int32())}
    for columns, about, wrong in ((good, {}, False), (good | change, kept, True)):
        metadata = {b"video_gc": json.dumps(METADATA | about)}
        table = pa.table(columns).replace_schema_metadata(metadata)
        with pa.ipc.new_file(tmp_path / "i.arrow", table.schema) as writer:
            writer.write_table(table)
        if not wrong:
            assert len(VideoIndex.open(tmp_path / "i.arrow")) == 2
            continue
        with pytest.raises(DataError, match="i.arrow: damaged, or not an index of video_gc"):
            VideoIndex.open(tmp_path / "i.arrow")


HARM = """
import sys
import numpy as np
from pathlib import Path
from video_gc.data.index import DataError, VideoIndex
from video_gc.data.manifest import read_manifest
file, random = Path(sys.argv[1]), np.random.default_rng(int(sys.argv[2]))
good, refused = file.read_bytes(), 0
for _ in range(int(sys.argv[3])):
    content = bytearray(good)
    for _ in range(random.integers(1, 6)):
        place = random.integers(len(content) - 8)
        value = random.choice([0, 255, 256, 2**31, 2**40, 2**63 - 1])
        content[place : place + 8] = int(value).to_bytes(8, "little")
    file.write_bytes(content[: random.integers(len(content))] if random.random() < 0.2 else content)
    try:
        if file.suffix == ".parquet":
            list(read_manifest(file).rows())
            continue
        index = VideoIndex.open(file)
        index.joined_names().to_pylist(), index.labels, list(index.paths), index.segments()
        for row in range(len(index)):
            index.target(row), index.label_names(row), index.group(row)
    except DataError:
        refused += 1
print(refused)
"""


def refused(file: Path, tries: int) -> int:
    """How many of the mutated copies are a DataError; a crash of the reader fails the test."""
    call = [sys.executable, "-c", HARM, str(file), "0", str(tries)]
    ended = subprocess.run(call, capture_output=True, text=True, timeout=300)
    assert ended.returncode == 0, ended.stderr[-2000:]
    return int(ended.stdout)


@pytest.mark.parametrize("tries", [100, slow(5000, id="fuzz")])
def test_a_damaged_index_is_an_error_and_never_the_end_of_the_process(
    tmp_path: Path, tries: int
) -> None:
    paths = [f"c/{n}é.mp4" for n in range(50)]
    index = VideoIndex.build(
        paths, [[n % 3, (n + 1) % 3] for n in range(50)], NAMES, multi_label=True,
        start=[1.5] * 50, group=["x", None] * 25,
    )  # fmt: skip
    assert tries / 2 < refused(index.save(tmp_path / "i.arrow"), tries) < tries


class Touched(Dataset[int]):
    """Reads every field of a row; the last item of a worker's share is its own memory in MiB."""

    def __init__(self, index: VideoIndex, workers: int, parts: int) -> None:
        self.index, self.workers, self.parts = index, workers, parts

    def __len__(self) -> int:
        return self.workers * self.parts

    def __getitem__(self, item: int) -> float:
        part, worker = divmod(item, self.workers)
        for row in range(worker + self.workers * part, len(self.index), len(self)):
            assert self.index.target(row) == row % 400
            assert self.index.path(row).name == f"{row:08d}.mp4"
        return own_memory()


def own_memory() -> float:
    """MiB that only this process has: what is written. Clean pages of a mapped file are the
    kernel's to drop, and are counted as private where just one process looks at them."""
    for line in Path("/proc/self/smaps_rollup").read_text().splitlines():
        if line.startswith("Private_Dirty:"):
            return int(line.split()[1]) / 1024
    raise AssertionError("no Private_Dirty")


def large_index(file: Path, rows: int) -> Path:
    """An index written batch by batch; 2^20 rows at a time."""
    schema = pa.schema(
        {"path": pa.large_string(), "label": pa.int32()},
        metadata={
            b"video_gc": json.dumps(
                METADATA | {"names": [f"class {n}" for n in range(400)], "root": "/data"}
            )
        },
    )
    with pa.ipc.new_file(file, schema) as writer:
        for first in range(0, rows, 1 << 20):
            numbers = np.arange(first, min(rows, first + (1 << 20)))
            text = np.char.add(
                np.char.add("some/folder/", np.char.zfill(numbers.astype("U"), 8)), ".mp4"
            )
            labels = (numbers % 400).astype(np.int32)
            columns = [pa.array(text, pa.large_string()), pa.array(labels)]
            writer.write_batch(pa.record_batch(columns, schema=schema))
    with file.open("rb") as stream:
        os.fsync(stream.fileno())  # pages that are not on the disk yet would count as written by us
    return file


@pytest.mark.slow
def test_ten_million_rows_open_at_once(tmp_path: Path) -> None:
    file = large_index(tmp_path / "large.arrow", 10_000_000)
    before = own_memory()
    index = VideoIndex.open(file)
    assert index.path(9_999_999) == Path("/data/some/folder/09999999.mp4")
    assert len(index) == 10_000_000
    assert own_memory() - before < 20


@pytest.mark.slow
@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_workers_do_not_grow_over_an_epoch(tmp_path: Path, method: str) -> None:
    index = VideoIndex.open(large_index(tmp_path / "large.arrow", 4_000_000))
    loader = DataLoader(
        Touched(index, workers=2, parts=20), batch_size=1, num_workers=2,
        multiprocessing_context=method,
    )  # fmt: skip
    memory = torch.cat(list(loader)).view(20, 2)  # the loader gives the workers turns
    assert len(memory) == 20
    # the file has 160 MiB, and as Python objects it would be above 400; a forked worker gets copies
    # of its parent's pages when it counts references in them
    assert (memory[-1] - memory[1]).max() < (8 if method == "spawn" else 24)


@given(st.booleans(), st.lists(st.lists(st.integers(0, 2), max_size=3), max_size=9), st.data())
def test_columns_say_what_rows_say(
    several: bool, many: list[list[int]], data: st.DataObject
) -> None:
    labels = many if several else [numbers[0] if numbers else -1 for numbers in many]
    paths = [f"{row}.mp4" for row in range(len(many))]
    whole = VideoIndex.build(paths, labels, NAMES, multi_label=several, start=[1.5] * len(many))
    chosen = data.draw(st.lists(st.integers(0, len(many) - 1)) if many else st.just([]))
    for index in (whole, whole.take(chosen)):
        rows = range(len(index))
        assert index.joined_names().to_pylist() == ["|".join(index.label_names(r)) for r in rows]
        assert index.segments() == [index.segment(row) for row in rows]
    assert VideoIndex.build(paths, labels, NAMES, multi_label=several).segments() is None
