"""Query positions in a clip: fractions (t, h, w) of its frames, height and width."""

import re
from collections.abc import Sequence

Query = tuple[float, float, float]
"""(t, h, w), each from 0 up to, not including, 1"""
MOST = 24
"""Most queries in one picture, with a row each."""
GRID = re.compile(r"(\d{1,2})x(\d{1,2})(?:@([\d.,]+))?")
FORMS = "a grid such as 2x3 (2x3@0.25,0.75 for two frames), or t,h,w such as 0.5,0.25,0.75"


def grid(rows: int, columns: int, frames: Sequence[float] = (0.5,)) -> list[Query]:
    """The centres of rows × columns equal cells on each of `frames` (fractions of the clip)."""
    return [
        (time, (row + 0.5) / rows, (column + 0.5) / columns)
        for time in frames
        for row in range(rows)
        for column in range(columns)
    ]


def parse_queries(texts: Sequence[str]) -> list[Query]:
    """Typed grids (2x3, 2x3@0.25,0.75) and positions (0.5,0.25,0.75) → queries.

    Raises ValueError for other texts, a fraction outside [0, 1), or more than 24 queries.
    """
    queries: list[Query] = []
    for text in texts:
        match = GRID.fullmatch(text)
        parts = text.split(",")
        if match:
            rows, columns, frames = match.groups()
            times = [_fraction(part, text) for part in (frames or "0.5").split(",")]
            queries += grid(int(rows), int(columns), times)
        elif len(parts) == 3:
            time, height, width = (_fraction(part, text) for part in parts)
            queries.append((time, height, width))
        else:
            raise ValueError(f"--queries ({text}) must be {FORMS}")
    if not 0 < len(queries) <= MOST:
        raise ValueError(f"--queries ({' '.join(texts)}): a picture shows 1 to {MOST} queries")
    return queries


def _fraction(part: str, text: str) -> float:
    try:
        value = float(part)
    except ValueError:
        raise ValueError(f"--queries ({text}) must be {FORMS}") from None
    if not 0 <= value < 1:
        raise ValueError(
            f"--queries ({text}): {part} must be a fraction of the clip, from 0 up to 1"
        )
    return value
