"""What a server accepts; without torch, for parsers."""

import math
from dataclasses import dataclass

from video_gc.extras import need

NEEDED = {
    "serve": ("fastapi", "uvicorn", "python_multipart", "prometheus_client", "httpx2"),
    "app": ("gradio",),
}
"""Extra → the libraries in it."""


@dataclass(frozen=True, kw_only=True)
class Limits:
    """What the server accepts, and for how long it works on it."""

    max_mb: float = 64
    """largest upload, MiB"""
    max_seconds: float = 600
    """longest video, seconds"""
    timeout: float = 60
    """seconds from the start of a request to its answer"""
    queue: int = 32
    """requests accepted at a time; the next one is answered 503"""
    allow_url: tuple[str, ...] = ()
    """hosts, or HOST:PORT, from which a video is fetched by its URL; none by default"""

    def __post_init__(self) -> None:
        for name in ("max_mb", "max_seconds", "timeout"):
            if not 0 < getattr(self, name) < math.inf:
                raise ValueError(f"{name} ({getattr(self, name)}) must be above 0, and finite")
        if self.queue < 1:
            raise ValueError(f"queue ({self.queue}) must be at least 1")
        for host in self.allow_url:
            if not host or any(sign in host for sign in "/@*? "):
                raise ValueError(
                    f"allow_url ({host!r}) must be a host such as videos.example.org, or HOST:PORT"
                )

    @property
    def max_bytes(self) -> int:
        """Largest upload."""
        return int(self.max_mb * (1 << 20))


def check_installed(extra: str) -> None:
    """Raise ImportError with the install line if a library of the extra is missing."""
    need(extra, *NEEDED[extra], by=f"tools/{extra}.py")
