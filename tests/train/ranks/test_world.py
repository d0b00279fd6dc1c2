"""Who a process is, how processes find each other, and what each of them takes."""

import copy
import itertools
import os
import threading
from datetime import timedelta
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.distributed import HashStore, PrefixStore

from tests.conftest import SMALL
from tests.train.ranks.launch import step_of_srun
from video_gc.config import compose_train
from video_gc.data.dataset import VideoProblem
from video_gc.data.splits import open_splits
from video_gc.train.distributed import world
from video_gc.train.distributed.rendezvous import meet
from video_gc.train.distributed.slurm import slurm_variables
from video_gc.train.distributed.strategy import (
    fabric_arguments,
    say_about_norms,
    seed_this_process,
)
from video_gc.train.distributed.world import World, pick_gpu, this_world
from video_gc.train.inputs import build_loaders
from video_gc.train.resume.state import LoopState, restored_state
from video_gc.train.skipped_by_ranks import SkippedByRanks
from video_gc.train.training import restore_generators
from video_gc.train.validation import shard

SIX = {
    "SLURM_JOB_ID": "4711", "SLURM_STEP_ID": "2", "SLURM_PROCID": "5", "SLURM_LOCALID": "1",
    "SLURM_NODEID": "2", "SLURM_STEP_NUM_TASKS": "6", "SLURM_STEP_TASKS_PER_NODE": "2(x3)",
    "SLURM_STEP_NODELIST": "rack1-gpu[07-08,11],login2",
}  # fmt: skip


def test_a_task_of_srun() -> None:
    found = slurm_variables(SIX)
    port = int(found.pop("MASTER_PORT"))
    assert 15000 <= port < 30000
    assert found == {
        "RANK": "5", "WORLD_SIZE": "6", "LOCAL_RANK": "1", "LOCAL_WORLD_SIZE": "2",
        "MASTER_ADDR": "rack1-gpu07",
    }  # fmt: skip
    others = SIX | {"SLURM_PROCID": "0", "SLURM_NODEID": "0"}
    assert slurm_variables(others)["MASTER_PORT"] == str(port)
    uneven = SIX | {"SLURM_STEP_TASKS_PER_NODE": "1,4(x2)"}
    assert slurm_variables(uneven)["LOCAL_WORLD_SIZE"] == "4"
    batch = {"SLURM_JOB_ID": "4711", "SLURM_NTASKS": "6", "SLURM_PROCID": "0"}
    assert slurm_variables(batch) == {}  # a batch script without srun
    assert slurm_variables(SIX | {"SLURM_STEP_NUM_TASKS": "1"}) == {}  # an interactive shell


def test_torchrun_inside_srun_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE", "MASTER_ADDR"):
        monkeypatch.delenv(name, raising=False)
    assert this_world() == World()
    monkeypatch.setattr(os, "environ", os.environ | step_of_srun(1, 2, 3))
    assert this_world() == World(1, 2, 1, 2)
    assert os.environ["MASTER_ADDR"] == "localhost"
    torchrun = {"RANK": "3", "WORLD_SIZE": "8", "LOCAL_RANK": "0", "LOCAL_WORLD_SIZE": "4"}
    monkeypatch.setattr(os, "environ", os.environ | torchrun)
    assert this_world() == World(3, 8, 0, 4)


