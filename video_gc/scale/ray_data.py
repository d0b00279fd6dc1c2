"""The rows of a list by Ray Data: actors on the machines of a cluster, and its own checkpoints.

Paths travel, not bytes: an actor decodes what it scores. A video that is damaged, hangs or kills
its decoder costs its row inside the actor. Ray retries a batch whose actor died. Its checkpoint of
finished rows (in two phases: noted, written, committed) lets the same call go on after all else.
"""

import os
import platform
import signal
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet
import torch

from video_gc.atomic import atomic_path
from video_gc.cores import cores
from video_gc.deploy.choices import MOST_CLIPS
from video_gc.deploy.exported import is_exported
from video_gc.extras import need
from video_gc.progress import say
from video_gc.scale.scoring import Scorer, Work
from video_gc.scale.shards import note

FOLDER = "_ray"
"""The folder of the list, the checkpoint and signs of life, below the rows; readers of Parquet pass
over names that begin so."""
SPARE = 2
"""Cores for Ray's reading and for its filter of finished rows; without them it would wait for ever.
Both have little to do, so on this machine alone they are counted beside the real ones."""
LIFE = 10.0
"""Seconds between two signs of life of an actor."""
STALLED = 3600.0
"""Seconds without a sign of life after which a job is ended: a pool whose actors have died can wait
for ever (ray-project/ray#62746)."""


class ScoringActor:
    """An actor: batches with `row` and `path` → batches of rows."""

    def __init__(self, work: Work, out: Path) -> None:
        """out: the folder of the rows."""
        self.schema, self.scorer = work.options.schema, Scorer(work.recognizer(), work)
        self._sign, self._said = out / FOLDER / f"{platform.node()}-{os.getpid()}.alive", 0.0
        self.scorer.alive = self.alive

    def alive(self) -> None:
        """Leave a sign of life, now and then."""
        if time.monotonic() - self._said > LIFE:
            self._said = time.monotonic()
            self._sign.touch()

    def __call__(self, batch: pa.Table) -> pa.Table:
        """The rows, in order."""
        videos = zip(batch["row"].to_pylist(), batch["path"].to_pylist(), strict=True)
        return pa.Table.from_pylist(list(self.scorer.rows(videos)), self.schema)


def score_with_ray(
    work: Work,
    paths: pa.ChunkedArray,
    out: Path,
    *,
    address: str | None = None,
    actors: int | None = None,
    batch_size: int = 100,
) -> None:
    """Write the rows of `paths` that are missing into `out`, a folder that all machines see.

    address: of a running cluster, or auto; None: this machine alone. All its machines see `out`.
    actors: processes that score; default: one for each GPU, or for each `work.decoders` cores (by
        default one); of a cluster, two cores are left for Ray.
    batch_size: rows that are lost with an actor.

    The precision is chosen for this machine, and the same on all.
    Raises ImportError without Ray, ConnectionError for an address without a cluster, and as
    `score_shard`; ValueError for actors that do not fit; TimeoutError if they are gone.
    """
    need("ray", "ray", by="--engine ray")
    if work.backend == "auto" and not is_exported(work.checkpoint):
        work = replace(work, backend="eager")  # what is fastest here may not be so elsewhere
    if work.micro_batch is None and work.device != "cpu":  # nobody knows yet whether there are GPUs
        work = replace(work, micro_batch=MOST_CLIPS)
    here = work if torch.cuda.is_available() else replace(work, device="cpu")
    recognizer = here.recognizer()
    say(f"{work.checkpoint}: {recognizer.about}; {len(paths):,} videos are listed")
    out = Path(os.path.abspath(out))
    note(out, recognizer, work.options, paths, {"engine": "ray"})
    listed = out / FOLDER / "list.parquet"
    if not listed.is_file():
        with atomic_path(listed) as file:
            table = pa.table({"row": np.arange(len(paths)), "path": paths})
            pa.parquet.write_table(table, file, row_group_size=batch_size)
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # nothing is sent elsewhere
    import ray
    from ray.data.checkpoint import CheckpointConfig

    more = {} if address else {"num_cpus": cores() + SPARE}
    ray.init(address=address or "local", log_to_driver=False, **more)  # not one it may remember
    try:
        machines = [node["Resources"] for node in ray.nodes() if node["Alive"]]
        decoders, exported = work.decoders or 1, is_exported(work.checkpoint)
        on_gpu = work.device != "cpu" and not exported
        gpus = sum(int(each.get("GPU", 0)) for each in machines) if on_gpu else 0
        if (work.device or "").startswith("cuda") and not gpus:
            raise ValueError(f"device ({work.device}): the cluster has no GPU")
        fitting = actors_that_fit(machines, decoders, gpus=gpus > 0)
        count = actors or max(fitting, 1)
        if count > fitting:
            raise ValueError(
                f"actors ({count}) with {decoders} decoders each: {fitting} fit the cluster's "
                f"{len(machines)} machines (two cores are left for Ray's reading, and an actor is "
                "on one machine); give fewer --actors or --decoders"
            )
        context = ray.data.DataContext.get_current()
        context.checkpoint_config = CheckpointConfig(
            "row", str(out / FOLDER / "finished"), delete_checkpoint_on_success=False
        )
        chosen = replace(
            work,
            checkpoint=work.checkpoint.absolute() if work.checkpoint.exists() else work.checkpoint,
            device="cuda" if gpus else "cpu",
            precision=work.precision if exported else recognizer.network.precision,
            decoders=decoders,
        )
        # a block is what a dead actor loses
        blocks = ray.data.read_parquet(str(listed)).repartition(
            target_num_rows_per_block=batch_size
        )
        rows = blocks.map_batches(
            ScoringActor,
            fn_constructor_args=(chosen, out),
            batch_size=batch_size,
            batch_format="pyarrow",
            compute=ray.data.ActorPoolStrategy(size=count),
            num_cpus=decoders,
            num_gpus=1 if gpus else 0,
        )
        with _watched(out):
            rows.write_parquet(str(out))
    finally:
        ray.shutdown()


