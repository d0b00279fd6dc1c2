"""Which network is meant by a checkpoint, a run directory or the name of published weights."""

from pathlib import Path

from video_gc.backbones.published import KINETICS400, PUBLISHED
from video_gc.data.sampling import ClipConfig
from video_gc.models.build import ModelConfig
from video_gc.train.checkpoint import is_published, load_network
from video_gc.train.run_checkpoint import checkpoint_in


def described_network(source: str) -> tuple[ModelConfig, ClipConfig]:
    """The network and its clips; published weights are not downloaded for it.

    source: a checkpoint of ours, a run directory (its best checkpoint, else the last one), or a
        name such as slow_r50.

    Raises FileNotFoundError, or ValueError for a file that is no checkpoint of ours.
    """
    if is_published(source):
        published = PUBLISHED[source]
        side = published.side
        model = ModelConfig(
            backbone=published.backbone, depth=published.depth, num_classes=len(KINETICS400)
        )
        clip = ClipConfig(
            frames=published.frames, stride=published.stride, crop=side,
            short_side=[side, max(side, 320)], test_crop=side, test_short_side=side,
        )  # fmt: skip
        return model, clip
    contents = load_network(checkpoint_in(Path(source)))[1]
    return contents.model, contents.clip


def with_clip(clip: ClipConfig, frames: int, side: int) -> ClipConfig:
    """The same clips with so many frames of side × side pixels, in training and testing."""
    return ClipConfig(
        frames=frames, stride=clip.stride, crop=side, short_side=[side, side],
        test_crop=side, test_short_side=side,
    )  # fmt: skip
