"""High dynamic range and BT.2020 → what a screen of BT.709 shows.

Light of 203 cd/m² (white of a page, ITU-R BT.2408) becomes white, what is brighter is cut off; so
the middle is as bright as in other videos. Curves: BT.2100 (PQ; HLG at 1000 cd/m²), BT.1886 for the
screen; primaries: BT.2087.
"""

from functools import cache

import numpy as np

from video_gc.decode.ffmpeg.presentation import BT2020_PRIMARIES, HLG, PQ

WHITE, PEAK = 203.0, 1000.0  # cd/m²
GAMMA = 2.4
TO_BT709 = np.array(
    [[1.6605, -0.5876, -0.0728], [-0.1246, 1.1329, -0.0083], [-0.0182, -0.1006, 1.1187]], np.float32
)
LUMA = np.array([0.2627, 0.6780, 0.0593], np.float32)


def standard_range(rgb: np.ndarray, transfer: int, primaries: int) -> np.ndarray:
    """uint16 (H, W, 3), 0…65535, as it is coded → uint8 (H, W, 3) of BT.709.

    transfer, primaries: numbers of ISO/IEC 23091-2; another transfer than PQ or HLG is a screen's.
    """
    light = _curve(transfer)[rgb]
    if transfer == HLG:
        light *= np.maximum(light @ LUMA, 1e-9)[..., None] ** np.float32(0.2) * (PEAK / WHITE)
    if primaries == BT2020_PRIMARIES:
        light = light @ TO_BT709.T
    shown: np.ndarray = light.clip(0, 1) ** np.float32(1 / GAMMA)
    return np.rint(255 * shown).astype(np.uint8)


@cache
def _curve(transfer: int) -> np.ndarray:
    """Code → light: float32 (65536,), 1 is white; in HLG of the scene, 1 is the brightest."""
    code = np.arange(1 << 16) / 65535
    if transfer == PQ:
        root = code ** (32 / 2523)
        light = (np.maximum(root - 0.8359375, 0) / (18.8515625 - 18.6875 * root)) ** (16384 / 2610)
        light *= 10_000 / WHITE
    elif transfer == HLG:
        bright = (np.exp((code - 0.55991073) / 0.17883277) + 0.28466892) / 12
        light = np.where(code <= 0.5, code**2 / 3, bright)
    else:
        light = code**GAMMA
    return light.astype(np.float32)
