"""Features of videos: the output of a stage, averaged over time and space, for each window."""

from collections.abc import Generator, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from rich.progress import Progress
from torch import Tensor, nn

from video_gc.backbones.stages import FEATURES, residual_blocks, sites, whole_stages
from video_gc.blocks import choices
from video_gc.decode.reader import DecodeError
from video_gc.outputs import Outputs, fill_csv
from video_gc.predict.batch import distinct_files
from video_gc.predict.recognizer import Recognizer
from video_gc.predict.segments import check_overlap
from video_gc.predict.windows import RowFiles, WindowRows, each_video
from video_gc.progress import say

SKIPPED = "skipped.csv"


@dataclass(kw_only=True)
class FeatureOptions:
    """Which features, and of which windows."""

    layer: str = "res5"
    """a stage (res2 … res5) or a residual block (res4.5)"""
    overlap: float = 0.0
    """share of a window that the next one sees too, in [0, 0.95]"""
    pool: bool = False
    """one row for each video, the mean over its windows"""

    def __post_init__(self) -> None:
        check_overlap(self.overlap)


class StageFeatures:
    """Clips (n, 3, T, H, W) → the mean over T, H, W of a stage's output, (n, C) on the CPU.

    The stage is the one of the network that predicts: norms folded, in its precision. A stage's
    output contains what its context blocks add. Folding changes it by rounding only.

    layer: see `layers`. In a network of two pathways `res5` is the slow one's.

    Raises ValueError, with the names, if the network has no such layer.
    """

    def __init__(self, recognizer: Recognizer, layer: str) -> None:
        self.network = recognizer.network
        model = self.network.model
        if self.network.backend != "eager" or model is None:
            raise ValueError(f"features need the backend eager, not {self.network.backend}")
        known = layers(model)
        module = known.get(layer) or known.get(f"slow.{layer}")
        if module is None:
            raise ValueError(f"layer {layer!r}: no such layer; {choices(layer, list(known))}")
        self._module = module

    def __call__(self, clips: Tensor) -> Tensor:
        """The features. Raises FloatingPointError if the network's scores are not finite."""
        seen: list[Tensor] = []
        # only for this call: others use the network too, and an output is large
        with self._module.register_forward_hook(lambda _module, _inputs, made: seen.append(made)):
            self.network(clips)
        (output,) = seen
        return output.float().reshape(*output.shape[:2], -1).mean(2).cpu()


def layers(model: nn.Module) -> dict[str, nn.Module]:
    """The layers with features: stages (stem, res2 …) and residual blocks (res2.0 …) by name.

    An image network without stages has its parts features.0, …, and `features`, the last map.
    """
    stages = {name: part for name, part in whole_stages(model).items() if name != "head"}
    last = {name: part for name, part in sites(model).items() if name == FEATURES}
    return stages | last | residual_blocks(model)


def features_all(
    checkpoint: Path,
    videos: Sequence[Path],
    out: Path,
    options: FeatureOptions,
    device: str | None = None,
    precision: str = "auto",
) -> Generator[tuple[Path, WindowRows] | DecodeError, None, None]:
    """Write the features of each file, and of each video in each folder, into `out`.

    Yields the file and its features, or an error, for each video in order. A file of the same
    video, weights and options is kept. `skipped.csv` lists the videos that cannot be read.
    Raises FileNotFoundError for a path that does not exist, DataError for a folder without videos,
    ValueError for a layer that the network lacks.
    """
    files = distinct_files(videos)
    recognizer = Recognizer(checkpoint, device=device, precision=precision, backend="eager")
    compute = StageFeatures(recognizer, options.layer)
    say(f"{checkpoint}: {recognizer.about}")
    made = RowFiles(recognizer, out, options.layer, compute, options.overlap, options.pool)
    failed: list[DecodeError] = []
    outputs = Outputs(out)
    outputs.remove(SKIPPED)

    def work(video: Path, progress: Progress) -> tuple[Path, WindowRows]:
        with torch.inference_mode():
            return made.rows(video, progress)

    for each in each_video(files, work):
        if isinstance(each, DecodeError):
            failed.append(each)
            rows = [("damaged", error.path, 1, error) for error in failed]
            with outputs.path(SKIPPED) as part:
                fill_csv(part, ["kind", "path", "times", "reason"], rows)
        yield each
