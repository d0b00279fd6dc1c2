"""Names in any script are legible in pictures, with and without fonts for them."""

import warnings
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from fontTools.fontBuilder import FontBuilder
from fontTools.pens.ttGlyphPen import TTGlyphPen
from hypothesis import given
from hypothesis import strategies as st
from matplotlib import font_manager
from matplotlib.figure import Figure
from PIL import Image

from video_gc.escape import LEFT_TO_RIGHT, readable
from video_gc.pictures import fonts
from video_gc.pictures.figures import save_picture, svg
from video_gc.pictures.fonts import legible
from video_gc.pictures.letters import text_width, write

NAMES = {
    "Chinese": ("跑步", "PaoBu"),
    "Japanese": ("バスケ", "basuke"),
    "Korean": ("달리기", "DalLiGi"),
    "Devanagari": ("दौड़ना", "daud'na"),
    "Thai": ("วิ่ง", "wing"),
    "emoji": ("⚽ 🤸🏽", ":soccer: :person_doing_cartwheel:"),
    "private": ("\ue000a", "U+E000a"),
}
"""A name in each script that DejaVu Sans lacks, and without a font for it."""
IN_DEJAVU = ["run", "Müller", "бег", "τρέχω", "الجري السريع", "רץ", "می\u200cدود", "♀\ufe0f", "−…×"]


def tiny_font(file: Path, characters: str, name: str) -> None:
    """A font in which each character is a full square."""
    pen = TTGlyphPen(None)
    pen.moveTo((100, 0))
    for corner in ((900, 0), (900, 800), (100, 800)):
        pen.lineTo(corner)
    pen.closePath()
    square = pen.glyph()
    glyphs = [".notdef", *(f"u{ord(one):X}" for one in characters)]
    builder = FontBuilder(1000)
    builder.setupGlyphOrder(glyphs)
    builder.setupCharacterMap({ord(one): f"u{ord(one):X}" for one in characters})
    builder.setupGlyf(dict.fromkeys(glyphs, square))
    builder.setupHorizontalMetrics(dict.fromkeys(glyphs, (1000, 100)))
    builder.setupHorizontalHeader(ascent=900, descent=-200)
    builder.setupNameTable({"familyName": name, "styleName": "Regular"})
    builder.setupOS2(usWeightClass=500)  # as in WenQuanYi Zen Hei
    builder.setupPost()
    builder.save(file)


