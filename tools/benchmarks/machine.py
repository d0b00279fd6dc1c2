"""What the figures hold for, and FFmpeg's libraries for torchcodec."""

import os
import sys
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec

import torch

from video_gc.analysis.measure import load, machine
from video_gc.decode.ffmpeg_env import COMMAND, library_path
from video_gc.progress import say

RESTARTED = "VIDEO_GC_BENCHMARK_RESTARTED"


def about_machine() -> dict[str, str]:
    """Machine and versions; warns where others are at work on it."""
    about = machine(torch.device("cpu"))
    for library in ("av", "decord", "torchcodec"):
        try:
            about[library] = version(library)
        except PackageNotFoundError:
            about[library] = "not installed"
    busy, cores = load(), len(os.sched_getaffinity(0))
    about |= {"cores": str(cores), "load at the start": f"{busy:.1f}"}
    if busy > 0.5 * cores:
        say(f"The machine is busy (load {busy:.1f} on {cores} cores): trust ratios, not times.",
            style="yellow")  # fmt: skip
    return about


def load_ffmpeg() -> None:
    """Start again with FFmpeg's libraries on the path, which torchcodec needs, where they are not.

    The loader reads LD_LIBRARY_PATH once, when a process starts.
    """
    if find_spec("torchcodec") is None or RESTARTED in os.environ:
        return
    try:
        path = library_path()
    except FileNotFoundError:
        return  # an FFmpeg of the system perhaps
    if path == os.environ.get("LD_LIBRARY_PATH"):
        return
    say(f"Starting again with FFmpeg's libraries for torchcodec, as {COMMAND} sets them")
    os.environ |= {"LD_LIBRARY_PATH": path, RESTARTED: "1"}
    os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])
