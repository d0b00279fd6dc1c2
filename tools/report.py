"""Write RUN/report.html, one page on a trained and tested run that needs no network."""

from pathlib import Path

from video_gc.analysis.report import write_report
from video_gc.cli import Parser, run_tool
from video_gc.progress import say


def main() -> None:
    """Parse, write, say where."""
    parser = Parser(description=__doc__, epilog="example: python tools/report.py runs/demo")
    parser.add_argument("run", type=Path, help="a run directory, e.g. runs/demo")
    say(f"Open {write_report(parser.parse_args().run)} in a browser")


if __name__ == "__main__":
    run_tool(main)
