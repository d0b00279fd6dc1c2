"""What the engine Ray says and watches; test_ray.py has a cluster."""

import signal
import time
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from video_gc.scale import ray_data
from video_gc.scale.ray_data import actors_that_fit, score_with_ray
from video_gc.scale.scoring import ScoreOptions, Work


@pytest.mark.skipif(find_spec("ray") is not None, reason="ray is installed")
def test_without_ray_the_install_line(tmp_path: Path) -> None:
    work = Work(checkpoint=tmp_path / "none.ckpt", options=ScoreOptions())
    with pytest.raises(ImportError, match=r'--engine ray needs ray; pip install "video_gc\[ray\]"'):
        score_with_ray(work, pa.chunked_array([["/a"]]), tmp_path)


@pytest.mark.parametrize("handler", [signal.default_int_handler, signal.SIG_IGN])
def test_a_job_without_a_sign_of_life_is_ended(
    handler: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = signal.signal(signal.SIGINT, handler)
    try:
        is_ended(tmp_path, monkeypatch)
        assert signal.getsignal(signal.SIGINT) == handler
    finally:
        signal.signal(signal.SIGINT, before)


def is_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ray_data, "STALLED", 1.0)
    began = time.monotonic()
    said = r"no actor gave a sign of life for 1 s.*rerun the command"
    with pytest.raises(TimeoutError, match=said), ray_data._watched(tmp_path):
        time.sleep(0.5)
        (tmp_path / "_ray").mkdir()
        (tmp_path / "_ray" / "host-1.alive").touch()  # it starts again
        (tmp_path / "lost.parquet").symlink_to("nowhere")  # a disk that fails for a while
        time.sleep(60)
    assert 1.5 <= time.monotonic() - began < 60
    with pytest.raises(KeyboardInterrupt), ray_data._watched(tmp_path):
        raise KeyboardInterrupt  # Ctrl-C stays what it is


@pytest.mark.parametrize(
    ("cpus", "gpus", "each", "fitting"),
    [
        ([4], None, 1, 2),
        ([4, 4, 4], None, 1, 10),
        ([4, 4, 4], None, 3, 3),  # the cores that are left over are Ray's
        ([4, 4, 4], None, 5, 0),
        ([8], [8], 1, 6),
        ([16, 16], [2, 0], 4, 2),
        ([1], None, 1, 0),
    ],
)
def test_an_actor_is_on_one_machine_and_two_cores_are_left(
    cpus: list[int], gpus: list[int] | None, each: int, fitting: int
) -> None:
    machines = [
        {"CPU": float(cpu), "GPU": float(gpu)}
        for cpu, gpu in zip(cpus, gpus or [0] * len(cpus), strict=True)
    ]
    assert actors_that_fit(machines, each, gpus=gpus is not None) == fitting
