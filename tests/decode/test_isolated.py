"""A decoder in its own process: hangs and deaths become errors, and no process is left behind."""

import io
import multiprocessing
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from tests.conftest import slow
from video_gc.decode import isolated
from video_gc.decode.isolated import IsolatedReader
from video_gc.decode.reader import CorruptError, DecodeError, OpenError, OpenOptions, StuckError

ROOT = Path(__file__).parents[2]
MODULE = "tests.decode.misbehaving"
PROGRAM = """
import os, signal, sys
from video_gc.decode import isolated
from video_gc.decode.reader import OpenOptions
reader = isolated.IsolatedReader("tests.decode.misbehaving", "test", {source!r}, OpenOptions(time_limit=30))
assert reader.read([3])[0, 0, 0, 0] == 3
print(isolated._servers["tests.decode.misbehaving"].child.pid, flush=True)
reader._limit = 1
{then}
"""


def reader(source: object = b"fine") -> IsolatedReader:
    return IsolatedReader(MODULE, "test", source, OpenOptions(time_limit=60))  # type: ignore[arg-type]


def frames_read(found: IsolatedReader, indices: list[int]) -> list[int]:
    return found.read(indices)[:, 0, 0, 0].tolist()


def test_frames_come_through() -> None:
    with reader() as found:
        assert (len(found), found.size, found.rate, found.codec) == (100, (8, 8), 25, "rawvideo")
        assert frames_read(found, [99, 4, 4, 50, *range(40)]) == [99, 4, 4, 50, *range(40)]
        assert [index for index, _ in found.frames(range(0, 100, 3))] == list(range(0, 100, 3))
        with pytest.raises(IndexError, match="no frame 100"):
            found.read([100])


def test_a_hang_with_the_lock_held_ends_at_the_limit() -> None:
    with reader() as other, reader(b"hang") as found:
        found._limit = 1
        with pytest.raises(StuckError, match="no frame within 1 s"):
            found.read([50])
        found._limit = 60
        assert frames_read(found, [3]) == [3]  # in a new process
        assert frames_read(other, [7]) == [7]


def test_a_death_is_an_error() -> None:
    with reader(b"die") as found:
        with pytest.raises(DecodeError, match=r"process died \(exit code 7\)"):
            found.read([0, 50])
        assert frames_read(found, [3]) == [3]


def test_errors_keep_their_kind_and_place() -> None:
    with pytest.raises(OpenError, match=r"<bytes>: the file is empty \[test\]"):
        reader(b"")
    with reader(b"corrupt") as found, pytest.raises(CorruptError) as caught:
        found.read([50])
    assert (caught.value.frame, caught.value.decoder, caught.value.path) == (50, "test", "<bytes>")
    with pytest.raises(ImportError, match="no_such_module"):
        IsolatedReader("no_such_module", "test", b"fine")


def test_large_sources_and_file_objects() -> None:
    with reader(io.BytesIO(b"fine" + bytes(5_000_000))) as found:
        assert frames_read(found, [5]) == [5]


class Items(torch.utils.data.Dataset):
    def __len__(self) -> int:
        return 6

    def __getitem__(self, index: int) -> int:
        with reader() as found:
            return frames_read(found, [index])[0]


@pytest.mark.parametrize("context", ["fork", slow("spawn")])
def test_inside_a_loader_worker(context: str) -> None:
    with reader() as found:  # this process has a server already
        assert frames_read(found, [3]) == [3]
        loader = torch.utils.data.DataLoader(
            Items(), batch_size=2, num_workers=2, multiprocessing_context=context
        )
        assert torch.cat(list(loader)).tolist() == [0, 1, 2, 3, 4, 5]
        assert frames_read(found, [4]) == [4]


def test_a_forked_process_has_a_server_of_its_own() -> None:
    fork = multiprocessing.get_context("fork")
    with reader(b"whose") as found:
        mine = frames_read(found, [0])
        answers = fork.SimpleQueue()
        child = fork.Process(target=lambda: answers.put(frames_read(found, [0])))
        child.start()
        assert answers.get() != mine
        child.join()
        assert frames_read(found, [0]) == mine


@pytest.mark.parametrize(
    ("source", "then", "code"),
    [
        (b"fine", "", 0),
        slow(b"fine", "raise SystemExit(5)", 5),
        slow(b"fine", "os._exit(6)", 6),
        (b"fine", "os.kill(os.getpid(), signal.SIGKILL)", -signal.SIGKILL),
        slow(
            b"hang",
            "import threading; threading.Timer(0.5, os.kill, (os.getpid(), 9)).start();"
            "reader.read([50])",
            -signal.SIGKILL,
        ),
    ],
)
def test_no_process_is_left(source: bytes, then: str, code: int) -> None:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM.format(source=source, then=then)],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert done.returncode == code
    pid = int(done.stdout)
    for _ in range(200):
        if not _runs(pid):
            return
        time.sleep(0.1)
    pytest.fail(f"process {pid} still runs")


def test_closing_lets_go_of_the_file_in_the_server() -> None:
    for _ in range(3):
        with reader() as found:
            frames_read(found, [0])
    server = isolated._servers[MODULE]
    assert server.forgotten == [found._number]  # the others were told with the next request


def _runs(pid: int) -> bool:
    try:
        os.kill(pid, 0)
        return "Z" not in Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (ProcessLookupError, FileNotFoundError):
        return False
