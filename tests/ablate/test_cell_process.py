"""What each of several jobs on one machine may use."""

import os
from pathlib import Path

import pytest

from video_gc.ablate.cell_process import job_environment


def test_jobs_share_cores_and_gpus(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3,5")
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(12)))
    with job_environment(tmp_path, "basic", 1, 1, 1) as env:
        assert env == {}
    with (
        job_environment(tmp_path, "joblib", 9, 3, 1) as first,
        job_environment(tmp_path, "joblib", 9, 3, 1) as second,
        job_environment(tmp_path, "joblib", 9, 3, 1) as third,
    ):
        gpus = [env["CUDA_VISIBLE_DEVICES"] for env in (first, second, third)]
        assert gpus == ["3", "5", "3"]
        assert first["OMP_NUM_THREADS"] == "4"
    with job_environment(tmp_path, "joblib", 99, -1, 1) as env:
        assert env == {
            "CUDA_VISIBLE_DEVICES": "3",
            "OMP_NUM_THREADS": "1",
        }  # its slot is free again
    with job_environment(tmp_path, "joblib", 9, 2, 2) as env:
        assert env == {"OMP_NUM_THREADS": "3"}  # two processes take both GPUs
    for at_once in (-1, 8):  # the cores of jobs that are not there are not left idle
        with job_environment(tmp_path, "joblib", 2, at_once, 1) as env:
            assert env["OMP_NUM_THREADS"] == "6"
