"""Test a checkpoint with several views a video; writes predictions.csv and the confusion matrix."""

from pathlib import Path

from rich.table import Table

from video_gc.cli import Parser, in_range, run_tool
from video_gc.engine.evaluation import Evaluation, evaluate
from video_gc.progress import console, say


def main() -> None:
    """Parse, test, print."""
    parser = Parser(
        description=__doc__,
        epilog="example: python tools/test.py runs/demo/checkpoints/best.ckpt --clips 10 --crops 3",
    )
    parser.add_argument(
        "checkpoint",
        type=Path,
        help="of tools/train.py, e.g. runs/demo/checkpoints/best.ckpt, or published weights, e.g. "
        "slow_r50",
    )
    parser.add_argument(
        "--data",
        type=Path,
        help="folder DIR/CLASS/video, or a `path label` list; default: the run's test videos; "
        "published weights need it",
    )
    parser.add_argument("--root", type=Path, help="folder that relative paths of a list start from")
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
    parser.add_argument("--out", type=Path, help="folder for the results; default: RUN/test")
    parser.add_argument(
        "--workers",
        type=in_range(int, 0),
        help="decoding processes; default: as in the training config",
    )
    parser.add_argument("--device", help="cpu or cuda; default: cuda where there is one")
    options = vars(parser.parse_args())
    print_result(evaluate(options.pop("checkpoint"), **options))


def print_result(done: Evaluation) -> None:
    """Accuracy, what it is of, and where the files lie."""
    result = done.result
    say(done.title, style="bold")
    table = Table()
    for heading in ("", *result.video_level.figures, "of"):
        table.add_column(heading, justify="right" if heading else "left")
    for name, level in (("clip level", result.clip_level), ("video level", result.video_level)):
        shares = (f"{share:.2%}" for share in level.figures.values())
        what = "views" if name.startswith("clip") else "videos"
        table.add_row(name, *shares, f"{level.count} {what}")
    console.print(table)
    if result.not_scored:
        say(f"Not scored: {result.not_scored} videos; see {done.skipped}")
    for file in done.files:
        say(f"  {file}")


if __name__ == "__main__":
    run_tool(main)
