"""One colour and one marker a row, the same in every plot."""

COLOURS = (
    "#1c2733", "#c2410c", "#1d4ed8", "#15803d", "#7e22ce", "#0e7490", "#be185d", "#4d7c0f",
    "#b45309", "#6b7280",
)  # fmt: skip
MARKERS = ("o", "s", "D", "^", "v", "P", "X")


def colour(place: int) -> str:
    """Of the row at this place."""
    return COLOURS[place % len(COLOURS)]


def marker(place: int) -> str:
    """Of the row at this place; with the colour it is unique among seventy rows."""
    return MARKERS[place % len(MARKERS)]
