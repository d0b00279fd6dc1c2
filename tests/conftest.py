"""Small videos and runs that tests share; nothing here needs a network or ../shared."""

import os
import shutil

# One thread a process: the suite runs on all cores by itself, and a forked training would wait for
# ever for OpenMP threads that its parent has and it has not.
os.environ["OMP_NUM_THREADS"] = "1"

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import settings

from video_gc.decode.write import write_video

SHARED = Path(__file__).parents[2] / "shared" / "data"

torch.set_num_threads(1)  # the suite runs in two processes
settings.register_profile("quick", deadline=None, max_examples=20)  # a busy machine is no failure
settings.register_profile("slow", deadline=None)


def pytest_configure(config: pytest.Config) -> None:
    """More examples of each property in `make test-slow`."""
    settings.load_profile("slow" if config.option.markexpr == "slow" else "quick")


def slow(*values: object, id: str | None = None) -> Any:
    """Parameters of a case that only `make test-slow` runs."""
    return pytest.param(*values, marks=pytest.mark.slow, id=id)


def counted_frames(count: int, height: int = 48, width: int = 64, seed: int = 0) -> np.ndarray:
    """Frames that differ from each other: a bright bar that moves, over a fixed texture."""
    random = np.random.default_rng(seed)
    frames = np.tile(random.integers(40, 90, (1, height, width, 3), np.uint8), (count, 1, 1, 1))
    for index in range(count):
        left = (index * 3) % (width - 6)
        frames[index, :, left : left + 6] = (250, 20 + (5 * index) % 200, 60)
    return frames


@pytest.fixture(scope="session")
def video(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A sound video of 40 frames, 48×64 pixels, with B-frames and one key frame."""
    return write_video(tmp_path_factory.mktemp("video") / "sound.mp4", counted_frames(40))


@pytest.fixture(scope="session")
def damaged(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Files that are no readable video, by what is wrong with them."""
    import av

    folder = tmp_path_factory.mktemp("damaged")
    whole = write_video(folder / "whole.mp4", counted_frames(40)).read_bytes()
    files = {
        "zero-byte": b"",
        "truncated": whole[: len(whole) // 2],
        "text": b"path label\nthis is no video\n" * 40,
    }
    paths = {}
    for name, content in files.items():
        paths[name] = folder / f"{name}.mp4"
        paths[name].write_bytes(content)
    paths["audio-only"] = folder / "audio-only.mp4"
    with av.open(paths["audio-only"], "w") as container:
        stream = container.add_stream("aac", rate=16000, layout="mono")
        sound = av.AudioFrame.from_ndarray(
            np.zeros((1, 16000), np.float32), format="fltp", layout="mono"
        )
        sound.sample_rate = 16000
        container.mux(stream.encode(sound))
        container.mux(stream.encode(None))
    return paths


@pytest.fixture(scope="session")
def clips_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two classes of six videos each, told apart by their brightness."""
    root = tmp_path_factory.mktemp("clips")
    for label, brightness in (("bright", 1.0), ("dark", 0.3)):
        (root / label).mkdir()
        for number in range(6):
            frames = (counted_frames(20, seed=number) * brightness).astype(np.uint8)
            write_video(root / label / f"{number}.mp4", frames)
    return root


@pytest.fixture(scope="session")
def seven_each(tmp_path_factory: pytest.TempPathFactory, clips_folder: Path) -> Path:
    """The clips of `clips_folder` and one more of each class: ten train, two validate, two test."""
    root = shutil.copytree(clips_folder, tmp_path_factory.mktemp("seven") / "clips")
    for label in ("bright", "dark"):
        shutil.copy(root / label / "0.mp4", root / label / "6.mp4")
    return root


SMALL = [
    "data=folder", "epochs=2", "batch_size=4", "precision=fp32", "data.workers=0",
    "accelerator=cpu", "clip.frames=4", "clip.stride=2", "clip.crop=32",
    "clip.short_side=[32,40]", "clip.test_crop=32", "clip.test_short_side=32",
    "test.clips=2", "test.crops=3", "optim.warmup_epochs=0", "recipe=demo", "context=gc",
]  # fmt: skip
"""Options of a training that takes a second or two."""


@pytest.fixture(scope="session")
def run(tmp_path_factory: pytest.TempPathFactory, clips_folder: Path) -> Path:
    """The directory of a small finished run on `clips_folder`."""
    from video_gc.config import compose_train
    from video_gc.train.loop import train

    runs = tmp_path_factory.mktemp("runs")
    return train(compose_train([*SMALL, f"data.root={clips_folder}", f"runs={runs}", "name=small"]))


@pytest.fixture(scope="session")
def checkpoint(run: Path) -> Path:
    """The best checkpoint of the small run."""
    return run / "checkpoints" / "best.ckpt"


@pytest.fixture(scope="session")
def bag_run(tmp_path_factory: pytest.TempPathFactory, clips_folder: Path) -> Path:
    """The directory of a run of a network that is quickly exported."""
    from video_gc.config import compose_train
    from video_gc.train.loop import train

    options = ["model=bag_small", "model.depth=11", "context=gc", "model.context.after=[res3.*]"]
    where = [f"data.root={clips_folder}", f"runs={tmp_path_factory.mktemp('runs')}", "name=bag"]
    return train(compose_train([*SMALL, *options, *where]))


@pytest.fixture(scope="session")
def exported(bag_run: Path) -> Path:
    """RUN/export/model.onnx of that run, for any number of clips."""
    pytest.importorskip("onnxruntime")
    pytest.importorskip("onnxscript")
    from video_gc.analysis.export import export_checkpoint
    from video_gc.deploy.export import ExportOptions

    return export_checkpoint(bag_run, ExportOptions(dynamic=True), count=6).files[0]


def randomise(module: torch.nn.Module, seed: int = 0) -> torch.nn.Module:
    """Draw every parameter and buffer, so that no zero hides a wrong formula."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.copy_(0.3 * torch.randn(parameter.shape, generator=generator))
        for name, buffer in module.named_buffers():
            if name.endswith("running_mean"):
                buffer.copy_(0.3 * torch.randn(buffer.shape, generator=generator))
            elif name.endswith("running_var"):
                buffer.copy_(0.5 + torch.rand(buffer.shape, generator=generator))
    return module
