"""Every installed decoder on every kind of file, frame by frame against a sequential decode.

pyav is exact on all. Of the others, frames are right wherever known_faults.py says nothing against the
decoder, and asking for it warns wherever it does. `python -m tests.decode.table` writes the
outcomes to docs/decoders.md.
"""

from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import pytest

from tests.conftest import slow
from tests.decode.conform import FILES, STRETCHED, Outcome, outcome, outcomes
from tests.decode.videos import MAKERS, kinds, make
from video_gc.decode.known_faults import WRONG

TOLERANCE = 1.0
"""Grey levels, mean of a frame: decoders convert 10-bit and interlaced colours in their own way."""
TOLERANCE_CUDA = 3.0
"""NVDEC's pictures are exact; its conversion to RGB rounds in its own way."""
GUESSED = ("avi", "mpg")  # containers whose time stamps FFmpeg makes up

Kind = Callable[[str], Path]
needs_decord = pytest.mark.skipif(not find_spec("decord"), reason="decord is not installed")
needs_torchcodec = pytest.mark.skipif(
    not find_spec("torchcodec"), reason="torchcodec is not installed"
)
real = pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
QUICK = {"h264_closed.mp4", "h264_uneven.mp4", "h264_rotated.mp4", "mpeg4.avi", "vp9.webm"}
"""files that decord reads right"""
QUICK_REAL = {"flv1.flv", "mpeg2.mpg", "vfr.mp4"}


def check(path: Path, found: Outcome) -> None:
    """What a decoder other than pyav must fulfil."""
    assert found.warned == bool(found.known)
    if not found.known:
        assert found.right, found
        assert found.sources
        if path.suffix[1:] not in GUESSED:
            assert found.late < 1e-3


def check_exact(path: Path) -> None:
    found = outcome(path, "pyav")
    assert not found.known
    assert found.right, found
    assert found.largest <= (STRETCHED if found.stretched else 0)
    assert found.sources
    if path.suffix[1:] not in GUESSED:
        assert found.late < 1e-3


@pytest.mark.parametrize("name", kinds())
def test_pyav_is_exact(kind: Kind, name: str) -> None:
    check_exact(kind(name))


@pytest.mark.parametrize(
    "path",
    [p if p.name in QUICK_REAL else slow(p) for p in FILES],
    ids=lambda path: path.name,
)
def test_pyav_is_exact_on_real_files(path: Path) -> None:
    check_exact(path)


@needs_decord
@pytest.mark.parametrize(
    "name",
    [name if name in QUICK else slow(name) for name in MAKERS],
)
def test_decord(kind: Kind, name: str) -> None:
    check(kind(name), outcome(kind(name), "decord", tolerance=TOLERANCE))


@pytest.mark.slow
@needs_decord
@real
def test_decord_on_real_files(path: Path) -> None:
    check(path, outcome(path, "decord", tolerance=TOLERANCE))


@pytest.mark.slow
@needs_torchcodec
def test_torchcodec(tmp_path: Path) -> None:
    paths = [path for name in MAKERS if (path := make(tmp_path, name))]
    found = outcomes(paths, "torchcodec", tolerance=TOLERANCE)
    assert len(found) == len(paths) > 15
    for path in paths:
        check(path, found[str(path)])


@pytest.mark.slow
@needs_torchcodec
def test_torchcodec_on_real_files() -> None:
    for path, found in outcomes(FILES, "torchcodec", tolerance=TOLERANCE).items():
        check(Path(path), found)


@pytest.mark.gpu
@needs_torchcodec
def test_decoding_on_cuda(tmp_path: Path) -> None:
    import torch

    if not torch.cuda.is_available():
        pytest.skip("there is no CUDA device here")
    paths = [path for name in MAKERS if (path := make(tmp_path, name))] + FILES
    for path, found in outcomes(paths, "torchcodec", "cuda", TOLERANCE_CUDA).items():
        check(Path(path), found)
    for path, found in outcomes(paths, "auto", "cuda", TOLERANCE_CUDA).items():
        assert found.right, path


@needs_decord
@pytest.mark.parametrize(
    "name",
    [
        "h264_open.mp4", "mpeg4_b.avi", "h264.ts",
        *(
            slow(name)
            for name in (
                "hevc.mp4", "h264_intra_refresh.mp4", "h264_edit_list.mp4", "h264_no_b.avi",
                "mpeg4_b.mp4", "mpeg2.mpg", "wmv2.wmv",
            )
        ),
    ],
)  # fmt: skip
def test_what_is_known_to_be_wrong_is_wrong(kind: Kind, name: str) -> None:
    found = outcome(kind(name), "decord", tolerance=TOLERANCE)
    assert found.known
    assert not found.right


def test_everything_that_is_known_stands_in_the_docs() -> None:
    page = (Path(__file__).parents[2] / "docs" / "decoders.md").read_text()
    for decoder, rules in WRONG.items():
        for reason in rules:
            assert f"| {decoder} | {reason} |" in page
