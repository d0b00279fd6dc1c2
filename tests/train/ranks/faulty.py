"""tools/train.py, with a fault in one process: FAULT=RANK:STEP:KIND, in the first attempt alone."""

import os
import signal
import sys
import time
from typing import Any

from video_gc.cli import run_tool
from video_gc.config import compose_train
from video_gc.data.index import DataError
from video_gc.progress import say
from video_gc.train.distributed.world import this_world
from video_gc.train.loop import train
from video_gc.train.step import Objective


def main() -> None:
    rank, step, kind = os.environ.get("FAULT", "-1:0:none").split(":")
    original = Objective.training_step
    pause = float(os.environ.get("PAUSE", "0"))

    def training_step(self: Objective, network: Any, batch: Any, number: int) -> Any:
        time.sleep(pause)
        first = os.environ.get("TORCHELASTIC_RESTART_COUNT", "0") == "0"
        if first and this_world().rank == int(rank) and number == int(step):
            if kind == "error":
                raise DataError("clip_000123.mp4: the disk is gone")
            if kind == "killed":
                os.kill(os.getpid(), signal.SIGKILL)
            os.kill(os.getpid(), signal.SIGSTOP)
        say(f"step {number}")
        return original(self, network, batch, number)

    Objective.training_step = training_step  # type: ignore[method-assign]
    run_tool(lambda: train(compose_train(sys.argv[1:])) and None)


if __name__ == "__main__":
    main()
