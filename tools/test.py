"""Test a checkpoint with several views per video; writes predictions.csv, accuracy.json and tables.

Rerun the same command to resume a stopped test. On several processes:
torchrun --standalone --nproc-per-node=2 -m video_gc test CHECKPOINT
"""

from pathlib import Path
from typing import TYPE_CHECKING

from rich.table import Table

from video_gc.cli import Parser, in_range, run_tool
from video_gc.deploy.choices import BACKEND_HELP, BACKENDS, PRECISION_HELP, PRECISIONS
from video_gc.progress import console, counted, say
from video_gc.train.checkpoint_paths import checkpoint_in

if TYPE_CHECKING:
    from video_gc.evaluate.evaluate import Evaluation
    from video_gc.evaluate.scores import Scores

SHOWN = 5
"""Number of classes, and of pairs of classes, to print."""


def main() -> None:
    """Parse, test, print."""
    parser = Parser(
        description=__doc__,
        epilog="example: video-gc test runs/demo/checkpoints/best.ckpt --clips 10 --crops 3",
    )
    parser.add_argument(
        "checkpoint",
        type=Path,
        help="of video-gc train, e.g. runs/demo/checkpoints/best.ckpt or the run, runs/demo; of "
        "video-gc export, e.g. runs/demo/export/model.onnx; or published weights, e.g. slow_r50",
    )
    parser.add_argument(
        "--data",
        type=Path,
        help="folder DIR/CLASS/video, or a `path label` list; default: the run's test videos; "
        "published weights need it, and an exported model outside RUN/export",
    )
    parser.add_argument("--root", type=Path, help="folder for relative paths of a list")
    parser.add_argument(
        "--clips", type=int, help="clips spread over each video; default: as in the training config"
    )
    parser.add_argument(
        "--crops",
        type=int,
        choices=(1, 3, 10),
        help="1 (centre), 3 along the longer side, or 10 (corners and centre, and mirrored); "
        "default: as in the training config",
    )
    parser.add_argument(
        "--subset",
        type=in_range(int, 1),
        help="a quick look at so many videos, spread over the classes; not for comparisons",
    )
    parser.add_argument(
        "--micro-batch",
        type=in_range(int, 1),
        help="views in one forward pass at most; default: as in the training config, or 8, "
        "on a CPU fewer if clips are large",
    )
    parser.add_argument(
        "--precision",
        choices=PRECISIONS,
        help=f"{PRECISION_HELP}; default: as in the training config; not for an exported model",
    )
    parser.add_argument(
        "--backend",
        choices=BACKENDS,
        help=f"{BACKEND_HELP}; default: as in the training config",
    )
    parser.add_argument(
        "--fastest",
        action="store_true",
        help="test what predict, score and serve use here after video-gc benchmark predict "
        "--choose RUN, such as int8; no table of runs takes the results",
    )
    parser.add_argument(
        "--weights",
        choices=("raw", "ema", "both"),
        help="weights of a checkpoint with averaged weights; default: all that it has",
    )
    parser.add_argument(
        "--out",
        type=Path,
        help="folder for the results; replaces results of a test there, never other files; "
        "default: RUN/test (refuses to replace the results of a different test), "
        "RUN/test_subset with --subset, RUN/test_fastest with --fastest, or for "
        "RUN/export/model.onnx RUN/test_model_onnx",
    )
    parser.add_argument(
        "--workers",
        type=in_range(int, 0),
        help="decoding processes; default: as in the training config",
    )
    parser.add_argument("--device", help="cpu or cuda; default: cuda if available")
    options = vars(parser.parse_args())
    checkpoint = checkpoint_in(options.pop("checkpoint"))
    from video_gc.evaluate.evaluate import TestOptions, evaluate
    from video_gc.train.distributed.world import this_world  # late: it imports torch

    done = evaluate(checkpoint, TestOptions(**options))
    if this_world().first:
        print_result(done)


def print_result(done: "Evaluation") -> None:
    """Print accuracy, the most frequent errors, coverage and the paths of the files."""
    from video_gc.evaluate.tested_videos import DAMAGED

    say(done.title, style="bold")
    console.print(accuracy_table(done))
    if done.note:
        say(f"note: {done.note}", style="yellow")
    result = done.result
    if result.calibration is not None:
        say(
            f"Expected calibration error: {result.calibration:.2%} (video level, 15 bins: distance "
            "between the best score and the share of correct ones)"
        )
    if not result.index.multi_label:
        print_confusions(result)
    listed, scored = done.coverage["listed"], done.coverage["scored"]
    say(f"Scored: {scored} of {listed} listed videos")
    for cause, count in list(done.coverage.items())[2:]:
        if count:
            where = f", listed in {done.skipped}" if cause == DAMAGED else ""
            say(f"  {cause.replace('_', ' ')}: {count}{where}")
    for file in done.files:
        say(f"  {file}")


def accuracy_table(done: "Evaluation") -> Table:
    """Clip-level and video-level accuracy of each set of weights."""
    table = Table()
    # of five classes or fewer, every video is right in top-5
    told = [name for name in done.result.video_level.figures
            if name != "top-5" or len(done.result.index.names) > 5]  # fmt: skip
    for heading in ("", *told, "of"):
        table.add_column(heading, justify="right" if heading else "left")
    for weights, result in done.results.items():
        for name, level in (("clip level", result.clip_level), ("video level", result.video_level)):
            shares = (f"{level.figures[figure]:.2%}" for figure in told)
            what = counted(level.count, "view" if name.startswith("clip") else "video")
            row = f"{weights}, {name}" if len(done.results) > 1 else name
            table.add_row(row, *shares, what)
    return table


def print_confusions(result: "Scores") -> None:
    """Print chance, the worst classes and the most confused pairs."""
    from video_gc.evaluate.confusions import class_results, confused_pairs, worst_classes

    classes = class_results(result)
    most = max(classes, key=lambda one: one.videos)
    share = most.videos / sum(one.videos for one in classes)
    say(f"Chance: {share:.2%}, for always {most.name!r}, the most frequent class")
    worst = worst_classes(classes, SHOWN)
    if worst:
        named = (f"{one.name} {one.top1:.0%} of {one.videos}" for one in worst)
        say(f"Lowest top-1: {', '.join(named)}")
    pairs = [pair for pair in confused_pairs(result)[:SHOWN] if pair.count > 1]
    if pairs:
        named = (f"{pair.true} → {pair.predicted} ({pair.count})" for pair in pairs)
        say(f"Most confused: {', '.join(named)}")


if __name__ == "__main__":
    run_tool(main)
