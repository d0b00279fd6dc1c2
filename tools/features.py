"""Features of videos for other programs: a vector for each window, from any stage of a network.

One file of NumPy's for each video, VIDEO.npz, with
  features  (windows, channels), the mean over time and space of the stage's output
  centre, start, end  of each window, seconds from the video's first frame
  rate, window, stride  frame rate of the video (Hz), length and distance of windows (s)
  layer, weights, video  the stage, the hash of the weights, the video's path
Rerun the command to resume: a file of the same video, weights and options is kept.
"""

from argparse import RawDescriptionHelpFormatter
from pathlib import Path

from video_gc.cli import Parser, report_error, run_tool
from video_gc.decode.ffmpeg.paths import check_exist
from video_gc.deploy.choices import PRECISION_HELP, PRECISIONS
from video_gc.progress import counted, say
from video_gc.train.checkpoint_paths import checkpoint_in


def main() -> int:
    """Parse, compute, print; returns 1 if a video could not be read."""
    parser = Parser(
        description=__doc__,
        formatter_class=RawDescriptionHelpFormatter,
        epilog="example: video-gc features runs/mine VIDEOS --layer res4 --overlap 0.5; "
        "then video-gc probe runs/mine/features",
    )
    parser.add_argument(
        "checkpoint", type=Path, help="of video-gc train, a run, or published weights (slow_r50)"
    )
    parser.add_argument(
        "videos", type=Path, nargs="+", metavar="VIDEO", help="files, or folders of videos"
    )
    parser.add_argument(
        "--layer",
        default="res5",
        help="a stage (res2 … res5) or a residual block (res4.5); with two pathways res5 is "
        "slow.res5, and fast.res5 the other (res5)",
    )
    parser.add_argument(
        "--overlap",
        type=float,
        default=0.0,
        help="share of a window that the next one sees too (0)",
    )
    rows = parser.add_mutually_exclusive_group()
    rows.add_argument("--windows", action="store_true", help="a row for each window (the default)")
    rows.add_argument("--pool", action="store_true", help="one row for each video, the mean")
    parser.add_argument("--out", type=Path, help="folder for the files; default: RUN/features")
    parser.add_argument("--device", help="cpu or cuda; default: cuda if available")
    parser.add_argument("--precision", choices=PRECISIONS, default="auto", help=PRECISION_HELP)
    options = parser.parse_args()
    checkpoint = checkpoint_in(options.checkpoint)
    check_exist(options.videos)
    from video_gc.predict.features import SKIPPED, FeatureOptions, features_all
    from video_gc.train.checkpoint import default_output  # late: it imports torch

    out = options.out or default_output(checkpoint, "features")
    wanted = FeatureOptions(layer=options.layer, overlap=options.overlap, pool=options.pool)
    done, failures = 0, 0
    for each in features_all(
        checkpoint, options.videos, out, wanted, options.device, options.precision
    ):
        if isinstance(each, Exception):
            failures += report_error(each)
            continue
        done += 1
        file, found = each
        print(f"{file}: {found.rows.shape[0]} × {found.rows.shape[1]}")
    say(f"Features of {counted(done, 'video')} from {options.layer} are in {out}")
    if failures:
        say(f"{counted(failures, 'video')} could not be read: {out / SKIPPED}")
    return int(failures > 0)


if __name__ == "__main__":
    run_tool(main)
