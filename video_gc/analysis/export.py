"""From a checkpoint to an exported model, verified on the videos of its run."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional as F

from video_gc.analysis.clips import Clips, find_clips
from video_gc.data.config import DataConfig
from video_gc.data.index import DataError, VideoIndex
from video_gc.data.reading import Decoding
from video_gc.data.splits import data_manifest, read_splits
from video_gc.decode.reader import MAX_PIXELS
from video_gc.deploy.contract import Contract
from video_gc.deploy.export import CPU, Exported, ExportOptions, export_network
from video_gc.evaluate.tested_videos import EvaluatedVideos, subset_of
from video_gc.progress import say
from video_gc.train.checkpoint import (
    CheckpointContents,
    contract_of,
    default_output,
    load_network,
)
from video_gc.train.checkpoint_paths import checkpoint_in

CLIPS, ROUNDED_CLIPS = 16, 200
"""Videos to compare on by default: in fp32; in fp16 and int8, where the share of equal classes
counts."""
CALIBRATION = 200
"""Training videos that set the ranges of int8."""


def export_checkpoint(
    checkpoint: Path,
    options: ExportOptions,
    *,
    videos: Path | None = None,
    count: int | None = None,
    out: Path | None = None,
) -> Exported:
    """Export the network of a checkpoint, and compare both on one centre clip of some videos.

    videos: a folder or list to compare on; half of them calibrate int8, and the other half are
        compared on. By default the run's test videos, and its training videos for int8. A
        checkpoint without a run is compared on generated clips. count: number of videos to compare
        on. out: default is RUN/export.

    Raises as `export_network` and `load_network`; ValueError for int8 with fewer than two videos.
    """
    options.check_installed()
    checkpoint = checkpoint_in(checkpoint)
    model, contents = load_network(checkpoint)
    contract = contract_of(contents, model.state_dict())
    count = count or (CLIPS if options.precision == "fp32" else ROUNDED_CLIPS)
    source = _Videos(checkpoint, contents, videos, options.int8)
    say(f"{checkpoint}: writing {options.format} in {options.precision}")
    return export_network(
        model,
        contract,
        options,
        out or default_output(checkpoint, "export"),
        source.tested(count, contract),
        source.calibration() if options.int8 else None,
    )


@dataclass(frozen=True)
class _Videos:
    """Where the clips come from."""

    checkpoint: Path
    contents: CheckpointContents
    given: Path | None
    int8: bool

    def tested(self, count: int, contract: Contract) -> Iterator[tuple[Tensor, list[int]]]:
        """Batches of clips with their labels; generated clips if there are no videos."""
        if self.given or self._splits.is_dir():
            given = [self.given] if self.given else []
            if self.given and self.int8:
                index = self._half(self.given, 1, count)
            else:
                index, _ = find_clips(self.checkpoint, self.contents, given, count=count)
            clips, labels = self._clips(index), index.labels
            for batch, rows in clips.batches("Comparing on videos"):
                known = [-1 if index.multi_label else int(labels[row]) for row in rows]
                yield batch, known
            if clips.sound:
                return
            why = next(iter(clips.damaged.values())).reason
            if self.given:
                raise DataError(f"none of {len(index)} videos could be read: {why}")
            say(f"None of {len(index)} test videos could be read: {why}", style="yellow")
        say("Compared on generated clips; --videos DIR compares on videos", style="yellow")
        yield _generated(count, contract), [-1] * count

    def calibration(self) -> "_Calibration":
        """Clips for int8. Raises ValueError if there are no videos."""
        if self.given:
            index = self._half(self.given, 0, CALIBRATION)
        elif self._splits.is_dir():
            trained = DataConfig(**self.contents.config.get("data", {}))
            whole = read_splits(self._splits, data_manifest(trained), only=("train",)).train
            index = subset_of(EvaluatedVideos(whole, None), CALIBRATION).index
        else:
            raise ValueError(
                f"{self.checkpoint}: int8 needs videos like the training's; give --videos DIR"
            )
        return _Calibration(self._clips(index))

    def _half(self, given: Path, first: int, count: int) -> VideoIndex:
        """Up to `count` of every second given video; with `first` 0 and 1 none is in both halves.

        Raises ValueError for a single video.
        """
        whole, found = find_clips(self.checkpoint, self.contents, [given])
        if found < 2:
            raise ValueError(f"{given}: has one video; int8 needs one to calibrate, one to compare")
        half = whole.take(range(first, found, 2))
        return subset_of(EvaluatedVideos(half, None), count).index

    @property
    def _splits(self) -> Path:
        return default_output(self.checkpoint, "splits")

    def _clips(self, index: VideoIndex) -> Clips:
        data = self.contents.config.get("data", {})
        decoding = Decoding(
            data.get("decoder", "auto"), max_pixels=data.get("max_pixels", MAX_PIXELS)
        )
        decoding.check_decoder(index.path(0))
        return Clips(index, self.contents.clip, self.contents.normalisation, CPU, decoding)


@dataclass(frozen=True)
class _Calibration:
    """Clips (1, 3, T, H, W), decoded each time they are needed."""

    clips: Clips

    def __iter__(self) -> Iterator[Tensor]:
        for batch, _ in self.clips.batches("Calibrating"):
            yield from batch.split(1)


def _generated(count: int, contract: Contract) -> Tensor:
    """Smooth random clips (count, 3, T, H, W), prepared as videos are."""
    random = torch.Generator().manual_seed(0)
    size = contract.clip_shape
    coarse = torch.rand((count, 3, *(min(4, side) for side in size)), generator=random)
    clips = F.interpolate(coarse, size, mode="trilinear")
    mean, std = (torch.tensor(v).view(1, 3, 1, 1, 1) for v in (contract.mean, contract.std))
    return (clips - (clips.mean(2, keepdim=True) if contract.subtract_mean_frame else mean)) / std
