"""This process among those started by torchrun or SLURM, and exchange between them."""

import os
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import TypeVar

import torch
import torch.distributed as dist

from video_gc.cores import cores
from video_gc.progress import console, say
from video_gc.train.distributed.heartbeats import Watch, words_of
from video_gc.train.distributed.rendezvous import meet
from video_gc.train.distributed.slurm import slurm_variables

T = TypeVar("T")
COME = timedelta(minutes=5)
"""Time for all processes to start."""
SLOW = timedelta(days=2)
"""The timeout of a collective: one process may finish its part hours before another.
heartbeats.py finds dead ones."""


@dataclass(frozen=True)
class World:
    """One process among `size`; alone, rank 0 of 1."""

    rank: int = 0
    size: int = 1
    local_rank: int = 0
    """number on its machine: its GPU"""
    local_size: int = 1
    """processes on its machine"""

    @property
    def first(self) -> bool:
        """Whether this process prints and writes."""
        return self.rank == 0


def this_world() -> World:
    """From the variables of torchrun, or of srun with one task per process.

    srun's values are put into the environment under torchrun's names.
    """
    names = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE")
    if not all(name in os.environ for name in names):
        for name, value in slurm_variables(os.environ).items():
            os.environ.setdefault(name, value)
    if all(name in os.environ for name in names):
        return World(*(int(os.environ[name]) for name in names))
    return World()


@contextmanager
def joined(world: World, *, gpu: bool | None = None) -> Iterator[None]:
    """Connect the processes while the block runs; does nothing for a single process.

    They exchange objects and CPU tensors by gloo, GPU tensors by NCCL (gpu: whether there are any;
    default: if there is a GPU, and then each process has its own). Only the first prints. An error
    or silence of one process ends the others, which name it. After an error every process, also the
    one that raised it, has some seconds to end.

    Raises TimeoutError if some do not arrive, ValueError if there are too few GPUs.
    """
    if world.size == 1 or dist.is_initialized():
        yield
        return
    gpu = torch.cuda.is_available() if gpu is None else gpu
    device = pick_gpu(world) if gpu else None
    if device is not None:
        torch.cuda.set_device(device)
    store, word, hosts = _meet(world)
    backend = "cpu:gloo,cuda:nccl" if gpu else "gloo"
    watch = Watch(dist.PrefixStore(f"{word}/watch", store), world.rank, hosts)
    group = dist.PrefixStore(f"{word}/group", store)
    console.quiet = not world.first
    try:
        dist.init_process_group(
            backend, store=group, rank=world.rank, world_size=world.size, timeout=SLOW
        )
        share_cores(world.local_size)
        yield
        dist.barrier()
        dist.destroy_process_group()
        watch.close()
    except BaseException as error:
        # The group is left as it is: with NCCL its end waits for the others, which may wait for
        # this process in a collective. The watch goes on, and ends what does not end by itself.
        failure = watch.fail(error)
        console.quiet = False
        if failure.rank != world.rank or failure.lost:
            if failure.text != words_of(error):  # else all found it, and one printed it
                say(f"process {world.rank} ends: {watch.describe(failure)}", style="red")
            raise SystemExit(1) from None
        say(f"process {world.rank} of {world.size} ({hosts[world.rank]}) failed:", style="red")
        raise
    finally:
        console.quiet = False


def gather(part: T, world: World) -> list[T] | None:
    """Every process's `part` in the order of ranks, on the first; None on the others."""
    if world.size == 1:
        return [part]
    parts: list[T] | None = [part] * world.size if world.first else None
    dist.gather_object(part, parts)
    return parts


def from_first(world: World, function: Callable[[], T]) -> T:
    """Run `function` on the first process and return its result on all of them.

    An error on the first ends the others, inside `joined`.
    """
    if world.size == 1:
        return function()
    found: list[T | None] = [function() if world.first else None]
    dist.broadcast_object_list(found)
    return found[0]  # type: ignore[return-value]


def to_all(part: T, world: World) -> list[T]:
    """Every process's `part` in the order of ranks, on all of them."""
    if world.size == 1:
        return [part]
    parts: list[T] = [part] * world.size
    dist.all_gather_object(parts, part)
    return parts


def wait_for_all(world: World) -> None:
    """Continue when every process has arrived here."""
    if world.size > 1:
        dist.barrier()


def largest(world: World, *numbers: int) -> list[int]:
    """Each number's maximum over the processes, which must all call this; waits for no GPU."""
    if world.size == 1:
        return list(numbers)
    found = torch.tensor(numbers)  # on the CPU, so by gloo
    dist.all_reduce(found, dist.ReduceOp.MAX)
    return [int(number) for number in found.tolist()]


def need_shared(path: Path) -> None:
    """Raise FileNotFoundError if this machine does not see the first process's folder."""
    if not path.exists():
        raise FileNotFoundError(
            f"{path.absolute()}: not on {socket.gethostname()}; all machines need the folder of "
            "the runs and the videos under the same path, such as one on a network file system"
        )


def pick_gpu(world: World) -> torch.device | None:
    """This process's own GPU; None without GPUs.

    If SLURM shows each task only its own GPU, that is number 0.

    Raises ValueError if the machine has fewer GPUs than processes.
    """
    if not torch.cuda.is_available():
        return None
    count = torch.cuda.device_count()
    number = 0 if count == 1 and _bound_by_slurm() else world.local_rank
    if number >= count:
        raise ValueError(
            f"{world.local_size} processes on this machine, but {count} GPUs: start as many, or "
            "train on the CPU (accelerator=cpu)"
        )
    return torch.device("cuda", number)


def _bound_by_slurm() -> bool:
    return "SLURM_STEP_NUM_TASKS" in os.environ and "TORCHELASTIC_RUN_ID" not in os.environ


def share_cores(processes: int) -> int:
    """Give torch this process's share of the machine's cores, and print the number.

    torchrun sets OMP_NUM_THREADS=1 if it is not set, and other launchers leave all cores to every
    process. A number above 1 in OMP_NUM_THREADS is kept, and so are the cores that SLURM assigns.
    """
    threads = _threads(processes)
    torch.set_num_threads(threads)
    if processes > 1:
        many = "one thread" if threads == 1 else f"{threads} threads"
        say(f"{processes} processes on this machine compute with {many} each")
    return threads


def _threads(processes: int) -> int:
    given = int(os.environ.get("OMP_NUM_THREADS", "1").split(",")[0])
    if given > 1:
        return given
    if "SLURM_CPUS_PER_TASK" in os.environ:
        return int(os.environ["SLURM_CPUS_PER_TASK"])
    own = cores()
    bound = "SLURM_STEP_NUM_TASKS" in os.environ and own != os.cpu_count()
    return max(own // (1 if bound else processes), 1)


def _meet(world: World) -> tuple[dist.Store, str, list[str]]:
    where = f"{os.environ.get('MASTER_ADDR')}:{os.environ.get('MASTER_PORT')}"
    try:
        store, *_ = next(dist.rendezvous("env://", world.rank, world.size, timeout=COME))
        return store, *meet(store, world.rank, world.size, timeout=COME)
    except (TimeoutError, dist.DistError) as error:
        raise TimeoutError(
            f"process {world.rank} of {world.size} waited {COME} at {where} ({error}); read the "
            "output of the others, and check that MASTER_ADDR is an address of the first machine"
        ) from error
