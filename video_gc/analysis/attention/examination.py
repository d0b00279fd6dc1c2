"""All that was found about where the context blocks of a checkpoint look."""

from dataclasses import dataclass
from pathlib import Path

from video_gc.analysis.attention.losses import Losses
from video_gc.analysis.attention.study import BlockStudy


@dataclass(frozen=True)
class Picture:
    """The files of one drawn video."""

    name: str
    """CLASS/file"""
    video: Path
    animation: Path


@dataclass(frozen=True)
class Examination:
    """All that was found, and where it lies."""

    checkpoint: str
    data: str
    videos: int
    """that were looked at"""
    listed: int
    """there were so many to choose from"""
    damaged: dict[str, str]
    """file → why it could not be read"""
    short: int
    """videos shorter than a clip; the last frame was repeated or they were looped"""
    seed: int
    blocks: list[BlockStudy]
    losses: Losses | None
    answer: list[str]
    reading: list[str]
    pictures: list[Picture]
    files: list[Path]