def actors_that_fit(machines: Sequence[Mapping[str, float]], cpus: int, *, gpus: bool) -> int:
    """How many actors of `cpus` cores, and of one GPU each, machines with these resources hold.

    `SPARE` cores stay free, wherever they cost fewest actors.
    """
    there = [int(each.get("CPU", 0)) for each in machines]
    most = [int(each.get("GPU", 0)) if gpus else max(there) for each in machines]
    held = [min(own // cpus, limit) for own, limit in zip(there, most, strict=True)]
    missing = max(SPARE - (sum(there) - sum(held) * cpus), 0)
    return max(sum(held) - -(-missing // cpus), 0)


@contextmanager
def _watched(out: Path) -> Iterator[None]:
    """End the block with TimeoutError after `STALLED` seconds without a sign of life in `out`."""
    ended, stalled, waiting = threading.Event(), threading.Event(), threading.get_ident()

    def watch() -> None:
        seen: list[tuple[str, int]] = []
        since = time.monotonic()
        while not ended.wait(min(STALLED / 10, 10)):
            now: list[tuple[str, int]] = []
            with suppress(OSError):  # of a disk elsewhere; the next look may succeed
                for sign in (*out.glob("[!.]*.parquet"), *(out / FOLDER).glob("*.alive")):
                    with suppress(OSError):
                        now.append((sign.name, sign.stat().st_mtime_ns))
            if now != seen:
                seen, since = now, time.monotonic()
            elif time.monotonic() - since > STALLED:
                stalled.set()
                # to the thread that waits, or its wait would not end
                signal.pthread_kill(waiting, signal.SIGINT)
                return

    watcher = threading.Thread(target=watch, daemon=True)
    ignored = signal.getsignal(signal.SIGINT) == signal.SIG_IGN
    if ignored:  # as shells start what is in the background
        signal.signal(signal.SIGINT, signal.default_int_handler)
    watcher.start()
    try:
        yield
    except KeyboardInterrupt:
        if not stalled.is_set():
            raise
        raise TimeoutError(
            f"{out}: no actor gave a sign of life for {STALLED:g} s; look at Ray's dashboard and "
            "logs, and rerun the command to resume"
        ) from None
    finally:
        ended.set()
        watcher.join()
        if ignored:
            signal.signal(signal.SIGINT, signal.SIG_IGN)
