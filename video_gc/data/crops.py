"""The part of the picture in a clip. Arithmetic only; the decoder crops and scales."""

import math

import numpy as np

from video_gc.decode.reader import Box

CROPS = (1, 3, 10)
"""1: the centre; 3: along the longer side; 10: corners and centre, and their mirror images."""
ATTEMPTS = 10


def random_crop(
    size: tuple[int, int], crop: int, short_side: tuple[int, int], random: np.random.Generator
) -> Box:
    """The box that a crop×crop window covers after scaling the short side to a random length.

    size: (height, width) of the video. The short side is drawn uniformly from `short_side`, as in
    Simonyan and Zisserman (2015); the position of the window too.
    """
    height, width = size
    side = max(round(min(size) * crop / random.uniform(*short_side)), 1)
    left, top = random.integers(width - side + 1), random.integers(height - side + 1)
    return Box(int(left), int(top), side, side)


def random_resized_crop(
    size: tuple[int, int],
    area: tuple[float, float],
    aspect: tuple[float, float],
    random: np.random.Generator,
) -> Box:
    """A box with a random share of the picture and a random shape, to be scaled to a square.

    size: (height, width) of the video. area: smallest and largest share of the picture, drawn
    uniformly; aspect: smallest and largest width / height, drawn uniformly in the logarithm, as in
    Szegedy et al. (2015). A box that does not fit is drawn again, up to ten times; then the largest
    centred box of an allowed shape is used.
    """
    height, width = size
    for _ in range(ATTEMPTS):
        pixels = height * width * random.uniform(*area)
        shape = math.exp(random.uniform(math.log(aspect[0]), math.log(aspect[1])))
        wide, high = round(math.sqrt(pixels * shape)), round(math.sqrt(pixels / shape))
        if 0 < wide <= width and 0 < high <= height:
            left, top = random.integers(width - wide + 1), random.integers(height - high + 1)
            return Box(int(left), int(top), wide, high)
    shape = min(max(width / height, aspect[0]), aspect[1])
    wide, high = min(width, round(height * shape)), min(height, round(width / shape))
    wide, high = max(wide, 1), max(high, 1)
    return Box((width - wide) // 2, (height - high) // 2, wide, high)


def scaled_size(size: tuple[int, int], short_side: int, *, even: bool = False) -> tuple[int, int]:
    """(height, width) after scaling the short side to `short_side`, keeping the aspect ratio.

    even: round to even numbers, for 4:2:0 planes.

    >>> scaled_size((1080, 1920), 256)
    (256, 455)
    """
    factor = short_side / min(size)
    unit = 2 if even else 1
    height, width = (max(round(side * factor / unit) * unit, short_side) for side in size)
    return height, width


def crop_boxes(size: tuple[int, int], crop: int, crops: int, *, even: bool = False) -> list[Box]:
    """crop×crop boxes in a picture of `size`: 1 in the centre, or 3 along the longer side.

    10 crops: the four corners and the centre, each used both plain and mirrored (Krizhevsky et al.,
    2012). even: even corners, for 4:2:0 planes.

    Raises ValueError for any other number.
    """
    if crops not in CROPS:
        raise ValueError(f"crops ({crops}) must be one of {', '.join(map(str, CROPS))}")
    height, width = size
    if crops == 1:
        places = [(0.5, 0.5)]
    elif crops == 3:
        along = (0.0, 0.5, 1.0)
        places = [(x, 0.5) for x in along] if width >= height else [(0.5, y) for y in along]
    else:
        places = [(0.0, 0.0), (1.0, 0.0), (0.0, 1.0), (1.0, 1.0), (0.5, 0.5)]
    unit = 2 if even else 1
    room_x, room_y = (width - crop) / unit, (height - crop) / unit
    return [Box(int(room_x * x) * unit, int(room_y * y) * unit, crop, crop) for x, y in places]
