"""Write a checkpoint's network for another runtime, and verify it there.

Writes the model and beside it its contract, model.json, which says what the network expects of its
input (docs/export.md). Then opens the file in its runtime, scores videos with both, and prints the
largest difference of a logit, how often the best class is the same, and the time of both. A model
that disagrees is not kept.
"""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from rich.table import Table

from video_gc.cli import Parser, in_range, run_tool
from video_gc.decode.ffmpeg.paths import check_exist
from video_gc.deploy.choices import EXPORT_LIMITS, FORMATS
from video_gc.progress import console, say
from video_gc.train.checkpoint_paths import checkpoint_in

if TYPE_CHECKING:
    from video_gc.deploy.export import Exported


def main() -> None:
    """Parse, export, print."""
    parser = Parser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog=f"{EXPORT_LIMITS.replace(', and,', ',' + chr(10) + 'and,')}\n\nexamples:\n"
        "  video-gc export runs/demo/checkpoints/best.ckpt\n"
        "  video-gc export runs/demo/checkpoints/best.ckpt --format openvino --int8\n"
        "  video-gc predict runs/demo/export/model.onnx VIDEO",
    )
    parser.add_argument(
        "checkpoint",
        type=Path,
        help="of video-gc train, e.g. runs/demo/checkpoints/best.ckpt or the run, runs/demo; or "
        "published weights, e.g. slow_r50",
    )
    parser.add_argument(
        "--format",
        choices=tuple(FORMATS),
        default="onnx",
        help="onnx (an extra, also for TensorRT), openvino (an extra), or torch's exported_program "
        "(%(default)s)",
    )
    parser.add_argument(
        "--half",
        action="store_true",
        help="weights in fp16, and in onnx and exported_program feature maps too",
    )
    parser.add_argument(
        "--int8",
        action="store_true",
        help="openvino: weights and feature maps in int8, for the ranges in 200 training videos",
    )
    parser.add_argument(
        "--dynamic",
        action="store_true",
        help="any number of clips in a call; by default one",
    )
    parser.add_argument(
        "--opset", type=int, help="onnx: version of its operators; default: torch's"
    )
    parser.add_argument(
        "--videos",
        type=Path,
        help="folder or list to compare on; with --int8 every second one calibrates; default: the "
        "run's test videos, and its training videos; without a run generated clips",
    )
    parser.add_argument(
        "--count",
        type=in_range(int, 1),
        help="videos to compare on; default: 16, or 200 with --half or --int8",
    )
    parser.add_argument("--out", type=Path, help="folder for the files; default: RUN/export")
    parser.add_argument(
        "--accept-difference", action="store_true", help="keep a model that disagrees"
    )
    options = vars(parser.parse_args())
    checkpoint, videos, count, out = map(options.pop, ("checkpoint", "videos", "count", "out"))
    checkpoint = checkpoint_in(checkpoint)
    check_exist(filter(None, [videos]))
    from video_gc.analysis.export import export_checkpoint  # late: it imports torch
    from video_gc.deploy.export import ExportOptions

    print_exported(
        export_checkpoint(checkpoint, ExportOptions(**options), videos=videos, count=count, out=out)
    )


def print_exported(done: "Exported") -> None:
    """Print the comparison and the paths of the files."""
    found = done.comparison
    table = Table()
    for heading in ("", "checkpoint", "exported"):
        table.add_column(heading, justify="right" if heading else "left")
    table.add_row("precision", "fp32", done.options.precision)
    table.add_row("largest difference of a logit", "", f"{found.difference:.2g}")
    table.add_row("as a share of the largest logit", "", f"{found.relative:.2g}")
    table.add_row(f"same best class, of {found.clips} clips", "", f"{found.agreement:.1%}")
    if found.labelled:
        before, after = found.accuracy
        table.add_row(f"top-1 of {found.labelled} clips", f"{before:.1%}", f"{after:.1%}")
    before, after = found.seconds
    table.add_row("time of a clip, ms", f"{1000 * before:.1f}", f"{1000 * after:.1f}")
    table.add_row("size, MiB", "", f"{done.mib:.1f}")
    console.print(table)
    disagrees = found.disagrees(done.options.precision)
    if disagrees:
        say(f"Kept, although {disagrees}", style="yellow")
    for file in done.files:
        say(f"  {file}")
    if done.tensorrt:
        say(f"TensorRT: {done.tensorrt}")


if __name__ == "__main__":
    run_tool(main)
