"""A checkpoint and a video in, classes with scores out."""

import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing
from copy import copy
from dataclasses import asdict, dataclass
from itertools import islice
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from video_gc.data.transforms import prepare_clips
from video_gc.decode.open import open_video
from video_gc.decode.reader import MAX_PIXELS, Source, VideoReader
from video_gc.decode.whole_frames import FrameReader
from video_gc.deploy.choices import PRECISIONS
from video_gc.deploy.device import pick_device
from video_gc.deploy.exported import is_exported, open_exported
from video_gc.deploy.inference_network import choose, fast_network
from video_gc.evaluate.ranking import probabilities, ranking
from video_gc.predict.views import ahead, window_frames, window_times, window_views
from video_gc.train.checkpoint import contract_of, load_network, normalisation_of

NONE = "none of these"
"""The label of a video or window in which no class reaches the threshold."""


@dataclass(frozen=True)
class Window:
    """One input of the network: its seconds of the video, and the scores (classes,)."""

    start: float
    end: float
    scores: Tensor


@dataclass(frozen=True)
class Prediction:
    """Scores of a video: the mean over its windows, and each window."""

    video: str
    names: list[str]
    scores: Tensor
    """(classes,), probabilities that sum to 1; with several labels per video, one per class"""
    windows: list[Window]
    precision: str
    """precision of the network: fp32 or bf16"""
    backend: str
    """see `FastNetwork.backend`"""
    damaged: int = 0
    """used frames that are damaged: the decoder invented a part of them"""

    def top(self, count: int = 5, window: Window | None = None) -> list[tuple[str, float]]:
        """The best `count` classes of the video, or of one window, with their scores.

        Raises ValueError for a count below 1.
        """
        if count < 1:
            raise ValueError(f"the number of classes to show ({count}) must be at least 1")
        scores = self.scores if window is None else window.scores
        return best_classes(scores, self.names, count)

    def label(self, threshold: float = 0.0, window: Window | None = None) -> str:
        """The best class of the video, or of one window; `NONE` if its score is below."""
        ((name, score),) = self.top(1, window)
        return name if score >= threshold else NONE

    def to_dict(self, count: int = 5, threshold: float | None = None) -> dict[str, Any]:
        """For JSON: the best classes of the video and of each window; times in seconds.

        threshold: adds the video's `label`.
        """
        return {
            "video": self.video,
            "precision": self.precision,
            "backend": self.backend,
            **({} if threshold is None else {"label": self.label(threshold)}),
            "top": label_rows(self.top(count)),
            "damaged_frames": self.damaged,
            "timeline": [
                {
                    "start": round(window.start, 3),
                    "end": round(window.end, 3),
                    **({} if threshold is None else {"label": self.label(threshold, window)}),
                    "top": label_rows(self.top(count, window)),
                }
                for window in self.windows
            ],
        }


