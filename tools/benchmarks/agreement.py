"""How often a fast network has the same best class as fp32, on clips that it has not seen."""

from collections.abc import Sequence
from pathlib import Path

import torch

from benchmarks.targets import Target
from video_gc.data.annotations import read_class_folders
from video_gc.data.batches.loader import view_loader
from video_gc.data.dataset import VideoViews
from video_gc.data.transforms import prepare_clips
from video_gc.deploy.inference_network import fast_network
from video_gc.progress import track
from video_gc.train.checkpoint import CheckpointContents, load_network

CLIPS = 400
LIMIT = 0.995


def agreement(checkpoint: Path, folders: Sequence[Path], ways: Sequence[str]) -> list[Target]:
    """Share of the same best class in bf16, one centre clip a video, for each backend."""
    model, contents = load_network(checkpoint)
    clips = _clips(contents, folders)
    with torch.no_grad():
        right = torch.cat([model(part) for part in clips.split(8)])
    frames, height, width = clips.shape[2:]
    targets = []
    for way in ways:
        fast = fast_network(
            model,
            (frames, height, width),
            device=torch.device("cpu"),
            precision="bf16",
            backend=way,
        )
        found = torch.cat([fast(part) for part in clips.split(8)])
        share = float((found.argmax(1) == right.argmax(1)).float().mean())
        error = float((found - right).norm() / right.norm())
        what = f"{len(clips)} clips, bf16, {way}: the same best class as fp32"
        targets.append(Target(f"{what} (logits {error:.1e} off)", share, LIMIT, at_least=True))
    return targets


def _clips(contents: CheckpointContents, folders: Sequence[Path]) -> torch.Tensor:
    """(n, 3, T, H, W), at most CLIPS."""
    found: list[torch.Tensor] = []
    for folder in folders:
        index = read_class_folders(folder, contents.names)
        views = VideoViews(index, contents.clip, clips=1, crops=1)
        loader = view_loader(views, micro_batch=8, workers=0)
        for batch in track(loader, f"Reading {folder}", -(-len(index) // 8)):
            if batch.clips is not None:
                found.append(prepare_clips(batch.clips, contents.normalisation, batch.flips))
    return torch.cat(found)[:CLIPS]
