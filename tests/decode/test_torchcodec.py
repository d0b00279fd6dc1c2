"""torchcodec behind the interface. It runs in processes that find FFmpeg's libraries."""

import os
import subprocess
import sys
import textwrap
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from video_gc.decode import ffmpeg_env, torchcodec
from video_gc.decode.open import open_video
from video_gc.decode.reader import OpenOptions

ROOT = Path(__file__).parents[2]
HEAD = """
import sys
import numpy as np
import pytest
from video_gc.decode.open import open_video
from video_gc.decode.reader import *
path = sys.argv[1]
"""
needs_torchcodec = pytest.mark.skipif(
    not find_spec("torchcodec"), reason="torchcodec is not installed"
)

try:
    LIBRARIES = ffmpeg_env.bundled_libraries()
except FileNotFoundError:
    LIBRARIES = None
needs_libraries = pytest.mark.skipif(LIBRARIES is None, reason="PyAV brings no libraries here")


def run(program: str, *arguments: object) -> str:
    """Run a program that asserts; what it prints."""
    environment = dict(os.environ)
    if LIBRARIES is not None:
        environment["LD_LIBRARY_PATH"] = ffmpeg_env.library_path()
    done = subprocess.run(
        [sys.executable, "-c", HEAD + textwrap.dedent(program), *map(str, arguments)],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.slow
@needs_torchcodec
def test_crop_and_scale_equal_those_of_pyav(kind: Callable[[str], Path]) -> None:
    run(
        """
        box = Box(10, 20, 64, 48)
        with open_video(path) as one, open_video(path, "torchcodec") as other:
            assert (len(one), one.size, one.codec) == (len(other), other.size, other.codec)
            assert abs(one.rate - other.rate) < 1e-6
            np.testing.assert_allclose(one.times, other.times, atol=1e-6)
            assert not other.fell_back
            indices = [40, 3, 3, 17]
            for crop in (None, box):
                for size in (None, (30, 40)):
                    found = other.read(indices, crop=crop, size=size)
                    expected = one.read(indices, crop=crop, size=size).astype(int)
                    assert found.shape == expected.shape
                    assert np.abs(found - expected).mean() < 1.5  # scaled in RGB, not in YUV
                    (tensor,) = other.read_tensors([Request(indices, crop, size)])
                    assert np.abs(tensor.numpy() - expected).mean() < 2.5
            assert other.read([5], form="yuv").shape == one.read([5], form="yuv").shape
            shapes = [t.shape for t in other.read_tensors([Request([]), Request([1], box)])]
            assert shapes[1] == (1, 48, 64, 3) and shapes[0][0] == 0
            streamed = [index for index, _ in other.frames(range(len(other)))]
            assert streamed == list(range(len(other)))
            with pytest.raises(IndexError, match="no frame 66; frames are 0…65"):
                other.read([66])
        """,
        kind("h264_closed.mp4"),
    )


@pytest.mark.slow
@needs_torchcodec
def test_errors_are_ours(
    kind: Callable[[str], Path], damaged: dict[str, Path], tmp_path: Path
) -> None:
    content = bytearray(kind("h264_closed.mp4").read_bytes())
    third = len(content) // 3
    content[third : 2 * third] = bytes(third)
    hit = tmp_path / "hit.mp4"
    hit.write_bytes(content)
    run(
        """
        for name, why in (("text", "cannot be"), ("zero-byte", "the file"), ("truncated", "cannot")):
            with pytest.raises(OpenError, match=name + f".mp4: {why} .*\\[torchcodec\\]"):
                open_video(f"{path}/{name}.mp4", "torchcodec")
        with pytest.raises(NoVideoError, match="no video in the file"):
            open_video(f"{path}/audio-only.mp4", "torchcodec")
        with open_video(sys.argv[2], "torchcodec") as reader:
            with pytest.raises(CorruptError, match="hit.mp4: cannot decode frames"):
                reader.read(range(len(reader)))
        with open_video(sys.argv[2], "torchcodec", damage="report") as reader:
            frames = reader.read(range(len(reader)))
            assert len(frames) == len(reader)
            assert 0 < len(reader.damaged) < len(reader)
            assert set(reader.damaged.values()) == {"missing"}
        """,
        damaged["text"].parent,
        hit,
    )


@pytest.mark.slow  # test_hostile.py has the same of pyav
@needs_torchcodec
def test_a_source_that_blocks_ends_at_the_limit(kind: Callable[[str], Path]) -> None:
    run(
        """
        import io, os, threading
        go_on = threading.Event()

        class Blocked(io.BytesIO):
            def read(self, count=-1):
                go_on.wait()
                return super().read(count)

        from video_gc.decode.torchcodec import TorchcodecReader
        with pytest.raises(StuckError, match="no frame within 0.5 s"):
            TorchcodecReader(Blocked(open(path, "rb").read()), OpenOptions(time_limit=0.5))
        os._exit(0)  # the lost thread waits for ever
        """,
        kind("h264_closed.mp4"),
    )


@pytest.mark.parametrize(("device", "expected"), [("cuda", [0, "cuda"]), ("cpu", ["cpu"])])
def test_no_hardware_decoder_is_kept_for_the_next_file(
    device: str, expected: list[object], video: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[object] = []

    class Decoder:
        metadata = SimpleNamespace(
            average_fps=30, height=48, width=64, codec="h264", pixel_format="yuv420p"
        )
        cpu_fallback = False

        def __init__(self, source: object, *, device: str, **_: object) -> None:
            calls.append(device)

        def __len__(self) -> int:
            return 40

    fake: Any = ModuleType("torchcodec.decoders")
    fake.VideoDecoder, fake.set_nvdec_cache_capacity = Decoder, calls.append
    monkeypatch.setitem(sys.modules, "torchcodec", ModuleType("torchcodec"))
    monkeypatch.setitem(sys.modules, "torchcodec.decoders", fake)
    monkeypatch.setattr(torchcodec, "_on_this_stream", lambda call: call)
    torchcodec.TorchcodecReader(video, OpenOptions(device=device)).close()
    assert calls == expected


@pytest.mark.gpu
@needs_torchcodec
def test_frames_stay_on_the_device(kind: Callable[[str], Path]) -> None:
    import torch

    if not torch.cuda.is_available():
        pytest.skip("there is no CUDA device here")
    run(
        """
        import torch
        request = Request([9, 2, 2], Box(10, 20, 64, 48), (30, 40))
        with open_video(path) as one, open_video(path, "torchcodec", "cuda") as other:
            (clip,) = other.read_tensors([request])
            assert clip.is_cuda and clip.dtype == torch.uint8 and clip.shape == (3, 30, 40, 3)
            expected = one.read_clips([request])[0].astype(int)
            assert np.abs(clip.cpu().numpy() - expected).mean() < 4
            np.testing.assert_array_equal(other.read_clips([request])[0], clip.cpu().numpy())
        """,
        kind("h264_closed.mp4"),
    )


@needs_libraries
def test_the_printed_line_points_to_libraries(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache of me"))
    monkeypatch.setenv("LD_LIBRARY_PATH", "/opt/own")
    ffmpeg_env.main()
    ffmpeg_env.main()  # again, over what is there
    line = capsys.readouterr().out.splitlines()[0]
    shell = subprocess.run(
        ["sh", "-c", f'{line}; printf %s "$LD_LIBRARY_PATH"'], capture_output=True, text=True
    )
    links, libraries, own = shell.stdout.split(":")
    assert (Path(libraries), own) == (LIBRARIES, "/opt/own")
    names = {link.name.split(".so.")[0] for link in Path(links).iterdir()}
    assert {"libavcodec", "libavformat", "libavutil", "libswscale", "libavfilter"} <= names
    assert all(link.resolve().is_file() for link in Path(links).iterdir())


def test_without_torchcodec_the_error_says_how_to_get_it(
    video: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("video_gc.extras.find_spec", lambda name: None)
    with pytest.raises(ImportError, match=r'pip install "video_gc\[torchcodec\]"'):
        open_video(video, "torchcodec")


def test_a_missing_library_of_cuda_is_not_blamed_on_ffmpeg(
    video: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    why = "Could not load libtorchcodec. Likely causes:\n1. FFmpeg\n{}: cannot open the file"

    def opening(text: str) -> str:
        def fail(*_: object, **__: object) -> None:
            raise RuntimeError(text)

        monkeypatch.setattr(torchcodec.TorchcodecReader, "_open", fail)
        with pytest.raises(ImportError) as raised:
            torchcodec.TorchcodecReader(video, OpenOptions())
        return str(raised.value)

    assert "cannot load FFmpeg" in opening(why.format("libavutil.so.60"))
    for library in ("libcudart.so.13", "libnvrtc.so.13"):
        said = opening(why.format(library))
        assert f"cannot load {library}, which comes with torch for CUDA 13" in said
        assert "FFmpeg" not in said


@pytest.mark.slow
@needs_torchcodec
def test_without_ffmpeg_the_error_names_the_command(video: Path) -> None:
    program = (
        "from video_gc.decode.open import open_video\n"
        f"try: open_video({str(video)!r}, 'torchcodec')\n"
        "except ImportError as error: print(error)\n"
        "else: print('loaded')"
    )
    environment = {key: value for key, value in os.environ.items() if key != "LD_LIBRARY_PATH"}
    done = subprocess.run(
        [sys.executable, "-c", program], env=environment, capture_output=True, text=True, cwd=ROOT
    )
    if done.stdout == "loaded\n":
        pytest.skip("this system has an FFmpeg of its own")
    assert done.stdout.count("\n") == 1, done.stderr
    assert 'eval "$(python -m video_gc.decode.ffmpeg_env)"' in done.stdout
