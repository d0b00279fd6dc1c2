"""Recognise the action in videos: the best classes of each, and a timeline.

With --segments: what happens when in long videos. Overlapping windows are scored, and runs of high
scores become segments: segments.json (ActivityNet's form), segments.csv, a picture for each video.
The scores are kept: rerun a killed command to resume it, or another threshold to see it at once.

Prints each result immediately, and for several videos a summary. predictions.csv in the output
folder has a line for each video. An unreadable video is reported and does not stop the others. The
JSON array is closed however the run ends, except by SIGKILL.
"""

from argparse import Namespace
from contextlib import closing, nullcontext
from pathlib import Path
from typing import Any

from video_gc.cli import Parser, in_range, report_error, run_tool
from video_gc.decode.ffmpeg.paths import check_exist
from video_gc.deploy.choices import BACKEND_HELP, BACKENDS, PRECISION_HELP, PRECISIONS
from video_gc.progress import Screen, say
from video_gc.train.checkpoint_paths import checkpoint_in

SEGMENT_OPTIONS = (
    ("overlap", float, "share of a window that the next one sees too, 0 to 0.95 (0.5)"),
    ("leave", float, "a segment ends where its score falls below (0.8 of the threshold)"),
    ("smooth", int, "scores are means over so many windows, an odd number (3)"),
    ("min-length", float, "leave out shorter segments, s (0)"),
)
"""Option, type, help."""


def main() -> int:
    """Parse, predict, print; returns 1 if a video could not be read."""
    parser = Parser(
        description=__doc__,
        epilog="example: video-gc predict runs/demo/checkpoints/best.ckpt "
        "data/motions/alike/test; "
        "long videos: video-gc predict runs/mine match.mp4 --segments --threshold 0.6",
    )
    parser.add_argument(
        "checkpoint",
        type=Path,
        help="of video-gc train, e.g. runs/demo/checkpoints/best.ckpt or the run, runs/demo; of "
        "video-gc export, e.g. model.onnx; or published weights, e.g. slow_r50 (Kinetics-400, "
        "downloaded once)",
    )
    parser.add_argument(
        "videos", type=Path, nargs="+", metavar="VIDEO", help="files, or folders of videos"
    )
    parser.add_argument("--top", type=in_range(int, 1), help="classes to show (5)")
    parser.add_argument("--json", action="store_true", help="print a JSON array instead of tables")
    parser.add_argument(
        "--threshold",
        type=in_range(float, 0, 1),
        help="least score of a class that is named: below it, a video or window is `none of "
        "these` (default: the best class is always named); with --segments, a segment reaches it "
        "(0.5)",
    )
    parser.add_argument(
        "--start", type=in_range(float, 0), metavar="S", help="recognise from this time, s"
    )
    parser.add_argument(
        "--end", type=in_range(float, 0), metavar="S", help="recognise up to this time, s"
    )
    parser.add_argument(
        "--out",
        type=Path,
        help="folder for the pictures and predictions.csv, which lists the videos of this "
        "command alone; default: RUN/predict",
    )
    parser.add_argument("--device", help="cpu or cuda; default: cuda if available")
    parser.add_argument("--precision", choices=PRECISIONS, default="auto", help=PRECISION_HELP)
    parser.add_argument("--backend", choices=BACKENDS, default="auto", help=BACKEND_HELP)
    long = parser.add_argument_group("segments of long videos")
    long.add_argument("--segments", action="store_true", help="find segments")
    for name, kind, text in SEGMENT_OPTIONS:
        long.add_argument(f"--{name}", type=kind, help=text)
    options = parser.parse_args()
    given = {
        field: value
        for name, _, _ in SEGMENT_OPTIONS
        if (value := getattr(options, field := name.replace("-", "_"))) is not None
    }
    if given and not options.segments:
        parser.error(f"--{next(iter(given)).replace('_', '-')} needs --segments")
    for name in ("start", "end"):
        if options.segments and getattr(options, name) is not None:
            parser.error(f"--{name} is for windows; --segments scores whole videos")
    if options.end is not None and options.end <= (options.start or 0):
        parser.error(f"--end ({options.end:g} s) must be after --start ({options.start or 0:g} s)")
    checkpoint = checkpoint_in(options.checkpoint)
    check_exist(options.videos)
    if options.segments:
        if options.threshold is not None:
            given["threshold"] = options.threshold
        if options.top is not None:
            parser.error("--top is for windows; with --segments, every class has its segments")
        return find_and_print(checkpoint, options, given)
    return predict_and_print(checkpoint, options)


def predict_and_print(checkpoint: Path, options: Namespace) -> int:
    """The command without --segments; returns 1 if a video could not be read."""
    from video_gc.predict.batch import TABLE, PredictOptions, predict_all
    from video_gc.predict.json_array import json_array
    from video_gc.predict.timeline import print_prediction, summary_table
    from video_gc.train.checkpoint import default_output  # late: it imports torch

    wanted = PredictOptions(
        top=options.top or 5,
        threshold=options.threshold or None,
        start=options.start,
        end=options.end,
    )
    out = options.out or default_output(checkpoint, "predict")
    done_well, failures = [], 0
    done_one_by_one = predict_all(
        checkpoint,
        options.videos,
        out,
        wanted,
        options.device,
        options.precision,
        options.backend,
    )
    with closing(done_one_by_one), json_array() if options.json else nullcontext() as array:
        for done in done_one_by_one:
            if isinstance(done, Exception):
                failures += report_error(done)
                continue
            ((_, score),) = done.top(1)
            done_well.append((done.video, done.label(wanted.threshold or 0.0), score))
            if array is None:
                print_prediction(done, wanted.top, wanted.threshold)
            else:
                array(done.to_dict(wanted.top, wanted.threshold))
    if len(done_well) > 1 and not options.json:
        Screen().print(summary_table(done_well))
    where = f"Timelines are in {out}, " if done_well else "No timeline was drawn; "
    where += f"the table is {out / TABLE}"
    say(where + (f"; files that failed: {failures}" if failures else ""))
    return int(failures > 0)


def find_and_print(checkpoint: Path, options: Namespace, given: dict[str, Any]) -> int:
    """The command with --segments; returns 1 if a video could not be read."""
    from video_gc.predict.json_array import json_array
    from video_gc.predict.segment_files import segment_all
    from video_gc.predict.segments import SegmentOptions
    from video_gc.predict.timeline import print_segments
    from video_gc.train.checkpoint import default_output  # late: it imports torch

    out = options.out or default_output(checkpoint, "segments")
    found = segment_all(
        checkpoint,
        options.videos,
        out,
        SegmentOptions(**given),
        options.device,
        options.precision,
        options.backend,
    )
    failures = 0
    with closing(found), json_array() if options.json else nullcontext() as array:
        for done in found:
            if isinstance(done, Exception):
                failures += report_error(done)
            elif array is None:
                print_segments(done.video, done.segments, done.damaged)
            else:
                array(done.to_dict())
    say(f"Segments are in {out}" + (f"; files that failed: {failures}" if failures else ""))
    return int(failures > 0)


if __name__ == "__main__":
    run_tool(main)
