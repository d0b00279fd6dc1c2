"""The scores of a network in memory, in one process."""

import torch
from torch import nn

from video_gc.data.dataset import VideoViews
from video_gc.data.transforms import Normalisation
from video_gc.deploy.inference_network import fast_network
from video_gc.evaluate.scores import Scores, put_together
from video_gc.evaluate.views import check_videos, score_videos


def score_views(
    model: nn.Module,
    views: VideoViews,
    normalisation: Normalisation,
    *,
    micro_batch: int,
    workers: int = 0,
    fuse: str = "mean",
) -> Scores:
    """In fp32 on the CPU."""
    check_videos(views)
    side, device = views.clip.test_crop, torch.device("cpu")
    network = fast_network(model, (views.clip.frames, side, side), device=device, precision="fp32")
    scored = score_videos(
        [network], views, normalisation, micro_batch=micro_batch, workers=workers, device=device,
        fuse=fuse,
    )  # fmt: skip
    return put_together(views.index, list(scored))[0]
