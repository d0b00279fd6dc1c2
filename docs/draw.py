"""`python docs/draw.py` draws each context block as docs/drawings/KIND.svg, as described here."""

import re
from pathlib import Path

FOLDER = Path(__file__).parent / "drawings"
WIDTH, TRUNK, LEFT, BOX, STEP, CELL = 340, 30, 70, 30, 56, 11
COLOURS = {"context": "#cfe2f7", "transform": "#fde3c0", "fusion": "#d5ecd0"}
INK, FAINT = "#1b1f24", "#57606a"

Step = tuple[str, list[str], str]
"""Part of the framework, the boxes side by side, the shape behind them."""
WEIGHTED: Step = ("context", ["weighted mean of g(xⱼ)"], "C/r × P")
OUT: Step = ("transform", ["W_z: C/r → C, batch norm"], "C × P")
BOTTLENECK: Step = ("transform", ["C → C/r, LayerNorm, ReLU, → C"], "C")
BLOCKS: dict[str, tuple[list[Step], str, str]] = {
    "nl": ([("context", ["softmax over j of θ(xᵢ)ᵀ φ(xⱼ)"], "P × P"), WEIGHTED, OUT], "+", "query"),
    "snl": (
        [
            ("context", ["softmax over j of W_k xⱼ"], "1 × P"),
            ("context", ["weighted mean of xⱼ"], "C"),
            ("transform", ["W_v: C → C"], "C"),
        ],
        "+",
        "shared",
    ),
    "gc": (
        [
            ("context", ["softmax over j of W_k xⱼ"], "1 × P"),
            ("context", ["weighted mean of xⱼ"], "C"),
            BOTTLENECK,
        ],
        "+",
        "shared",
    ),
    "se": (
        [
            ("context", ["mean of xⱼ"], "C"),
            ("transform", ["C → C/r, ReLU, → C"], "C"),
            ("fusion", ["sigmoid"], "C, in 0…1"),
        ],
        "×",
        "uniform",
    ),
    "cc": (
        [("context", ["softmax over j on the lines of i"], "P × (T+H+W−2)"), WEIGHTED, OUT],
        "+",
        "lines",
    ),
    "dnl": (
        [
            ("context", ["softmax: whitened θᵀφ", "softmax: W_m xⱼ"], "P × P  and  1 × P, summed"),
            WEIGHTED,
            OUT,
        ],
        "+",
        "query",
    ),
}
"""Kind → its steps from x to the fusion, the fusion, and what a query weighs."""
MAPS = {
    "query": "weights of one query",
    "shared": "weights of all queries",
    "uniform": "weights of all queries",
    "lines": "weights of one query",
}


def text(x: float, y: float, words: str, size: int = 13, more: str = "") -> str:
    """Words at a place; `more` are further attributes."""
    ink = "" if "fill=" in more else f' fill="{INK}"'
    low = r'W<tspan dy="3" font-size="9">\1</tspan><tspan dy="-3">&#8203;</tspan>'
    words = re.sub(r"W_(\w)", low, words)
    return f'<text x="{x:g}" y="{y:g}" font-size="{size}"{ink}{more}>{words}</text>'


def weight(kind: str, row: int, column: int) -> float:
    """How dark a cell of the 5×5 map is; the query is in row 1, column 1."""
    if kind == "uniform":
        return 0.35
    if kind == "lines":
        return (0.8 if (row + column) % 2 else 0.45) if 1 in (row, column) else 0.0
    far = (row - 3) ** 2 + (column - 2) ** 2
    near = (row - 1) ** 2 + (column - 1) ** 2
    return max(0.06, 0.95 - 0.3 * far, (0.7 - 0.35 * near) if kind == "query" else 0)


