"""A step in two parts is the step in one, where no norm looks at the batch."""

import pytorch_lightning as pl
import torch
from torch import Tensor
from torch.utils.data import DataLoader
from video_gc.train.task import RecognitionTask

from video_gc.data.dataset import Batch
from video_gc.data.transforms import Normalisation
from video_gc.models.build import ModelConfig, build_model
from video_gc.train.recipe.norms import NormConfig, prepare_norms
from video_gc.train.recipe.optim import OptimConfig


def batches(size: int) -> list[Batch]:
    """The same twelve clips, in batches of `size`."""
    random = torch.Generator().manual_seed(0)
    clips = torch.randint(0, 256, (12, 4, 32, 32, 3), dtype=torch.uint8, generator=random)
    labels = torch.randint(0, 3, (12,), generator=random)
    none = torch.zeros(size, dtype=torch.long)
    return [
        Batch(c, y, none, none.bool(), none, none, [])
        for c, y in zip(clips.split(size), labels.split(size), strict=True)
    ]


def trained(size: int, accumulate: int, ema: float | None = None) -> dict[str, Tensor]:
    torch.manual_seed(0)
    model = build_model(ModelConfig(backbone="slow", width=0.125, num_classes=3, dropout=0))
    prepare_norms(model, NormConfig(zero_init=False), weights=None, gpu=False)
    prepare_norms(model, NormConfig(kind="frozen"), weights="some", gpu=False)
    task = RecognitionTask(
        model, num_classes=3, normalisation=Normalisation(), optim=OptimConfig(lr=0.01), ema=ema
    )
    trainer = pl.Trainer(
        accelerator="cpu", devices=1, max_epochs=1, logger=False, enable_checkpointing=False,
        enable_progress_bar=False, enable_model_summary=False, limit_val_batches=0,
        accumulate_grad_batches=accumulate,
    )  # fmt: skip
    start = {name: value.clone() for name, value in task.state_dict().items()}
    trainer.fit(task, DataLoader(batches(size), batch_size=None))  # type: ignore[arg-type]
    assert trainer.global_step == 3
    return {
        name: value - start[name]
        for name, value in task.state_dict().items()
        if value.is_floating_point() and "running" not in name
    }


def test_two_parts_of_a_step_are_the_step() -> None:
    whole, parts = trained(4, 1, ema=0.9), trained(2, 2, ema=0.9)  # the average moves once a step
    assert any(name.startswith("average.") for name in whole)
    for name, moved in whole.items():
        scale = moved.abs().max().item()
        torch.testing.assert_close(
            parts[name], moved, rtol=1e-3, atol=1e-4 * scale + 1e-7, msg=name
        )
    assert max(moved.abs().max() for moved in whole.values()) > 1e-3
