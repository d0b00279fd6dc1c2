"""Mutated files of every kind: the frames of a sequential decode, or a DecodeError, and no more.

Time and memory are limited, and nothing else is opened. `make fuzz` runs many more.
"""

import os
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import av
import pytest
from PIL import Image

from tests.conftest import slow
from tests.decode.fuzz import attack
from tests.decode.test_hostile import watched
from tests.decode.videos import MAKERS, encode, moving_frames
from tests.forked import sent_by

pytestmark = watched
FIRST = int(os.environ.get("FUZZ_SEED", "0"))
SMALL = (48, 64)
QUICK = {"h264_fragmented.mp4", "h264.ts", "vp9.webm"}
"""of the containers that most videos come in; `others` has more"""
OTHERS: dict[str, Callable[[Path], object]] = {
    "tiny.gif": lambda p: encode(p, "gif", pix_fmt="rgb8", size=SMALL),
    "mjpeg.avi": lambda p: encode(p, "mjpeg", pix_fmt="yuvj420p", size=SMALL),
    "mpeg2.mxf": lambda p: encode(p, "mpeg2video", {"g": "12", "bf": "2"}, size=SMALL),
    "h264.m2ts": lambda p: encode(p, "libx264", {"g": "12"}, size=SMALL),
    "vp8.ivf": lambda p: encode(p, "libvpx", {"g": "12", "b": "300k"}, size=SMALL),
    "jpg": lambda p: pictures(p),
    "png": lambda p: pictures(p),
}


def pictures(folder: Path) -> None:
    """A folder of frames, of the kind that it is called."""
    folder.mkdir()
    for number, picture in enumerate(moving_frames(*SMALL, 5)):
        Image.fromarray(picture).save(folder / f"frame_{number:03d}.{folder.name}")


@pytest.fixture(scope="session")
def others(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder, made = tmp_path_factory.mktemp("others"), []
    for name, maker in OTHERS.items():
        try:
            maker(folder / name)
        except (av.codec.codec.UnknownCodecError, av.FFmpegError):
            continue
        made.append(folder / name)
    return made


def attacked(tmp_path: Path, kinds: list[Path], numbers: range) -> Counter[str]:
    """What came of mutants with these numbers of each kind, once the promise held for all."""
    found, broken = Counter[str](), []
    for name, number, what in sent_by(attack, tmp_path / "files", kinds, numbers, silence=300):
        if "\n" in what:
            broken.append(f"{number}_{name}: {what}")
        found["broken" if "\n" in what else what] += 1
    print(dict(found))
    assert not broken, "\n".join([f"{dict(found)}, in {tmp_path}/files:", *broken])
    assert found.total() == len(kinds) * len(numbers)
    return found


@pytest.mark.parametrize(
    "name",
    [name if name in QUICK else slow(name) for name in sorted(MAKERS)],
)
def test_a_few_mutants(tmp_path: Path, kind: Callable[[str], Path], name: str) -> None:
    attacked(tmp_path, [kind(name)], range(FIRST, FIRST + 3))


def test_a_few_mutants_of_others(tmp_path: Path, others: list[Path]) -> None:
    attacked(tmp_path, others, range(FIRST, FIRST + 3))


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(MAKERS))
def test_fuzz(tmp_path: Path, kind: Callable[[str], Path], name: str) -> None:
    found = attacked(tmp_path, [kind(name)], range(FIRST + 3, FIRST + 100))
    assert len(found) > 1


@pytest.mark.slow
def test_fuzz_of_others(tmp_path: Path, others: list[Path]) -> None:
    attacked(tmp_path, others, range(FIRST + 3, FIRST + 200))
