"""Clips and an index that tests of data share."""

from pathlib import Path

import pytest

from video_gc.data.index import VideoIndex
from video_gc.data.sampling import ClipConfig

CLIP = ClipConfig(
    frames=4, stride=2, crop=32, short_side=[32, 40], test_crop=32, test_short_side=32
)


@pytest.fixture
def index(clips_folder: Path) -> VideoIndex:
    """Twelve videos in the order of their paths, six of each of two classes."""
    paths = sorted(clips_folder.glob("*/*.mp4"))
    return VideoIndex.build(paths, [path.parent.name == "dark" for path in paths], ["b", "d"])