def grid(kind: str) -> list[str]:
    """The map of weights, in the upper right corner."""
    left, top, drawn = WIDTH - 5 * CELL - 14, 12, []
    for row in range(5):
        for column in range(5):
            drawn.append(
                f'<rect x="{left + column * CELL}" y="{top + row * CELL}" width="{CELL}" '
                f'height="{CELL}" fill="#0b5cad" fill-opacity="{weight(kind, row, column):.2f}" '
                f'stroke="#9aa4ae" stroke-width=".5"/>'
            )
    if MAPS[kind].endswith("one query"):
        x, y = left + 1.5 * CELL, top + 1.5 * CELL
        drawn.append(f'<circle cx="{x}" cy="{y}" r="3" fill="#c62828"/>')
    end = f' fill="{FAINT}" text-anchor="end"'
    return [*drawn, text(left - 8, top + 33, MAPS[kind], 12, end)]


def draw(kind: str) -> str:
    """The SVG of a block: x on the left, what is computed from it on the right."""
    steps, fusion, seen = BLOCKS[kind]
    bottom = 84 + len(steps) * STEP
    height = bottom + 62
    drawn = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" '
        f'height="{height}" font-family="sans-serif" role="img">',
        '<defs><marker id="a" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" '
        f'orient="auto"><path d="M0 0 8 4 0 8z" fill="{INK}"/></marker></defs>',
        f'<rect width="{WIDTH}" height="{height}" rx="8" fill="#fff"/>',
        text(TRUNK - 6, 26, "x", 16, ' font-style="italic"'),
        text(TRUNK + 12, 26, "C × P", 12, f' fill="{FAINT}"'),
        *grid(seen),
    ]
    line = f'fill="none" stroke="{INK}" stroke-width="1.3"'
    arrow = f'{line} marker-end="url(#a)"'
    drawn.append(f'<path d="M{TRUNK} 34V{bottom - 10}" {arrow}/>')
    drawn.append(f'<path d="M{TRUNK} 56H{LEFT + 40}V{82}" {arrow}/>')
    for number, (part, boxes, shape) in enumerate(steps):
        top = 84 + number * STEP
        wide = (WIDTH - 14 - LEFT - 8 * (len(boxes) - 1)) / len(boxes)
        for place, words in enumerate(boxes):
            x = LEFT + place * (wide + 8)
            drawn.append(
                f'<rect x="{x:g}" y="{top}" width="{wide:g}" height="{BOX}" rx="5" '
                f'fill="{COLOURS[part]}" stroke="#8c959f" stroke-width=".7"/>'
            )
            size = 13 if len(boxes) == 1 else 11
            drawn.append(text(x + wide / 2, top + 20, words, size, ' text-anchor="middle"'))
        last = number == len(steps) - 1
        end = f"V{bottom + 4}H{TRUNK + 14}" if last else f"V{top + STEP - 2}"
        drawn.append(f'<path d="M{LEFT + 40} {top + BOX}{end}" {arrow}/>')
        drawn.append(text(LEFT + 50, top + BOX + 17, shape, 12, f' fill="{FAINT}"'))
    drawn += [
        f'<circle cx="{TRUNK}" cy="{bottom + 4}" r="12" fill="{COLOURS["fusion"]}" '
        f'stroke="{INK}" stroke-width="1.3"/>',
        text(TRUNK, bottom + 10, fusion, 17, ' text-anchor="middle"'),
        f'<path d="M{TRUNK} {bottom + 16}V{bottom + 38}" {arrow}/>',
        text(TRUNK + 12, bottom + 38, "C × P", 12, f' fill="{FAINT}"'),
    ]
    if kind == "cc":
        again = "repeat R times, with the same W"
        drawn.append(text(LEFT + 50, bottom + 38, again, 12, f' fill="{FAINT}"'))
    return "\n".join([*drawn, "</svg>", ""])


if __name__ == "__main__":
    FOLDER.mkdir(exist_ok=True)
    for name in BLOCKS:
        (FOLDER / f"{name}.svg").write_text(draw(name), encoding="utf-8")
