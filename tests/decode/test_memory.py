"""Memory does not grow with the number of videos that were opened."""

import subprocess
import sys

import pytest

SCRIPT = """
import ctypes
import gc
import sys
from pathlib import Path
import numpy as np
from video_gc.decode.open import open_video
from video_gc.decode.reader import Box
from video_gc.decode.write import write_video

def in_use():
    gc.collect()
    ctypes.CDLL("libc.so.6").malloc_trim(0)  # else what the allocator keeps for later counts too: 5 MB more or less
    return next(int(l.split()[1]) for l in open("/proc/self/status") if l.startswith("RssAnon"))

path = np.random.default_rng(0).integers(0, 255, (120, 16, 20, 3), np.uint8)
path = write_video(Path(sys.argv[1]) / "v.mp4", path.repeat(16, 1).repeat(17, 2))
data = path.read_bytes()
for count in range(1, 2001):
    start = count * 7 % 60
    if count % 3:
        with open_video(path if count % 2 else data) as reader:
            reader.read(range(start, start + 57, 8), crop=Box(count % 90, 10, 200, 200), size=(224, 224))
    else:  # never closed
        open_video(path).read([start], size=(64, 64))
    if count == 200:
        early = in_use()
print(early, in_use())
"""


@pytest.mark.slow
def test_two_thousand_opens_take_the_memory_of_two_hundred(tmp_path_factory) -> None:
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, str(tmp_path_factory.mktemp("memory"))],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    early, late = map(int, done.stdout.split())
    assert late <= 1.03 * early, f"{early} kB after 200 opens, {late} kB after 2,000"
