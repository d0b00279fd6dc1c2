"""Lost bytes of a file, and the packets hit by them."""

from collections.abc import Sequence
from dataclasses import dataclass

DISPLACED = "displaced (pictures before it may be lost)"
"""damage of a frame whose index may have changed"""


@dataclass(frozen=True)
class Loss:
    """A place where a file's structure is broken.

    Packets that begin at start … end - 1 in the file are hit. moves: pictures may be missing, so
    all later ones may have moved up.
    """

    start: int
    end: int
    cause: str
    moves: bool = True


class Losses:
    """All losses of a file, queried per packet.

    counted: they come from the packets' counters, so FFmpeg's own check of these counters is not
    used. depth: most pictures stored before a picture that is shown before them.
    """

    def __init__(
        self, found: Sequence[Loss] = (), *, counted: bool = False, depth: int = 0
    ) -> None:
        self.counted, self.depth = counted, depth
        self._found = sorted(found, key=lambda loss: loss.start)
        self.moving = next((loss for loss in self._found if loss.moves), None)
        """the first loss after which pictures may have moved up"""

    def move(self, place: int) -> None:
        """Pictures from this byte on may have moved up; nothing else is known to be wrong there."""
        loss = Loss(place, place, "numbers of pictures are left out before it")
        if self.moving is None or place < self.moving.start:
            self.moving = loss

    def hit(self, place: int | None) -> str | None:
        """Why a packet that begins at this byte cannot be trusted."""
        if place is None:
            return None
        return next((loss.cause for loss in self._found if loss.start <= place < loss.end), None)
