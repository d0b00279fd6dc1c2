"""Runs as a training and a test leave them, made up: no network is trained."""

import csv
import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import numpy as np
import yaml
from tensorboard.compat.proto.event_pb2 import Event
from tensorboard.summary.writer.record_writer import RecordWriter

from tests.analysis.compare.writing import write_test
from video_gc.data.sampling import ClipConfig
from video_gc.models.build import ModelConfig
from video_gc.models.context import ContextConfig
from video_gc.train.options import TrainConfig

CLASSES = ["jump", "other", "run", "wrong"]


def make_run(
    home: Path,
    right: Sequence[bool] | np.ndarray | None,
    *,
    kind: str = "none",
    seed: int = 0,
    reduction: int | None = None,
    lr: float = 0.01,
    epochs: int = 10,
    finished: bool = True,
    labels: Sequence[str] | None = None,
    **about: object,
) -> Path:
    """A run directory. right: whether each test video was recognised; None: it was not tested."""
    if right is not None:
        share = float(np.mean(right))
        level = {"top1": share, "top5": 1.0, "mean_class": share, "count": len(right)}
        clips = level | {"top1": share / 2, "count": 2 * len(right)}
        kept = {"video_level": level, "clip_level": clips, "fingerprint": "sizes:aaaabbbbcccc"}
        write_test(home, right, labels=labels, **(kept | about))
        with (home / "test" / "classes.csv").open("w", newline="") as stream:
            csv.writer(stream).writerows([["class"], *([name] for name in CLASSES)])
    home.mkdir(parents=True, exist_ok=True)
    options = {} if reduction is None else {"reduction": reduction}
    config = TrainConfig(
        name=home.name,
        seed=seed,
        epochs=epochs,
        model=ModelConfig(
            width=0.125, context=ContextConfig(kind=kind, after=["one"], options=options)
        ),
        clip=ClipConfig(frames=4, crop=32, short_side=[32, 40], test_crop=32, test_short_side=32),
    )
    config.optim.lr = lr
    (home / "config.yaml").write_text(yaml.safe_dump(asdict(config)))
    if finished:
        (home / "finished.yaml").write_text("epochs: 10\n")
    return home


def shares(number: int, of: int = 100) -> np.ndarray:
    """The first `number` of so many videos are recognised."""
    return np.arange(of) < number


def write_events(file: Path, times: Sequence[float]) -> None:
    """A TensorBoard file with an entry at each time."""
    file.parent.mkdir(parents=True, exist_ok=True)
    with file.open("wb") as stream:
        writer = RecordWriter(stream)
        for time in times:
            writer.write(Event(wall_time=time).SerializeToString())
        writer.flush()


def write_curve(home: Path, top1: Sequence[float]) -> None:
    """A CSV log with a validation top-1 for each epoch."""
    folder = home / "logs" / "csv" / "version_0"
    folder.mkdir(parents=True)
    rows = [f"{epoch},{value}" for epoch, value in enumerate(top1)]
    (folder / "metrics.csv").write_text("\n".join(["epoch,val/top1", *rows]) + "\n")


def write_ablation(home: Path, rows: dict[str, list[str]], **about: object) -> Path:
    """ablation.json; rows: name → cells."""
    home.mkdir(parents=True)
    content = {"name": home.name, "title": "An ablation", "source": None, "baseline": None}
    listed = [
        {"name": name, "settings": [], "reported": None, "cells": cells}
        for name, cells in rows.items()
    ]
    (home / "ablation.json").write_text(json.dumps(content | {"rows": listed} | about))
    return home
