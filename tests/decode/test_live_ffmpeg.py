"""FFmpeg's own HTTP listener as a live source: it breaks off and comes back."""

import shutil
import socket
import subprocess
from importlib.util import find_spec
from itertools import pairwise
from typing import Any

import pytest

from video_gc.decode.live import Live
from video_gc.decode.reader import OpenError


def ffmpeg() -> str | None:
    """FFmpeg's program: the system's, or that of the package imageio-ffmpeg."""
    if find_spec("imageio_ffmpeg"):
        from imageio_ffmpeg import get_ffmpeg_exe

        return str(get_ffmpeg_exe())
    return shutil.which("ffmpeg")


@pytest.mark.slow
@pytest.mark.skipif(not ffmpeg(), reason="there is no ffmpeg; pip install imageio-ffmpeg")
def test_ffmpeg_serves_is_killed_and_serves_again() -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        address = f"http://127.0.0.1:{free.getsockname()[1]}/live"
    command = (
        f"{ffmpeg()} -v error -re -f lavfi -i testsrc=size=64x48:rate=30 -c:v libx264 -g 10 "
        f"-preset ultrafast -pix_fmt yuv420p -f mpegts -listen 1 {address}"
    ).split()
    running = [subprocess.Popen(command)]
    source, found = Live(address), list[Any]()
    try:
        while not found and running[0].poll() is None:
            try:
                for frame in source:
                    found.append(frame)
                    if len(found) == 40:
                        running[0].kill()
                        running[0].wait()
                        running.append(subprocess.Popen(command))
                    if len(found) == 120:
                        source.close()
            except OpenError:  # it does not listen yet
                assert not found
    finally:
        for process in running:
            process.kill()
            process.wait()
    assert len(found) == 120
    assert source.reopened >= 1
    assert [frame.gap for frame in found].count(True) == 1
    assert all(one.seconds <= two.seconds for one, two in pairwise(found))
