"""Recognise the action in a live video: a camera, an address, a pipe, or a file that is played.

Prints the newest window of frames as soon as it is scored: a table in a terminal, otherwise a line
of JSON. A network that is too slow drops windows instead of falling behind. A source that breaks
off is opened again. Ctrl-C ends it with a summary.
"""

import sys
from pathlib import Path

from video_gc.cli import Parser, in_range, run_tool
from video_gc.deploy.choices import BACKEND_HELP, BACKENDS, PRECISION_HELP, PRECISIONS
from video_gc.progress import say
from video_gc.train.checkpoint_paths import checkpoint_in


def main() -> None:
    """Parse, open, show."""
    parser = Parser(
        description=__doc__,
        epilog="examples: video-gc stream runs/demo 0; "
        "video-gc stream runs/demo rtsp://camera/1 --average-size 3 --json; "
        "ffmpeg … -f mpegts - | video-gc stream runs/demo -",
    )
    parser.add_argument(
        "checkpoint", type=Path, help="as of video-gc predict, e.g. runs/demo or slow_r50"
    )
    parser.add_argument(
        "source",
        metavar="SOURCE",
        help="a camera (0 or /dev/video0), an address (rtsp://…, http://…), a file (played in real "
        "time), or - for a video on standard input",
    )
    parser.add_argument(
        "--stride",
        type=in_range(float, 0),
        metavar="SECONDS",
        help="from one window to the next; 0: at each new frame that the network sees; default: "
        "windows do not overlap",
    )
    parser.add_argument(
        "--average-size",
        type=in_range(int, 1),
        default=1,
        metavar="N",
        help="average the scores of the last N windows (1)",
    )
    parser.add_argument(
        "--threshold", type=in_range(float, 0, 1), default=0.0, help="smallest score shown (0)"
    )
    parser.add_argument(
        "--inference-fps",
        type=in_range(float, 1e-3),
        metavar="N",
        help="score at most N windows in a second of the stream",
    )
    parser.add_argument("--top", type=in_range(int, 1), default=5, help="labels of a window (5)")
    parser.add_argument(
        "--fast",
        action="store_true",
        help="read a file or a pipe as fast as its windows are scored, and drop none",
    )
    parser.add_argument("--json", action="store_true", help="lines of JSON also in a terminal")
    parser.add_argument(
        "--out",
        type=Path,
        metavar="VIDEO",
        help="write the video with the labels on it, e.g. x.mp4",
    )
    parser.add_argument("--device", help="cpu or cuda; default: cuda if available")
    parser.add_argument("--precision", choices=PRECISIONS, default="auto", help=PRECISION_HELP)
    parser.add_argument("--backend", choices=BACKENDS, default="auto", help=BACKEND_HELP)
    options = parser.parse_args()
    checkpoint = checkpoint_in(options.checkpoint)
    from video_gc.decode.live import Live
    from video_gc.predict.recognizer import Recognizer
    from video_gc.predict.stream import Stream
    from video_gc.predict.stream_output import show_stream  # late: it imports torch

    live = Live(options.source, fast=options.fast, report=say)
    recognizer = Recognizer(
        checkpoint,
        device=options.device,
        precision=options.precision,
        backend=options.backend,
    )
    stream = Stream(
        live,
        recognizer,
        stride=options.stride,
        average_size=options.average_size,
        threshold=options.threshold,
        inference_fps=options.inference_fps,
        every_window=options.fast,
        top=options.top,
    )
    say(f"{options.checkpoint}: {recognizer.about}")
    as_json = options.json or not sys.stdout.isatty()
    show_stream(live, stream, as_json=as_json, out=options.out)


if __name__ == "__main__":
    run_tool(main)
