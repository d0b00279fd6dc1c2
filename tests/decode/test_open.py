"""One door: which decoder is taken, and what is said about options that cannot be."""

import subprocess
import sys
import warnings
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import pytest

from video_gc.decode import open as door
from video_gc.decode import torchcodec
from video_gc.decode.known_faults import WRONG, Kind, kind_of, known_wrong
from video_gc.decode.open import open_video
from video_gc.decode.reader import MAX_PIXELS, NoVideoError, OpenError

needs_decord = pytest.mark.skipif(not find_spec("decord"), reason="decord is not installed")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"decoder": "opencv"}, r"decoder \('opencv'\) must be one of auto, pyav, decord"),
        ({"device": "tpu"}, r"device \('tpu'\) must be one of cpu, cuda"),
        ({"damage": "hide"}, r"damage \('hide'\) must be one of raise, report"),
        ({"decoder": "decord", "device": "cuda"}, "cpu"),
    ],
)
def test_options_are_checked(video: Path, options: dict[str, str], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        open_video(video, **options)  # type: ignore[arg-type]


def test_a_missing_file_and_a_folder(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"none.mp4: no such file"):
        open_video(tmp_path / "none.mp4")
    with pytest.raises(ValueError, match=r"decoder \('pyav'\) must be auto or frames"):
        open_video(tmp_path, "pyav")


def test_auto_is_pyav_on_the_cpu(video: Path) -> None:
    with open_video(video) as reader:
        assert reader.decoder == "pyav"
        assert not reader.fell_back  # type: ignore[attr-defined]


@pytest.mark.skipif(not find_spec("torchcodec"), reason="torchcodec is not installed")
def test_without_cuda_one_line_says_so(video: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import torch

    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torchcodec, "check_installed", lambda: None)
    for decoder in ("auto", "torchcodec"):
        with pytest.raises(ValueError, match=r"^device \(cuda\): there is no CUDA device here; "):
            open_video(video, decoder, "cuda")


def test_auto_falls_back_to_the_cpu_for_files_that_are_known(
    kind: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torchcodec, "check_cuda", lambda: None)
    assert door._choose(kind("h264_closed.mp4"), "cuda", MAX_PIXELS) == "torchcodec"
    with open_video(kind("mpeg4_b.avi"), device="cuda") as reader:
        assert reader.decoder == "pyav"
        assert reader.fell_back  # type: ignore[attr-defined]


@needs_decord
def test_asking_for_a_decoder_that_is_wrong_warns_once_per_kind(
    kind: Callable[[str], Path],
) -> None:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("default")
        for name in ("hevc.mp4", "hevc.mp4", "wmv2.wmv", "h264_closed.mp4"):
            open_video(kind(name), "decord").close()
    assert [str(warning.message).split(";")[0] for warning in caught] == [
        "decord is known to give wrong frames, or none, of HEVC",
        "decord is known to give wrong frames, or none, of ASF (WMV)",
    ]
    assert caught[0].filename == __file__


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("h264_closed.mp4", ("h264", True, False, False, False)),
        ("h264_no_b.avi", ("h264", False, False, False, False)),
        ("h264_open.mp4", ("h264", True, True, False, False)),
        ("h264_intra_refresh.mp4", ("h264", False, False, True, False)),
        ("h264_edit_list.mp4", ("h264", True, False, False, True)),
        ("av1.mp4", ("av1", False, False, False, False)),
    ],
)
def test_kinds_are_told_apart(
    kind: Callable[[str], Path], name: str, expected: tuple[object, ...]
) -> None:
    path = kind(name)
    found = kind_of(path)
    assert found is not None
    told = found.reorders, found.open_gop, found.intra_refresh, found.edit_list
    assert (found.codec, *told) == expected
    with path.open("rb") as file:
        file.seek(11)
        assert kind_of(path.read_bytes()) == kind_of(file) == found
        assert file.tell() == 11


def test_what_is_no_video_has_no_kind(damaged: dict[str, Path]) -> None:
    for path in damaged.values():
        assert kind_of(path) is None
    assert known_wrong("decord", None) is None
    assert known_wrong("pyav", Kind("avi", "h264", True, True, True, True)) is None
    assert "pyav" not in WRONG


@needs_decord
def test_decord_names_what_is_wrong_with_a_file(damaged: dict[str, Path]) -> None:
    for name in ("zero-byte", "truncated", "text"):
        with pytest.raises(
            OpenError,
            match=rf"{name}.mp4: (cannot be read as a video|the file is empty) .*\[decord\]",
        ):
            open_video(damaged[name], "decord")
    with pytest.raises(NoVideoError, match="no video in the file"):
        open_video(damaged["audio-only"], "decord")


def test_other_libraries_are_imported_only_when_they_are_asked_for(video: Path) -> None:
    program = (
        "import sys; from video_gc.decode.open import open_video; "
        f"open_video({str(video)!r}).read([0]); "
        "import video_gc.decode.torchcodec, video_gc.decode.decord; "
        "print(sorted({'torch', 'torchcodec', 'decord'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.stdout == "[]\n", done.stderr


def test_without_decord_the_error_says_how_to_get_it(
    video: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("video_gc.extras.find_spec", lambda name: None)
    with pytest.raises(ImportError, match=r'pip install "video_gc\[decord\]"'):
        open_video(video, "decord")