def only(files: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """The system has these fonts, and matplotlib's list does not know them yet."""
    manager = font_manager.fontManager
    own = [entry for entry in manager.ttflist if "mpl-data" in Path(entry.fname).parts]
    monkeypatch.setattr(manager, "ttflist", own)
    monkeypatch.setattr(font_manager, "findSystemFonts", lambda: files)


@pytest.fixture(autouse=True)
def _caches() -> Iterator[None]:
    def clear() -> None:
        for cached in (legible, fonts.system_fonts, fonts._registered):
            cached.cache_clear()

    clear()
    yield
    clear()


@pytest.fixture
def no_fonts(monkeypatch: pytest.MonkeyPatch) -> None:
    only([], monkeypatch)


@pytest.fixture
def tiny_fonts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One font for Chinese, one for the rest, a damaged file."""
    others = set("".join(name for name, _ in NAMES.values())) - set("a ")
    tiny_font(tmp_path / "c.ttf", "跑步", "Tiny C")
    tiny_font(tmp_path / "o.ttf", "".join(sorted(others - set("跑步"))), "Tiny O")
    (tmp_path / "bad.ttf").write_bytes(b"no font")
    only([str(file) for file in tmp_path.glob("*.ttf")], monkeypatch)


def drawn(names: list[str], file: Path) -> list[str]:
    """The texts of a picture that has the names at all usual places."""
    figure = Figure(figsize=(6, 3), layout="constrained")
    axes = figure.subplots()
    axes.set_yticks(range(len(names)), names, parse_math=False)
    axes.set_title(" ".join(names), weight="bold", parse_math=False)
    axes.plot([0, 1], label=names[0])
    axes.legend()
    figure.text(0, 0, names[-1], parse_math=False)
    save_picture(figure, file)
    labels = [label.get_text() for label in axes.get_yticklabels()]
    return [*labels, axes.get_title(), axes.get_legend().texts[0].get_text()]


@pytest.mark.parametrize("name", IN_DEJAVU)
def test_a_name_in_dejavu_costs_no_look_for_fonts(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def scan() -> None:
        raise AssertionError("the fonts of the system were read")

    monkeypatch.setattr(fonts, "system_fonts", scan)
    assert legible(name).text.removeprefix(LEFT_TO_RIGHT) == name
    assert legible(name).fonts == ()
    write(Image.new("RGB", (90, 20)), (0, 0), name, 12, (255, 255, 255), bold=True)


@pytest.mark.usefixtures("no_fonts")
def test_without_a_font_names_are_ascii(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    names, said = zip(*NAMES.values(), strict=True)
    assert [legible(name).text for name in names] == list(said)
    assert drawn(list(names), tmp_path / "a.png") == [*said, " ".join(said), said[0]]
    assert not caplog.records


@pytest.mark.usefixtures("tiny_fonts")
def test_with_fonts_names_stay_as_they_are(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    names = [name for name, _ in NAMES.values() if "\ue000" not in name]
    whole = " ".join(names)
    assert drawn(names, tmp_path / "a.png") == [*names, whole, names[0]]
    assert [font.name for font in legible(whole).fonts] == ["Tiny O", "Tiny C"]
    assert not caplog.records  # matplotlib logs families and weights that it lacks


@pytest.mark.usefixtures("tiny_fonts")
def test_letters_come_from_the_font(tmp_path: Path) -> None:
    """The squares of the font are as wide and high as it says, beside letters of DejaVu Sans."""
    assert text_width("跑步跑步", 20) == pytest.approx(4 * 20, abs=5)
    picture = Image.new("RGB", (200, 60), (255, 255, 255))
    write(picture, (190, 10), "跑", 40, (0, 0, 0), align=1)
    dark = np.argwhere(np.asarray(picture)[..., 0] < 128)
    height, width = np.ptp(dark, axis=0) + 1
    assert (height, width) == (32, 32)
    assert dark[:, 1].max() == pytest.approx(190 - 4, abs=1)  # its advance has 4 more pixels
    top = 10 + 40 * 0.928 - 32  # the line's top, DejaVu's ascent, the square on the base line
    assert dark[:, 0].min() == pytest.approx(top, abs=1)


@pytest.mark.parametrize("system", ["no_fonts", "tiny_fonts"])
def test_no_text_has_a_missing_glyph(system: str, request: pytest.FixtureRequest) -> None:
    request.getfixturevalue(system)
    pieces = ["a", " ", "é", "e\u0301", "\u0301", "\u200d", "\ufe0f", "🏽", "漢", "跑", "字", "ー"]
    pieces += [*"".join(name for name, _ in NAMES.values()), "\u1103\u1161", "س", "$", "\u0378"]

    @given(st.lists(st.one_of(st.sampled_from(pieces), st.characters(exclude_categories=["Cs"]))))
    def check(found: list[str]) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            text_width(readable("".join(found)), 12, bold=True)

    check()


@pytest.mark.usefixtures("no_fonts")
def test_a_page_has_the_names_as_text() -> None:
    figure = Figure(figsize=(6, 3), layout="constrained")
    axes = figure.subplots()
    names = [*(name for name, _ in NAMES.values()), "<script>&amp;"]
    axes.set_yticks(range(len(names)), names, parse_math=False)
    page = svg(figure, "a")
    assert all(f">{name}</text>" in page for name in names[:-1])
    assert ">&lt;script&gt;&amp;amp;</text>" in page
    assert "<script" not in page
