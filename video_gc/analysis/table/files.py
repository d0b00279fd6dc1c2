"""The table as Markdown, CSV, LaTeX and JSON."""

import json
import math
import re
from dataclasses import asdict
from pathlib import Path

from tabulate import tabulate  # type: ignore[import-untyped]

from video_gc.analysis.table.columns import columns
from video_gc.analysis.table.predicted.matrix import MEANING, matrix, sentences
from video_gc.analysis.table.table import Row, Table
from video_gc.escape import readable
from video_gc.outputs import Outputs, write_csv, write_output

LATEX_SIGNS = {
    "\\": r"\textbackslash{}", "{": r"\{", "}": r"\}", "&": r"\&", "%": r"\%", "$": r"\$",
    "#": r"\#", "_": r"\_", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}",
    "<": r"\textless{}", ">": r"\textgreater{}", "|": r"\textbar{}",
    "±": r"$\pm$", "†": r"$^\dagger$", "–": "--", "−": "$-$", "×": r"$\times$", "·": r"$\cdot$",
    "Δ": r"$\Delta$", "²": "$^2$", "³": "$^3$", "→": r"$\to$", "≤": r"$\le$", "≥": r"$\ge$",
    "µ": r"$\mu$", "°": r"$^\circ$", "…": r"\ldots{}",
}  # fmt: skip
"""Characters that LaTeX would interpret, in any of its engines."""
COMMON = set("‘’“”‡•—")
"""Characters beyond Latin letters that plain LaTeX prints too."""
DASHES = re.compile(r"[-–](?=[-–])")
"""Before another hyphen: two would be printed as a dash."""
FILES = ("table.md", "table.csv", "table.tex", "table.json")


def check_free(out: Path, *others: str) -> None:
    """Raise FileExistsError if the table, or one of `others`, would replace a foreign file."""
    Outputs(out).check([*FILES, *others])


def write_files(table: Table, out: Path) -> list[Path]:
    """table.md, table.csv, table.tex and table.json in `out`; return their paths."""
    content = json.dumps(_finite(asdict(table)), indent=2, allow_nan=False)
    lines = [_numbers(row) for row in table.rows]
    header = list(dict.fromkeys(name for line in lines for name in line))
    rows = [[line.get(name) for name in header] for line in lines]
    return [
        write_output(out / "table.md", markdown(table)),
        write_csv(out / "table.csv", header, rows),
        write_output(out / "table.tex", latex(table)),
        write_output(out / "table.json", content),
    ]


def cells(table: Table) -> tuple[list[str], list[list[str]]]:
    """Headings, and the cells of each row, for all formats."""
    shown = columns(table)
    rows = [[row.name, *(column.text(row) for column in shown)] for row in table.rows]
    return ["", *(column.heading for column in shown)], rows


def markdown(table: Table) -> str:
    """A pipe table, the matrix, the outcomes and verdicts, the warnings and the notes."""
    parts = [f"# {_markdown(table.title)}", _pipe(*cells(table))]
    if (found := matrix(table.rows)) is not None:
        parts += [f"{MEANING}:", _pipe(*found.texts)]
    if said := sentences(table.rows):
        parts += ["\n".join(f"- {_markdown(line)}" for line in said)]
    if verdicts := [row.against.sentence for row in table.rows if row.against]:
        parts += ["\n".join(f"- {_markdown(line)}" for line in verdicts)]
    if table.warnings:
        parts += ["\n".join(f"- **Note:** {_markdown(line)}" for line in table.warnings)]
    parts += ["\n".join(f"- {name}: {_markdown(text)}" for name, text in table.notes.items())]
    return "\n\n".join(parts) + "\n"


def _pipe(heading: list[str], rows: list[list[str]]) -> str:
    return tabulate(
        [[_markdown(cell) for cell in row] for row in rows],
        [_markdown(cell) for cell in heading],
        tablefmt="pipe",
        disable_numparse=True,
        colalign=["left", *["right"] * (len(heading) - 1)],
    )


