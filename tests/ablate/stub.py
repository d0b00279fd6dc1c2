"""Stand-ins for tools/train.py and tools/test.py that write what these write, at once.

What a cell is to do stands in DIR/orders/CELL: fail, kill, pause, slow, or nothing. DIR/calls lists them,
DIR/videos has the fingerprint that a test is to write.
"""

import json
from collections.abc import Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path

from video_gc.ablate.cell import Cell, Job
from video_gc.ablate.plan import CELLS, Plan
from video_gc.config.ablation import plan_ablation

TRAIN = """\
import json, os, pathlib, signal, sys, time
options = dict(argument.split("=", 1) for argument in sys.argv[1:])
here, run = pathlib.Path({here!r}), pathlib.Path(options["runs"], options["name"])
with (here / "calls").open("a") as calls:
    calls.write(f"train {{run.name}} {{os.environ.get('OMP_NUM_THREADS')}}\\n")
order = here / "orders" / run.name
order = order.read_text() if order.is_file() else ""
if order == "fail":
    print("some output\\nerror: no such folder (data.root)", file=sys.stderr)
    sys.exit(2)
if order == "kill":
    os.kill(os.getpid(), signal.SIGKILL)
if order == "pause":
    time.sleep(0.3)
if order == "slow":
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: ((run / "saved").write_text(""), sys.exit(130)))
    (here / "slow").write_text("")
    time.sleep(30)
(run / "checkpoints").mkdir(parents=True, exist_ok=True)
(run / "config.yaml").write_text((here / "options" / run.name).read_text())
(run / "finished.yaml").write_text("epochs: 1")
"""
TEST = """\
import json, pathlib, sys
here, run = pathlib.Path({here!r}), pathlib.Path(sys.argv[1]).parents[1]
with (here / "calls").open("a") as calls:
    calls.write(f"test {{run.name}}\\n")
test = json.loads((run / "config.yaml").read_text())["test"]
(run / "test").mkdir(exist_ok=True)
about = {{name: test[name] for name in ("clips", "crops", "fuse")}} | {{"subset": None}}
if (here / "videos").is_file():
    about["fingerprint"] = (here / "videos").read_text()
(run / "test" / "accuracy.json").write_text(json.dumps(about))
"""


@cache
def _plan() -> Plan:
    """Two rows, two seeds; composed once, for that takes longest."""
    return plan_ablation(["ablation=kinds", "only=[none,GC]", "seeds=[0,1]", "runs=RUNS"])


def stand_in_plan(folder: Path, runs: Path, count: int = 4) -> Plan:
    """Its first `count` cells in `runs`; their tools are stand-ins, which lie in `folder`."""
    cells = [
        replace(
            cell,
            directory=str(runs / CELLS / cell.name),
            arguments=[*cell.arguments[:-1], f"runs={runs / CELLS}"],
        )
        for cell in _plan().cells[:count]
    ]
    return replace(_plan(), runs=str(runs), cells=cells, tools=write_stub(folder, cells))


def write_stub(folder: Path, cells: Sequence[Cell]) -> str:
    """The stand-ins and what they need for `cells`; returns their folder."""
    for name in ("options", "orders", "tools"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    (folder / "calls").touch()
    for cell in cells:
        (folder / "options" / cell.name).write_text(json.dumps(cell.options))
    for name, text in (("train", TRAIN), ("test", TEST)):
        (folder / "tools" / f"{name}.py").write_text(text.format(here=str(folder)))
    return str(folder / "tools")


def order(folder: Path, cell: Cell, what: str) -> None:
    """Let the training of a cell fail, kill itself, pause, or be slow; "" for nothing special."""
    (folder / "orders" / cell.name).write_text(what)


def calls(folder: Path) -> list[str]:
    """What was called so far: `train CELL`, `test CELL`."""
    return [" ".join(line.split()[:2]) for line in (folder / "calls").read_text().splitlines()]


def job_of(folder: Path, cell: Cell) -> Job:
    """The job of one cell with the stand-ins."""
    return Job(cell=cell, folder=str(folder), tools=str(folder / "tools"))
