"""The options of a test: its views, and how their scores are combined."""

from dataclasses import dataclass

from video_gc.data.sampling import ClipConfig
from video_gc.deploy.choices import BACKENDS, PRECISIONS, clips_in_call

FUSIONS = ("mean", "max")


@dataclass(kw_only=True)
class ViewConfig:
    """The views that a video is tested with."""

    clips: int = 10
    """clips spread over the video"""
    crops: int = 3
    """1 (centre), 3 along the longer side, or 10: corners and centre, each also mirrored"""
    micro_batch: int | None = None
    """views in one forward pass at most, split evenly over a video's; None: as many as suit, see
    `views_in_call`"""
    fuse: str = "mean"
    """score of a video: the mean over its views, or the max, as PySlowFast tests Charades
    (a short action is in few views)"""
    precision: str = "auto"
    """fp32, bf16, or auto: bf16 if the hardware supports it"""
    backend: str = "auto"
    """eager, compile, openvino (on a CPU, an extra), or auto: eager"""

    def __post_init__(self) -> None:
        for name, value in (("clips", self.clips), ("micro_batch", self.micro_batch)):
            if value is not None and value < 1:
                raise ValueError(f"test.{name} ({value}) must be at least 1")
        if self.crops not in (1, 3, 10):
            raise ValueError(
                f"test.crops ({self.crops}) must be 1 or 3, or 10 (with mirrored ones)"
            )
        for name, choices in (
            ("fuse", FUSIONS),
            ("precision", PRECISIONS),
            ("backend", BACKENDS),
        ):
            if getattr(self, name) not in choices:
                raise ValueError(
                    f"test.{name} ({getattr(self, name)!r}) must be one of {', '.join(choices)}"
                )

    def views_in_call(self, clip: ClipConfig, device: str) -> int:
        """Views in one forward pass at most: as given, or 8, on a CPU fewer of large clips."""
        return self.micro_batch or clips_in_call(clip.test_shape, device)