def latex(table: Table) -> str:
    r"""A booktabs tabular with the notes as comments; needs \usepackage{booktabs}."""
    heading, rows = cells(table)
    lines = [" & ".join(map(_latex, row)) + r" \\" for row in (heading, *rows)]
    written = "\n".join(
        [
            rf"\begin{{tabular}}{{l{'r' * (len(heading) - 1)}}}",
            *(r"\toprule", lines[0], r"\midrule", *lines[1:], r"\bottomrule"),
            r"\end{tabular}",
        ]
    )
    remarks = [f"{table.title}; needs \\usepackage{{booktabs}}", *table.warnings]
    remarks += [f"{name}: {text}" for name, text in table.notes.items()]
    if foreign := sorted({sign for sign in written if ord(sign) > 0x17F} - COMMON):
        remarks.insert(1, f"for {' '.join(foreign)}: lualatex or xelatex, and a font that has them")
    return "".join(f"% {_line(remark)}\n" for remark in remarks) + written + "\n"


def _numbers(row: Row) -> dict[str, object]:
    """Column → number, unrounded, for a spreadsheet or pandas."""
    line: dict[str, object] = {"row": row.name, "seeds": len(row.seeds), "planned": row.planned}
    line |= {"runs": " ".join(row.names)} if row.names else {}
    line |= {} if row.folds is None else {"folds": row.folds}
    for key, figure in row.figures.items():
        name = key.replace(" ", "_")
        line |= {f"{name}_percent": figure.mean, f"{name}_{figure.kind or 'sd'}": figure.error}
        if figure.interval is not None:
            line |= dict(zip((f"{name}_low", f"{name}_high"), figure.interval, strict=True))
    if row.optimistic:
        line |= {"on_validation_videos": True, "last_epoch_percent": row.last}
    if row.predicted:
        line |= {f"predicted_{name}": it for name, it in asdict(row.predicted).items()}
    if row.outcome:
        line |= {"mean_of_seeds_low": row.outcome.low, "mean_of_seeds_high": row.outcome.high}
        line |= {"outcome": row.outcome.word}
    if row.against:
        for name in ("difference", "low", "high", "p", "holm", "word"):
            line[name] = getattr(row.against, name)
    if row.costs:
        line |= {"parameters": row.costs.counted.parameters, "flops": row.costs.counted.flops}
    for mode, cost in (("test", row.test), ("train", row.train)):
        if cost:
            line |= {f"{mode}_seconds": cost.seconds, f"{mode}_peak_mib": cost.peak_mib}
            line |= {f"{mode}_seconds_lower": cost.time.lower}
            line |= {f"{mode}_seconds_upper": cost.time.upper}
    line |= {"trained_seconds": row.seconds, "fingerprint": row.fingerprint}
    if row.reported:
        line |= {f"reported_not_ours_{name}": it for name, it in asdict(row.reported).items()}
    return line


def _finite(value: object) -> object:
    """Infinity and NaN become null, because JSON has neither."""
    if isinstance(value, dict):
        return {name: _finite(each) for name, each in value.items()}
    if isinstance(value, list):
        return [_finite(each) for each in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _markdown(text: str) -> str:
    """Escape a name, so it cannot end a cell, begin HTML or set a style."""
    return re.sub(r"([\\|<*`\[\]])", r"\\\1", _line(text))


def _latex(text: str) -> str:
    """Escape a text, so LaTeX prints it and runs no command in it."""
    signs = (LATEX_SIGNS.get(sign, sign) for sign in DASHES.sub("\\g<0>\0", _line(text)))
    written = "".join(signs).replace("\0", "{}")
    # after the end of a row, LaTeX takes these characters for its arguments
    return re.sub(r"^([\[*])", r"{\1}", written)


def _line(text: str) -> str:
    return readable(" ".join(text.split()))
