"""A page in the browser: drop a video, see what happens when, and where the context blocks look.

Two checkpoints are shown side by side. The page is for this machine alone: it listens on 127.0.0.1,
nothing is sent elsewhere, and uploads are removed.
"""

import argparse
from pathlib import Path

from video_gc.cli import Parser, in_range, run_tool
from video_gc.serve.limits import Limits, check_installed
from video_gc.train.checkpoint_paths import checkpoint_in


def main() -> None:
    """Parse, show."""
    parser = Parser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog="examples:\n"
        "  video-gc app runs/demo/checkpoints/best.ckpt --examples data/motions/alike/test\n"
        "  video-gc app runs/gc runs/plain",
    )
    add = parser.add_argument
    add("checkpoint", type=Path, help="of video-gc train, a run, or published weights (slow_r50)")
    add("second", type=Path, nargs="?", help="another one, shown beside it")
    add(
        "--examples",
        type=Path,
        nargs="+",
        default=[],
        metavar="VIDEO",
        help="files or folders (none)",
    )
    add("--port", type=in_range(int, 1, 65535), default=7860, help="(%(default)s)")
    add("--device", help="cpu or cuda; default: cuda if available")
    limits = Limits()
    for name, meaning in (
        ("max-mb", "largest upload, MiB"),
        ("max-seconds", "longest video, seconds"),
        ("timeout", "seconds for one video and network"),
    ):
        default = getattr(limits, name.replace("-", "_"))
        add(
            f"--{name}", type=in_range(float, 0.001), default=default, help=f"{meaning} ({default})"
        )
    options = parser.parse_args()
    check_installed("app")
    checkpoints = [checkpoint_in(one) for one in (options.checkpoint, options.second) if one]
    if len(set(checkpoints)) < len(checkpoints):
        parser.error(f"both checkpoints are {checkpoints[0]}; name another one, or only this")
    from video_gc.serve.page import show  # late: it imports torch

    show(
        checkpoints,
        options.examples,
        Limits(max_mb=options.max_mb, max_seconds=options.max_seconds, timeout=options.timeout),
        port=options.port,
        device=options.device,
    )


if __name__ == "__main__":
    run_tool(main)
