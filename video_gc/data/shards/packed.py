"""A video inside a shard: its place, and its bytes when they are asked for."""

import io
import os
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from video_gc.data.shards.store import read_range


@dataclass(frozen=True)
class PackedVideo:
    """Where a video lies, in the place of its path."""

    root: str
    """folder or address of the shards"""
    shard: str
    """its file name"""
    offset: int
    size: int
    """bytes"""
    path: str
    """as it was listed"""

    def __fspath__(self) -> str:
        return f"{self.root}/{self.shard}/{self.path}"

    def __str__(self) -> str:
        return os.fspath(self)

    @property
    def name(self) -> str:
        """Without folders."""
        return PurePosixPath(self.path).name

    @property
    def parts(self) -> tuple[str, ...]:
        """Of the listed path."""
        return PurePosixPath(self.path).parts

    def is_dir(self) -> bool:
        """Never: folders of frames cannot be packed."""
        return False

    def open(self) -> "NamedBytes":
        """The video's bytes as a file. Raises StoreError if they cannot be had."""
        content = read_range(self.root, self.shard, self.offset, self.size)
        return NamedBytes(content, str(self))


class NamedBytes(io.BytesIO):
    """A file in memory; decoders take its name for their messages."""

    def __init__(self, content: bytes, name: str) -> None:
        super().__init__(content)
        self.name = name


VideoPath = Path | PackedVideo
