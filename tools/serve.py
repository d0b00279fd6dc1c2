"""Answer requests over HTTP: a video in, its classes with scores out, as JSON.

POST /predict takes a form with the video as `file` and answers [{"label", "score"}], best first;
POST /features answers the features of its windows; GET /contract, /health, /metrics and
/openapi.json tell the rest. The server has no password: it listens on this machine only, unless
--host says otherwise.
"""

import argparse
from pathlib import Path

from video_gc.cli import Parser, in_range, run_tool
from video_gc.deploy.choices import BACKEND_HELP, BACKENDS, PRECISION_HELP, PRECISIONS
from video_gc.serve.limits import Limits, check_installed
from video_gc.train.checkpoint_paths import checkpoint_in


def main() -> None:
    """Parse, serve."""
    parser = Parser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog="example:\n"
        "  video-gc serve runs/demo/checkpoints/best.ckpt\n"
        "  curl -F file=@video.mp4 'http://127.0.0.1:8000/predict?top_k=3'",
    )
    add = parser.add_argument
    add("checkpoint", type=Path, help="of video-gc train, a run, or published weights (slow_r50)")
    add("--host", default="127.0.0.1", help="address to listen on (%(default)s); 0.0.0.0: all")
    add("--port", type=in_range(int, 1, 65535), default=8000, help="(%(default)s)")
    limits = Limits()
    for name, kind, least, meaning in (
        ("max-mb", float, 0.001, "largest upload, MiB"),
        ("max-seconds", float, 0.001, "longest video, seconds"),
        ("timeout", float, 0.001, "seconds from the start of a request to its answer"),
        ("queue", int, 1, "requests accepted at a time; the next one is answered 503"),
    ):
        default = getattr(limits, name.replace("-", "_"))
        add(f"--{name}", type=in_range(kind, least), default=default, help=f"{meaning} ({default})")
    add(
        "--allow-url",
        nargs="+",
        default=[],
        metavar="HOST",
        help="hosts, or HOST:PORT, from which a video is fetched by its `url` (none)",
    )
    add("--device", help="cpu or cuda; default: cuda if available")
    add("--precision", choices=PRECISIONS, default="auto", help=PRECISION_HELP)
    add("--backend", choices=BACKENDS, default="auto", help=BACKEND_HELP)
    options = parser.parse_args()
    check_installed("serve")
    limits = Limits(
        max_mb=options.max_mb,
        max_seconds=options.max_seconds,
        timeout=options.timeout,
        queue=options.queue,
        allow_url=tuple(options.allow_url),
    )
    checkpoint = checkpoint_in(options.checkpoint)
    from video_gc.serve.api import serve  # late: it imports torch

    serve(
        checkpoint,
        limits,
        host=options.host,
        port=options.port,
        device=options.device,
        precision=options.precision,
        backend=options.backend,
    )


if __name__ == "__main__":
    run_tool(main)