def meeting(store: HashStore, size: int) -> list[str]:
    words: dict[int, str] = {}

    def come(rank: int) -> None:
        words[rank] = meet(store, rank, size, timeout=timedelta(seconds=20))[0]

    threads = [threading.Thread(target=come, args=(rank,)) for rank in reversed(range(size))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return [words[rank] for rank in range(size)]


def test_processes_find_each_other_beside_what_an_earlier_attempt_left() -> None:
    store = HashStore()
    first, second = meeting(store, 3), meeting(store, 3)
    assert len({*first}) == len({*second}) == 1
    assert first[0] != second[0]
    with pytest.raises(TimeoutError, match="of 3 processes these did not arrive: 1, 2"):
        meet(PrefixStore("new", store), 0, 3, timeout=timedelta(seconds=0.1))
    with pytest.raises(TimeoutError, match="process 0 did not answer"):
        meet(store, 1, 3, timeout=timedelta(seconds=0.1))


@given(st.integers(0, 60), st.integers(1, 5), st.integers(1, 9))
def test_each_video_is_on_one_process(count: int, ranks: int, group: int) -> None:
    parts = [shard(count, World(rank, ranks), group) for rank in range(ranks)]
    assert sorted(itertools.chain(*parts)) == list(range(count))
    for part in parts:  # whole groups of neighbours
        heads = [row for row in part if row % group == 0]
        whole = [row for head in heads for row in range(head, min(head + group, count))]
        assert part == whole


def test_threads_are_shared(monkeypatch: pytest.MonkeyPatch) -> None:
    given: list[int] = []
    monkeypatch.setattr(torch, "set_num_threads", given.append)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(24)))
    monkeypatch.setattr(os, "cpu_count", lambda: 24)
    for name in ("SLURM_CPUS_PER_TASK", "SLURM_STEP_NUM_TASKS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("OMP_NUM_THREADS", "1")  # torchrun's
    assert world.share_cores(5) == 4
    monkeypatch.setenv("SLURM_STEP_NUM_TASKS", "5")
    monkeypatch.setattr(os, "cpu_count", lambda: 96)  # bound to its own
    assert world.share_cores(5) == 24
    monkeypatch.setenv("SLURM_CPUS_PER_TASK", "6")
    assert world.share_cores(5) == 6
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    assert world.share_cores(5) == 3
    assert given == [4, 24, 6, 3]


def test_gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SLURM_STEP_NUM_TASKS", raising=False)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert pick_gpu(World(5, 8, 1, 2)) == torch.device("cuda", 1)
    with pytest.raises(ValueError, match="3 processes on this machine, but 2 GPUs"):
        pick_gpu(World(2, 3, 2, 3))
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    monkeypatch.setenv("SLURM_STEP_NUM_TASKS", "3")
    assert pick_gpu(World(2, 3, 2, 3)) == torch.device("cuda", 0)  # it sees its own alone


def test_each_process_decodes_on_its_own_gpu(
    seven_each: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    given = [*SMALL, f"data.root={seven_each}", f"runs={tmp_path}", "data.decode_device=cuda"]
    config = compose_train([*given, "batch_size=2"])
    loaders = build_loaders(open_splits(config.data), config, World(1, 2, 1, 2), gpu=True)
    assert [loader.device for loader in loaders] == [torch.device("cuda", 1)] * 2  # type: ignore[attr-defined]


def test_lightning_starts_nothing_and_looks_for_nothing() -> None:
    given = fabric_arguments(World(3, 4, 1, 2), strategy="ddp", gpu=False)
    (environment,) = given["plugins"]
    assert environment.creates_processes_externally
    assert environment.global_rank() == environment.node_rank() == 3
    assert environment.local_rank() == 0
    assert given["devices"] * given["num_nodes"] == environment.world_size() == 4
    assert fabric_arguments(World(), strategy="fsdp", gpu=False)["strategy"] == "auto"


def test_each_process_draws_its_own_noise() -> None:
    drawn = []
    for one in (World(0, 1), World(0, 2), World(1, 2)):
        torch.manual_seed(5)
        seed_this_process(one, 5)
        drawn.append(float(torch.rand(())))
    assert drawn[0] == drawn[1] != drawn[2]


def test_a_process_that_joins_a_run_draws_its_own_noise() -> None:
    torch.manual_seed(5)
    kept = LoopState().saved()
    states = [restored_state([copy.deepcopy(kept)], rank, 2) for rank in range(2)]
    drawn = []
    for rank, state in enumerate(states):
        restore_generators(state, World(rank, 2), 5)
        drawn.append(float(torch.rand(())))
    torch.manual_seed(5)
    assert drawn[0] == float(torch.rand(()))
    assert drawn[1] != drawn[0]
    states[1].step = 7
    restore_generators(states[1], World(1, 2), 5)
    assert float(torch.rand(())) not in drawn


@pytest.mark.parametrize(
    ("kind", "accumulate", "said"),
    [
        ("batch", 1, "own 8 clips of a step; with norm.kind=sync over all 16, as"),
        ("batch", 4, "own 2 clips of a part of a step; with norm.kind=sync over all 4, as"),
        ("sync", 4, ""),
    ],
)
def test_how_many_clips_norms_see(
    kind: str, accumulate: int, said: str, capfd: pytest.CaptureFixture[str]
) -> None:
    say_about_norms(kind, World(0, 2), 16, accumulate)
    printed = capfd.readouterr().err
    assert said in printed
    assert bool(said) == bool(printed)


def test_only_the_first_process_writes_what_could_not_be_read(tmp_path: Path) -> None:
    log = SkippedByRanks(tmp_path / "skipped.csv", World(1, 2))
    log.add([VideoProblem("a.mp4", "damaged", "a.mp4: empty", 0)])
    log.finish()
    assert not log.file.exists()
    assert len(log.unsent) == 1
