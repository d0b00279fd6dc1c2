"""Is it worth training? A linear classifier on the features of a trained network, cross-validated.

Takes the files of video-gc features. Logistic regression (scikit-learn, L2 with C = 1) on the
standardised mean features of each video; each fold is predicted by a classifier of the others, and
no fold divides a group. Accuracy has a 95 % interval over videos, or groups where there are any.
"""

from pathlib import Path

from video_gc.cli import Parser, in_range, run_tool
from video_gc.decode.ffmpeg.paths import check_exist
from video_gc.progress import Screen, say


def main() -> None:
    """Parse, classify, print."""
    parser = Parser(
        description=__doc__,
        epilog="example: video-gc features slow_r50 CLIPS --out features; "
        "video-gc probe features --group 'match(\\d+)'",
    )
    parser.add_argument("features", type=Path, help="folder of video-gc features")
    parser.add_argument(
        "--labels",
        type=Path,
        help="a CSV with columns path (or video) and label, and perhaps start, end (s) and group; "
        "default: the name of each video's folder",
    )
    parser.add_argument(
        "--group",
        metavar="PATTERN",
        help="regular expression that finds a video's group (source video, person, match) in its "
        "path",
    )
    parser.add_argument("--folds", type=in_range(int, 2), default=5, help="parts (5)")
    options = parser.parse_args()
    check_exist(filter(None, (options.features, options.labels)))
    from video_gc.analysis.probe import FILE, probe, probe_table

    found = probe(options.features, options.labels, options.group, options.folds)
    Screen().print(probe_table(found))
    say(f"Predictions are in {options.features / FILE}")


if __name__ == "__main__":
    run_tool(main)
