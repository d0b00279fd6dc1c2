"""A small trained network, and its exported model."""

from pathlib import Path

import pytest

from tests.conftest import SMALL


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

    done = export_checkpoint(bag_run, ExportOptions(dynamic=True), count=6)
    return done.files[0]
