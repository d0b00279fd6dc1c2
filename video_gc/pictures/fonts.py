"""Names in any script in pictures: fonts of the system that have their characters, else ASCII.

matplotlib draws each character in the first font of a list that has it, and shapes the text (since
3.11), so that Arabic joins and runs from right to left. Its own DejaVu Sans has Latin, Greek,
Cyrillic, Arabic, Hebrew and more. It draws no colour fonts, which most emoji fonts are. A character
without a font becomes the sound or the name that anyascii gives it, as in PaoBu or :soccer:; a code
such as U+8DD1, or the number of a class, says nothing to a reader.
"""

import unicodedata
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import replace
from functools import cache, lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import matplotlib as mpl
import numpy as np
from anyascii import anyascii
from matplotlib import font_manager
from matplotlib.ft2font import FaceFlags, FT2Font

from video_gc.escape import LEFT_TO_RIGHT, runs_left

BASE = "DejaVu Sans"
"""The font that is always there."""
JOINER = "\u200d"
HIDDEN = frozenset({"\u200c", JOINER, LEFT_TO_RIGHT, "\u200f", *map(chr, range(0xFE00, 0xFE10))})
"""Characters that are never drawn, so no font needs them."""
TONES = frozenset(map(chr, range(0x1F3FB, 0x1F400)))
"""Skin colours, which follow an emoji."""

SILENT = {"Mn", "Mc", "Me", "Lm", "Sk", "Cf"}
"""Categories of marks: one that has no ASCII is left out."""


class Font(NamedTuple):
    """A face of a font file."""

    name: str
    entry: Any
    """matplotlib's FontEntry"""
    codes: np.ndarray
    """the characters that it has, ascending"""


class Legible(NamedTuple):
    """A text that can be drawn in the BASE font and `fonts`."""

    text: str
    fonts: tuple[Font, ...]


@lru_cache(4096)
def legible(text: str) -> Legible:
    """The text with the fonts of the system that it needs; ASCII for what no font has.

    The fonts are read when a text has a character that BASE lacks, once a process.
    """
    if text.isascii():
        return Legible(text, ())
    clusters = _clusters(unicodedata.normalize("NFC", text))
    left = {cluster for cluster in clusters if not _base().issuperset(set(cluster) - HIDDEN)}
    fonts: list[Font] = []
    while left and (found := _best_font(left)):
        fonts.append(found[0])
        left -= found[1]
    shown = (_in_ascii(cluster) if cluster in left else cluster for cluster in clusters)
    text = "".join(shown)
    if runs_left(text):
        text = LEFT_TO_RIGHT + text  # the line as a whole runs as our words do, as in a page
    return Legible(text, tuple(fonts))


def families(fonts: Iterable[Font]) -> list[str]:
    """Names for matplotlib's `family`; each stands for the very face that was read."""
    return [BASE, *(_registered(font.name) for font in fonts)]


def font_files(fonts: Iterable[Font], *, bold: bool = False) -> list[Any]:
    """Paths for matplotlib's `get_font`. bold: only BASE is."""
    base = font_manager.findfont(f"{BASE}{':bold' if bold else ''}")
    return [base, *(font_manager.FontPath(f.entry.fname, f.entry.index) for f in fonts)]


def _clusters(text: str) -> list[str]:
    """The characters with the marks that follow them: one font must have all of a cluster."""
    found: list[str] = []
    for one in text:
        joins = one in HIDDEN | TONES or unicodedata.category(one).startswith("M")
        if found and (joins or found[-1].endswith(JOINER)):
            found[-1] += one
        else:
            found.append(one)
    return found


def _best_font(clusters: set[str]) -> tuple[Font, set[str]] | None:
    """The font that has the most of the clusters, and those; None if no font has one."""
    needed = {cluster: np.array([ord(c) for c in set(cluster) - HIDDEN]) for cluster in clusters}
    most: tuple[Font, set[str]] | None = None
    for font in system_fonts().values():
        has = {cluster for cluster, codes in needed.items() if _has(font, codes)}
        if has and (most is None or len(has) > len(most[1])):
            most = font, has
    return most


def _has(font: Font, codes: np.ndarray) -> bool:
    places = np.searchsorted(font.codes, codes).clip(max=len(font.codes) - 1)
    return bool((font.codes[places] == codes).all())


def _in_ascii(cluster: str) -> str:
    """Every character that BASE has stays, marks go."""
    return "".join(one if one in _base() else _sound(one) for one in cluster if one not in HIDDEN)


def _sound(one: str) -> str:
    silent = unicodedata.category(one) in SILENT
    return anyascii(one) or ("" if silent else f"U+{ord(one):04X}")


@cache
def _base() -> frozenset[str]:
    """The characters of BASE, in both weights."""
    each = (FT2Font(font_manager.findfont(f"{BASE}{weight}")) for weight in ("", ":bold"))
    return frozenset.intersection(*(frozenset(map(chr, font.get_charmap())) for font in each))


@cache
def system_fonts() -> dict[str, Font]:
    """The fonts of the system that matplotlib draws, a regular face of each; sans before others.

    Those installed since matplotlib made its list are added to it. matplotlib's own are left out:
    they are for formulas, and its last resort has boxes.
    """
    manager = font_manager.fontManager
    known = {entry.fname for entry in manager.ttflist}
    for file in set(font_manager.findSystemFonts()) - known:
        with suppress(Exception):  # a file can be anything
            manager.addfont(file)
    own = Path(mpl.get_data_path())
    usual = sorted(
        (entry for entry in manager.ttflist if own not in Path(entry.fname).parents),
        key=lambda e: (e.style != "normal", e.weight != 400, e.stretch != "normal", e.fname),
    )
    first = {entry.name: entry for entry in reversed(usual)}
    found = {}
    for name in sorted(first, key=lambda name: ("Sans" not in name, "Mono" in name, name)):
        with suppress(Exception):  # as above, or it was removed
            font = FT2Font(first[name].fname, face_index=first[name].index)
            codes = np.array(sorted(font.get_charmap()), np.int64)
            drawn = not font.face_flags & FaceFlags.COLOR and "LastResort" not in name
            if drawn and len(codes):
                found[name] = Font(name, first[name], codes)
    return found


@cache
def _registered(name: str) -> str:
    """A family of this face alone, in both weights: matplotlib logs a missing weight."""
    alone = f"{name} of video_gc"
    for weight in (400, 700):
        entry = replace(system_fonts()[name].entry, name=alone, weight=weight)
        font_manager.fontManager.ttflist.append(entry)
    return alone
