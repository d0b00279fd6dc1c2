"""`video-gc NAME …`, or `python -m video_gc NAME …`: each command is the script tools/NAME.py."""

import runpy
import sys
from importlib.metadata import version

from video_gc.cli import run_tool
from video_gc.escape import nearest_name
from video_gc.shipped import shipped

COMMANDS = {
    "train": "train a network on generated clips, your own, or Kinetics",
    "test": "test it with several views of each video",
    "predict": "recognise actions in videos, or when they happen in long ones",
    "report": "a page on one run, or a table of many",
    "compare": "is one run better than another, or is it noise?",
    "ablate": "train and test the rows of an ablation",
    "prepare": "check videos, make small copies, pack them into shards",
    "augment": "look at training clips",
    "attention": "see where context blocks look, and whether it depends on the place",
    "complexity": "parameters and multiply-adds of a network",
    "export": "ONNX, OpenVINO or PyTorch's format, verified",
    "stream": "a camera, an address or a pipe, live",
    "app": "a page to try a network in",
    "serve": "an HTTP interface",
    "features": "features of videos, with their times",
    "probe": "a linear classifier on features, for few clips",
    "score": "a list of millions of videos",
    "benchmark": "time and memory on this machine, beside the peers",
}
"""Name → what it does, in the order in which people need them."""
HEAD = """\
Global context for video action recognition.

  video-gc NAME --help     explains a command
  video-gc NAME …          runs it

"""
TAIL = """
begin with:
  video-gc train                                   a small network on generated clips
  video-gc train data=folder data.root=DIR         your own, DIR/CLASS/video.mp4
  video-gc predict runs/NAME VIDEO
"""


def main() -> None:
    """Run the command that the first argument names."""
    run_tool(lambda: _check(sys.argv[1:]), leave=False)
    name = sys.argv.pop(1)
    tools = shipped("tools")
    sys.path.insert(0, str(tools))  # as for a script; tools/benchmark.py needs it
    runpy.run_path(str(tools / f"{name}.py"), run_name="__main__")


def _check(arguments: list[str]) -> None:
    """Explain, and exit, or raise ValueError, unless a command is named."""
    name = arguments[0] if arguments else "--help"
    if name in ("--help", "-h"):
        width = max(map(len, COMMANDS)) + 3
        print(HEAD + "".join(f"  {n:{width}}{what}\n" for n, what in COMMANDS.items()) + TAIL)
        sys.exit()
    if name == "--version":
        print(f"video-gc {version('video_gc')}")
        sys.exit()
    if name not in COMMANDS:
        near = nearest_name(name, list(COMMANDS))
        hint = f"did you mean {near}?" if near else "video-gc alone lists them"
        raise ValueError(f"{name!r}: no such command; {hint}")


if __name__ == "__main__":
    main()