class Recognizer:
    """Recognise actions with a checkpoint of tools/train.py; nothing else is needed.

        recognizer = Recognizer("runs/demo/checkpoints/best.ckpt")
        print(recognizer.predict("video.mp4").top(3))

    A name of published weights also works: `Recognizer("slow_r50")` knows Kinetics' 400 classes;
    and so does a file of tools/export.py: `Recognizer("model.onnx")`, "model.xml" or "model.pt2",
    with model.json beside it. Such a file has its own precision and backend.

    precision, backend, micro_batch: see `fast_network`; `recognizer.network.about` names the
    choice.

    Raises FileNotFoundError; ValueError for a file that is no such checkpoint, a contract that does
    not fit the file, or an unknown choice; ImportError for a backend that is not installed.
    """

    def __init__(
        self,
        checkpoint: str | os.PathLike[str],
        *,
        device: str | torch.device | None = None,
        micro_batch: int | None = None,
        precision: str = "auto",
        backend: str = "auto",
    ) -> None:
        self.max_pixels = MAX_PIXELS
        self.model: nn.Module | None = None
        """the network in torch; None: an exported model"""
        if is_exported(checkpoint):
            self.device = pick_device(device or "cpu")
            self.network, self.contract = open_exported(
                checkpoint, self.device, precision=precision, backend=backend
            )
            self.design = self.network.file_hash
            self.micro_batch = micro_batch or self.network.micro_batch
            return
        self.device = pick_device(device)
        choose(self.device, precision, backend)  # raises before anything is loaded
        model, contents = load_network(checkpoint)
        self.model = model
        self.contract = contract = contract_of(contents, model.state_dict())
        self.max_pixels = contents.config.get("data", {}).get("max_pixels", MAX_PIXELS)
        self.network = fast_network(
            model,
            contract.clip_shape,
            device=self.device,
            precision=precision,
            backend=backend,
            micro_batch=micro_batch,
        )
        self.design = repr(contents.model) + self.network.file_hash
        """all that the logits depend on beside weights and contract: two kinds of a block may have
        the same weights, and int8 its ranges"""
        self.micro_batch = self.network.micro_batch

    @property
    def identity(self) -> dict[str, Any]:
        """All that scores depend on beside the video, for files that keep them."""
        contract, network = asdict(self.contract), self.network
        del contract["versions"]  # an update of torch changes the last digits at most
        computed = self.design, network.precision, network.backend, self.micro_batch
        return {"contract": contract, "network": list(computed)}

    def in_eager(self) -> "Recognizer":
        """This one, or one with the same network in eager torch, whose layers can be watched."""
        if self.model is None or self.network.backend == "eager":
            return self
        other = copy(self)
        used = self.network.precision
        other.network = fast_network(
            self.model,
            self.contract.clip_shape,
            device=self.device,
            precision=used if used in PRECISIONS else "auto",  # torch has no int8 of these
            backend="eager",
        )
        return other

    @property
    def about(self) -> str:
        """How it computes, and how it samples videos, in a line."""
        return f"{self.network.about}; {self.contract.about_time}"

    @property
    def names(self) -> list[str]:
        """Class names, in the order of the scores."""
        return self.contract.names

    def predict(
        self,
        video: Source | np.ndarray | Tensor | list[Any] | tuple[Any, ...],
        *,
        fps: float | None = None,
        segment: tuple[float, float] | None = None,
    ) -> Prediction:
        """Score a whole video in consecutive windows, centre crop.

        If the training's frame rate is known (`contract.fps`), a window spans the same time in a
        video of any rate; otherwise the same number of frames.

        video: a path, the bytes of a file or an open file; or frames with their rate `fps` in Hz
            (default: the training's, or 25): an array or tensor uint8 (T, H, W, 3), or a list of
            frames (H, W, 3), each an array, a tensor or a PIL image (see `as_frames`), in RGB. A
            video shorter than a window repeats its last frame. Damaged frames are counted.
        segment: (start, end) in seconds of the part to score; None: all of it.

        Raises FileNotFoundError, DecodeError for an unreadable file or a segment outside of it,
        ValueError for frames of another shape or type.
        """
        reader: VideoReader
        if isinstance(video, np.ndarray | Tensor | list | tuple):
            reader = FrameReader(video, self.contract.fps or 25.0 if fps is None else fps)
        else:
            reader = open_video(video, damage="report", max_pixels=self.max_pixels)
        with reader:
            windows = window_frames(self.contract, reader, segment=segment)
            seconds = window_times(reader, windows)
            with closing(ahead(self.views(reader, windows))) as batches:
                scores = torch.cat([self.score(views) for views in batches])
        return self.prediction(reader.path, seconds, scores, damaged=len(reader.damaged))

    def prediction(
        self,
        video: str,
        seconds: Sequence[tuple[float, float]],
        scores: Tensor,
        *,
        damaged: int = 0,
    ) -> Prediction:
        """The prediction of a video from (start, end) and scores (K, classes) of its windows."""
        windows = [
            Window(start, end, score) for (start, end), score in zip(seconds, scores, strict=True)
        ]
        about = self.network.precision, self.network.backend
        return Prediction(video, self.names, scores.mean(0), windows, *about, damaged=damaged)

    def views(self, reader: VideoReader, windows: np.ndarray) -> Iterator[np.ndarray]:
        """Yield views uint8 (n, T, H, W, 3) of windows of frames (K, T), in order.

        n is `micro_batch`, or less at the end. Frames are decoded once and held as long as needed.
        """
        views = window_views(self.contract, reader, windows)
        while group := list(islice(views, self.micro_batch)):
            yield np.stack(group)

    def prepare(self, views: np.ndarray) -> Tensor:
        """The network's input (n, 3, T, H, W) for views uint8 (n, T, H, W, 3)."""
        clips = torch.from_numpy(views).to(self.device)
        return prepare_clips(clips, normalisation_of(self.contract))

    @torch.inference_mode()
    def score(self, views: np.ndarray) -> Tensor:
        """Probabilities (n, classes) on the CPU, for views uint8 (n, T, H, W, 3)."""
        return self.scores(self.prepare(views))

    def scores(self, clips: Tensor) -> Tensor:
        """Probabilities (n, classes) on the CPU, for the input that `prepare` makes."""
        logits = self.network(clips)
        return probabilities(logits, multi_label=self.contract.multi_label).cpu()


def best_classes(scores: Tensor, names: Sequence[str], count: int) -> list[tuple[str, float]]:
    """The `count` classes with the highest scores (classes,), best first, with their scores."""
    values, classes = ranking(scores, count)
    return [(names[c], float(v)) for c, v in zip(classes, values, strict=True)]


def label_rows(ranked: Iterable[tuple[str, float]]) -> list[dict[str, Any]]:
    """Classes and scores for JSON, in the words of Hugging Face's video classification."""
    return [{"label": name, "score": round(score, 6)} for name, score in ranked]
