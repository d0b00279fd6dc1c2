"""`benchmark.py gpu`: everything that is to be known of a GPU, in a few minutes."""

import argparse
import json
import os
from collections.abc import Sequence
from typing import Any

from benchmarks.gpu_steps import bandwidth, facts, numerics, nvdec, speed, suite
from benchmarks.gpu_steps.schedule import DONE, Outcome, Step, described, run_steps, summary
from benchmarks.parts.measurement import (
    about_machine,
    add_folder,
    load_ffmpeg,
    results_content,
    table,
    write_results,
)
from video_gc.atomic import write_text
from video_gc.cli import in_range
from video_gc.deploy.device import pick_device
from video_gc.progress import say

ABOUT = """\
Check and measure a GPU in order of importance: its facts, the tests marked gpu, numerics of blocks
and backbones against the CPU, the frames that its video decoder gives, clips a second of training
and inference, and blocks against its bandwidth. Each step runs in its own process with a time
limit; what was found is in gpu.json at every moment. With --device cpu the same at small sizes, to
rehearse it."""
EXAMPLES = """\
examples:
  video-gc benchmark gpu --device cpu           # a rehearsal, two minutes
  video-gc benchmark gpu --minutes 4 --steps facts numerics nvdec"""
STEPS = {
    step.name: step
    for step in (
        Step("facts", "the device and what it reaches at best", 45, facts.measure, facts.lines),
        Step("tests", "the tests marked gpu", 120, suite.measure, suite.lines),
        Step("numerics", "blocks and backbones against the CPU", 120, numerics.measure,
             numerics.lines),
        Step("nvdec", "files on which hardware decoders have failed", 90, nvdec.measure,
             nvdec.lines),
        Step("speed", "training and inference", 150, speed.measure, speed.lines),
        Step("blocks", "blocks against bandwidth", 120, bandwidth.measure, bandwidth.lines),
    )
}  # fmt: skip
"""In the order in which they are run."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `gpu`."""
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.description, parser.epilog = ABOUT, EXAMPLES
    parser.add_argument("--minutes", type=in_range(float, 0), default=8.0,
                        help="time for all steps; the last may be left out (8)")  # fmt: skip
    parser.add_argument("--steps", nargs="+", choices=STEPS, default=list(STEPS),
                        help="only these; default: all")  # fmt: skip
    parser.add_argument("--device", choices=("cuda", "cpu"), default="cuda",
                        help="cuda, or cpu for a rehearsal (cuda)")  # fmt: skip
    add_folder(parser)


def run(options: argparse.Namespace) -> int:
    """Run the steps, print, write JSON and Markdown; 1 if something is wrong or missing."""
    try:
        device = pick_device(options.device)
    except ValueError as error:
        raise ValueError(f"{error}; --device cpu rehearses the steps") from error
    rehearsal = device.type != "cuda"
    if rehearsal:  # beside other programs; two threads would wait for each other
        os.environ |= {"OMP_NUM_THREADS": "1", "TORCHINDUCTOR_COMPILE_THREADS": "1"}
    load_ffmpeg()  # the steps inherit it
    about = about_machine(device)
    steps = [step for name, step in STEPS.items() if name in options.steps]
    intro = f"{options.minutes:g} minutes on {about.get('gpu')}."
    if rehearsal:
        intro = "A rehearsal on the CPU at small sizes: **no figure of it says anything of a GPU**."

    def content(outcomes: dict[str, Outcome]) -> dict[str, Any]:
        return {"format": "gpu-1", "device": str(device), "steps": described(outcomes)}

    def keep(outcomes: dict[str, Outcome]) -> None:
        found = results_content(about, intro, all_lines(steps, outcomes), content(outcomes))
        write_text(options.out / "gpu.json", json.dumps(found, indent=1))

    outcomes = run_steps(steps, str(device), 60 * options.minutes, keep)
    write_results(options.out / "gpu", about, intro, all_lines(steps, outcomes), content(outcomes))
    bad = [name for name, found in outcomes.items() if found.wrong or found.state != DONE]
    if bad:
        say(f"Wrong, failed or not finished: {', '.join(bad)}; the reasons are in gpu.json",
            style="red")  # fmt: skip
    return int(bool(bad))


def all_lines(steps: Sequence[Step], outcomes: dict[str, Outcome]) -> list[str]:
    """Markdown: a line per step, then the table of each that has found something."""
    cells = [[name, o.state, f"{o.seconds:.0f}", summary(o)] for name, o in outcomes.items()]
    shown = table(["step", "state", "s", "found"], cells)
    for step in steps:
        if rows := outcomes[step.name].rows:
            shown += ["", f"**{step.name}**: {step.about}", "", *step.lines(rows)]
    return shown
