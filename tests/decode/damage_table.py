"""The table of docs/decoders.md on damage: `python -m tests.decode.damage_table`. Takes minutes."""

import sys
import tempfile
from pathlib import Path

import av

from tests.decode.mutate import Found, cut, flip, measure, read_all, swap, zero
from tests.decode.videos import encode, x264

SEEDS = range(6)
MUTATIONS = {"20 bytes": flip, "zeroed": zero, "swapped": swap, "cut": cut}
WHOLE = {".mp4", ".mov", ".gif", ".wmv"}
"""containers out of which no packet can be cut with the index kept"""
G12 = {"g": "12", "b": "1M"}
X265 = "keyint=15:bframes=3:log-level=error:pools=1"
CODECS: dict[str, tuple[str, dict[str, str], str]] = {
    "h264": ("libx264", x264(keyint=15, bframes=2), "yuv420p"),
    "hevc": ("libx265", {"x265-params": X265, "crf": "22"}, "yuv420p"),
    "hevc_hashes": ("libx265", {"x265-params": f"{X265}:hash=1", "crf": "22"}, "yuv420p"),
    "mpeg4_b": ("mpeg4", {"bf": "2", "g": "12", "q": "3"}, "yuv420p"),
    "mpeg4": ("mpeg4", {"g": "12", "q": "3"}, "yuv420p"),
    "mpeg2": ("mpeg2video", {"bf": "2", **G12}, "yuv420p"),
    "wmv2": ("wmv2", G12, "yuv420p"),
    "msmpeg4": ("msmpeg4", G12, "yuv420p"),
    "flv1": ("flv", G12, "yuv420p"),
    "vp8": ("libvpx", {"g": "20", "crf": "10", "b": "1M"}, "yuv420p"),
    "vp9": ("libvpx-vp9", {"g": "20", "crf": "30", "cpu-used": "8"}, "yuv420p"),
    "av1": ("libsvtav1", {"preset": "12", "crf": "35", "svtav1-params": "keyint=20:lp=1"},
            "yuv420p"),
    "mjpeg": ("mjpeg", {"q": "3"}, "yuvj420p"),
    "ffv1": ("ffv1", {"level": "3"}, "yuv420p"),
    "ffv1_level_1": ("ffv1", {"level": "1"}, "yuv420p"),
    "huffyuv": ("huffyuv", {}, "yuv422p"),
    "png": ("png", {}, "rgb24"),
    "gif": ("gif", {}, "rgb8"),
}  # fmt: skip
FILES = [
    "h264.mp4",
    "h264.mkv",
    "h264.avi",
    "h264.ts",
    "h264.m2ts",
    "h264.mpg",
    "h264.flv",
    "hevc.mp4",
    "hevc_hashes.mp4",
    "hevc.mkv",
    "hevc.ts",
    "mpeg4_b.mp4",
    "mpeg4_b.avi",
    "mpeg4.avi",
    "mpeg4_b.mkv",
    "mpeg2.mpg",
    "mpeg2.ts",
    "wmv2.wmv",
    "msmpeg4.avi",
    "flv1.flv",
    "vp8.webm",
    "vp9.webm",
    "vp9.mkv",
    "av1.mp4",
    "av1.mkv",
    "mjpeg.avi",
    "mjpeg.mov",
    "ffv1.mkv",
    "ffv1.avi",
    "ffv1_level_1.avi",
    "huffyuv.avi",
    "png.mov",
    "gif.gif",
]


def sample(folder: Path, name: str) -> Path:
    """The file of that name, encoded."""
    path = folder / name
    if not path.exists():
        codec, options, form = CODECS[path.stem]
        container = {"mpegts_m2ts_mode": "1"} if path.suffix == ".m2ts" else None
        encode(path, codec, dict(options), pix_fmt=form, container=container)
    return path


def table(names: list[str]) -> str:
    """A line for each file: shares of wrong and of displaced frames that are reported."""
    kinds = " | ".join(f"{kind}: wrong, displaced" for kind in MUTATIONS)
    lines = [
        f"| file | {kinds} | alarms on the clean file |",
        f"|---|{'---|' * len(MUTATIONS)}---|",
    ]
    with tempfile.TemporaryDirectory() as folder:
        for name in names:
            try:
                path = sample(Path(folder), name)
            except (av.FFmpegError, ValueError):  # PyAV has no encoder for it
                continue
            cells = [
                ""
                if mutate is cut and path.suffix in WHOLE
                else _cell(measure(path, mutate, SEEDS))
                for mutate in MUTATIONS.values()
            ]
            alarms = len(read_all(path.read_bytes())[1])
            lines.append(f"| {name} | {' | '.join(cells)} | {alarms} |")
            print(lines[-1], file=sys.stderr, flush=True)
    return "\n".join(lines) + "\n"


def _cell(found: Found) -> str:
    def share(part: int, whole: int) -> str:
        return f"{part / whole:.0%} of {whole}" if whole else "–"

    return (
        f"{share(found.reported, found.wrong)}, {share(found.displaced_reported, found.displaced)}"
    )


if __name__ == "__main__":
    print(table(sys.argv[1:] or FILES))
