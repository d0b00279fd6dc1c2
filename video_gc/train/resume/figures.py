"""The figures of an unfinished epoch: Lightning forgets the sums behind means on a resume."""

from typing import Any

import pytorch_lightning as pl
from pytorch_lightning.trainer.connectors.logger_connector.result import (
    _Metadata,
    _ResultMetric,
    _Sync,
)
from torch import Tensor
from torchmetrics import Metric

from video_gc.train.ranks.world import World, to_all

FLAGS = ("fx", "name", "prog_bar", "logger", "on_step", "on_epoch", "metric_attribute")
SUMS = ("value", "cumulated_batch_size")


class EpochFigures(pl.Callback):
    """What was logged of this epoch's training so far, by every process, in each checkpoint.

    Metrics keep their states, plain numbers their sums. With another number of processes than
    before, the first one goes on with the sums of all.
    """

    def __init__(self, world: World) -> None:
        self.world = world
        self.trainer: pl.Trainer | None = None
        self.loaded: list[dict[str, Any]] = []

    def setup(self, trainer: pl.Trainer, *_: Any, **__: Any) -> None:
        """Lightning: before the fit."""
        self.trainer = trainer

    def state_dict(self) -> dict[str, Any]:
        """Lightning: called on every process before a checkpoint is written."""
        assert self.trainer is not None
        results = self.trainer.fit_loop.epoch_loop._results
        saved = {key: _saved(one) for key, one in results.valid_items()}
        return {"processes": to_all(saved, self.world)}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Lightning: called while a checkpoint is restored."""
        self.loaded = state_dict["processes"]

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Lightning: before the first step."""
        if not self.loaded:
            return
        if len(self.loaded) == self.world.size:
            mine = self.loaded[self.world.rank]
        else:
            mine = _added(self.loaded) if self.world.first else {}
            for saved in mine.values():  # Lightning notes it where there are several alone
                saved["sync"] = "sums" in saved and self.world.size > 1
        for key, saved in mine.items():
            trainer.fit_loop.epoch_loop._results[key] = _restored(saved, trainer, pl_module)
        if mine:
            # else Lightning takes the next batch for the first of its epoch, and begins new sums
            trainer._logger_connector._first_loop_iter = True
        self.loaded = []


def _saved(result: _ResultMetric) -> dict[str, Any]:
    flags = {name: getattr(result.meta, name) for name in FLAGS}
    saved = flags | {"reduce_fx": result.meta.reduce_fx.__name__, "sync": result.meta.sync.should}
    if result.is_tensor:
        held = {name: getattr(result, name) for name in SUMS if hasattr(result, name)}
        return saved | {"sums": {name: value.detach().cpu() for name, value in held.items()}}
    metric = result.value
    states = {
        name: value.detach().cpu() if isinstance(value, Tensor) else [v.cpu() for v in value]
        for name, value in metric.metric_state.items()
    }
    return saved | {"states": states, "updates": metric._update_count}


def _restored(
    saved: dict[str, Any], trainer: pl.Trainer, module: pl.LightningModule
) -> _ResultMetric:
    meta = _Metadata(**{name: saved[name] for name in FLAGS}, reduce_fx=saved["reduce_fx"])
    meta.sync = _Sync(_should=saved["sync"], fn=trainer.strategy.reduce)
    result = _ResultMetric(meta, "sums" in saved)
    result._update_count = 1
    if "sums" in saved:
        for name, value in saved["sums"].items():
            setattr(result, name, value.to(module.device))
        return result
    metric = module.get_submodule(saved["metric_attribute"])
    assert isinstance(metric, Metric)
    for name, value in saved["states"].items():
        here = (
            value.to(module.device)
            if isinstance(value, Tensor)
            else [part.to(module.device) for part in value]
        )
        setattr(metric, name, here)
    metric._update_count, metric._computed = saved["updates"], None
    result.value = metric
    return result


def _added(parts: list[dict[str, Any]]) -> dict[str, Any]:
    """The sums of several processes' figures."""
    total: dict[str, Any] = {}
    for part in parts:
        for key, saved in part.items():
            if key not in total:
                total[key] = saved
                continue
            kept = total[key]
            for group in ("sums", "states"):
                for name, value in saved.get(group, {}).items():
                    kept[group][name] = kept[group][name] + value  # lists are joined
            if "updates" in saved:
                kept["updates"] += saved["updates"]
    return total
