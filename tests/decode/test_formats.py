"""The list of formats leaves no usual one out, and has none that opens other things."""

from pathlib import Path

import av
import pytest
from av.format import ContainerFormat

from tests.conftest import slow
from tests.decode.videos import encode
from video_gc.decode.ffmpeg.container import ALLOWED, has_signature
from video_gc.decode.open import open_video
from video_gc.decode.reader import OpenError

LISTING = frozenset(
    [
        "concat",
        "hls",
        "dash",
        "imf",
        "sdp",
        "rtsp",
        "rtp",
        "sap",
        "image2",
        "mlv",
        "vobsub",
        "webm_dash_manifest",
        "avisynth",
        "vapoursynth",
        "lavfi",
        "v4l2",
        "alsa",
        "fbdev",
        "svg_pipe",
        "tty",
        "ffmetadata",
    ]
)
MADE = {  # codec: suffixes, of which the quick suite takes the first
    "mpeg4": "mp4 mov m4v 3gp 3g2 ismv mkv avi ts mts m2ts asf nut",
    "mpeg2video": "mpg mpeg vob mxf m2v wtv",
    "mjpeg": "mjpeg mjpg",
    "wmv2": "wmv",
    "flv": "flv swf",
    "libvpx": "webm ivf ogv ogg",
    "gif": "gif",
    "apng": "apng",
    "libx264": "h264 f4v",
    "libx265": "hevc",
    "wrapped_avframe": "y4m",
}
CODEC = {"gif": "rgb8", "apng": "rgb24", "mjpeg": "yuvj420p"}
OPTIONS = {
    "libx265": {"x265-params": "log-level=none:pools=1:frame-threads=1"},
    "libx264": {"preset": "ultrafast"},
}


@pytest.mark.parametrize("name", ALLOWED.split(","))
def test_names_are_those_of_ffmpeg(name: str) -> None:
    found = ContainerFormat(name, "r")
    assert not LISTING & set(found.name.split(","))


@pytest.mark.parametrize(
    ("codec", "suffix"),
    [
        (codec, suffix) if not at else slow(codec, suffix)
        for codec, suffixes in MADE.items()
        for at, suffix in enumerate(suffixes.split())
    ],
)
def test_usual_files_are_opened_as_path_bytes_and_file(
    tmp_path: Path, codec: str, suffix: str
) -> None:
    path = tmp_path / f"a.{suffix}"
    size = (96, 128)
    try:
        encode(path, codec, OPTIONS.get(codec), pix_fmt=CODEC.get(codec, "yuv420p"), size=size)
    except (av.FFmpegError, ValueError) as error:
        pytest.skip(f"PyAV cannot write it here: {error}")
    counts = []
    with path.open("rb") as file:
        for source in (path, path.read_bytes(), file):
            with open_video(source, damage="report") as reader:
                counts.append(len(reader))
                assert reader.size == size
    assert counts[0] > 60
    assert len(set(counts)) == 1


def test_a_playlist_is_never_certain(tmp_path: Path) -> None:
    text = b"#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=9\nhttp://127.0.0.1/a\n" + bytes(9)
    assert not any(has_signature(name, text) for name in ALLOWED.split(","))
    assert has_signature("mov,mp4,m4a,3gp,3g2,mj2", b"\0\0\0\x20ftypisom")
    assert not has_signature("mov,mp4,m4a,3gp,3g2,mj2", b"<MPDftypisom")  # text up to the next zero
    path = tmp_path / "words.mp4"
    path.write_bytes(text)
    with pytest.raises(OpenError, match="cannot be read as a video"):
        open_video(path)
