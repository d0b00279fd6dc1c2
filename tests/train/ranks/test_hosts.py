"""Two machines on one: network namespaces with a cable between them that can be pulled.

The machine that does not host torchrun's meeting point is cut off, comes back, and the run goes on
from its last checkpoint.
"""

import itertools
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import SMALL
from tests.train.ranks.launch import HERE, finish, torchrun

pytestmark = pytest.mark.slow
MINUTE = 60
NETWORK = "10.77.0."


def ip(*words: str, check: bool = True) -> bool:
    """`ip WORDS`; whether it worked."""
    done = subprocess.run(["ip", *words], capture_output=True, text=True, check=False)
    assert not check or done.returncode == 0, done.stderr
    return done.returncode == 0


@pytest.fixture
def machines() -> Iterator[list[str]]:
    """Names of two network namespaces that reach each other as 10.77.0.1 and 10.77.0.2."""
    names = [f"vgc{os.getpid()}a", f"vgc{os.getpid()}b"]
    try:
        allowed = all(ip("netns", "add", name, check=False) for name in names)
    except FileNotFoundError:
        allowed = False
    if not allowed:
        pytest.skip("network namespaces need root and the ip command")
    try:
        ip("link", "add", "cable", "netns", names[0], "type", "veth",
           "peer", "name", "cable", "netns", names[1])  # fmt: skip
        for number, name in enumerate(names, start=1):
            ip("-n", name, "addr", "add", f"{NETWORK}{number}/24", "dev", "cable")
            ip("-n", name, "link", "set", "cable", "up")
            ip("-n", name, "link", "set", "lo", "up")
        yield names
    finally:
        for name in names:
            ip("netns", "del", name, check=False)


def agent(machine: str, number: int, output: Path, command: list[str]) -> subprocess.Popen[str]:
    """torchrun on one machine, which prints to a file."""
    options = [
        "--nnodes=2", "--nproc-per-node=1", "--max-restarts=3", "--monitor-interval=0.5",
        "--rdzv-backend=c10d", "--rdzv-id=cut", f"--rdzv-endpoint={NETWORK}1:29400",
        f"--local-addr={NETWORK}{number}",
        f"--rdzv-conf=is_host={int(number == 1)},join_timeout=300",
    ]  # fmt: skip
    # a machine that comes back would wait in vain for the address of a store that is shared
    variables = {
        "GLOO_SOCKET_IFNAME": "cable", "TORCH_DISABLE_SHARE_RDZV_TCP_STORE": "1", "PAUSE": "1.0"
    }  # fmt: skip
    return torchrun(options, command, machine=machine, output=output, **variables)


def wait_for(words: str, output: Path, *, times: int = 1, seconds: float = 2 * MINUTE) -> None:
    end = time.monotonic() + seconds
    while output.read_text().count(words) < times:
        assert time.monotonic() < end, f"no {words!r}: {output.read_text()}"
        time.sleep(0.2)


def kill(process: subprocess.Popen[str]) -> None:
    """The agent and its workers, which have sessions of their own, at once."""
    listed = subprocess.run(["ps", "-eo", "pid,ppid"], capture_output=True, text=True, check=True)
    for line in listed.stdout.splitlines()[1:]:
        pid, parent = map(int, line.split())
        if process.pid in (pid, parent):
            os.kill(pid, signal.SIGKILL)
    process.wait()


@pytest.mark.parametrize("how", ["killed", "unplugged"])
def test_a_machine_is_cut_off_and_comes_back(
    machines: list[str], clips_folder: Path, tmp_path: Path, how: str
) -> None:
    command = [
        str(HERE / "faulty.py"), *SMALL, f"data.root={clips_folder}", f"runs={tmp_path}",
        "name=cut", "resume=true", "epochs=8",
    ]  # fmt: skip
    said = [tmp_path / f"{number}.txt" for number in (1, 2, 3)]
    first = agent(machines[0], 1, said[0], command)
    second = agent(machines[1], 2, said[1], command)
    wait_for("step 5", said[0])
    if how == "killed":
        kill(second)
        second = agent(machines[1], 2, said[2], command)
    else:  # its torchrun goes on by itself when the cable is back
        ip("-n", machines[1], "link", "set", "cable", "down")
        wait_for("30 s", said[0], seconds=MINUTE)  # nobody waits longer
        wait_for("30 s", said[1], seconds=MINUTE)
        ip("-n", machines[1], "link", "set", "cable", "up")
    finish(first, 4 * MINUTE)
    finish(second, MINUTE)
    printed = said[0].read_text()
    assert first.returncode == second.returncode == 0, printed
    steps = [int(line.split()[-1]) for line in printed.splitlines() if line.startswith("step ")]
    assert steps[-1] == 15
    again = next(step for before, step in itertools.pairwise(steps) if step <= before)
    assert again >= 4  # not from the start, but from the checkpoint of the second epoch or later
    assert sorted(set(steps)) == list(range(16))
