"""What the site makes at each build: help of commands, formulas as MathML, docstrings as text."""

import io
import os
import re
import runpy
import sys
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

from docutils import nodes
from docutils.utils.math.latex2mathml import tex2mathml
from sphinx.application import Sphinx
from sphinx.errors import ExtensionError

from video_gc.__main__ import COMMANDS
from video_gc.manual import choices, options, usual_values, written
from video_gc.shipped import shipped

LOADING = re.compile(r"<(?:script|link|img|iframe|source)\b[^>]*>")
PARAMETER = re.compile(r"( *)([a-z_]\w*(?:, [a-z_]\w*)*): (.*)")


def help_of(command: str, *inner: str) -> str:
    """What `video-gc COMMAND … --help` prints."""
    argv, path, text = sys.argv, list(sys.path), io.StringIO()
    sys.argv = [f"{command}.py", *inner, "--help"]
    sys.path.insert(0, str(shipped("tools")))
    try:
        with redirect_stdout(text):
            runpy.run_path(str(shipped("tools") / f"{command}.py"), run_name="__main__")
    except SystemExit as done:
        if done.code:
            raise RuntimeError(f"video-gc {command} --help: exit status {done.code}") from done
    finally:
        sys.argv, sys.path[:] = argv, path
    return text.getvalue()


def commands() -> str:
    """All commands but train, whose options have a page of their own, in Markdown."""
    parts = []
    for command, what in COMMANDS.items():
        if command == "train":
            continue
        text = help_of(command)
        parts.append(f"## {command}\n\n{what[0].upper()}{what[1:]}.\n\n```text\n{text}```\n")
        jobs = text.partition("positional arguments:\n")[2].partition("\n\n")[0]
        for job in re.findall(r"^    (\w+)(?=  |$)", jobs, re.M):
            parts.append(f"### {command} {job}\n\n```text\n{help_of(command, job)}```\n")
    return "\n".join(parts)


def training_options() -> str:
    """The groups of files and every option of a training, in Markdown."""
    values, parts = usual_values(), ["| group | files |\n|---|---|"]
    for group, files in choices().items():
        parts.append(f"| `{group}=` | {', '.join(f'`{file}`' for file in files)} |")
    head = "\n## {}\n\n{}\n\n| option | value | meaning |\n|---|---|---|"
    parts.append(head.format("The training", "Options without a group."))
    for option in options():
        if option.group:
            parts.append(head.format(f"`{option.name}`", plain(option.meaning)))
        else:
            value = written(values[option.name]).replace("|", r"\|")
            parts.append(f"| `{option.name}` | `{value}` | {plain(option.meaning)} |")
    return "\n".join(parts)


def plain(text: str) -> str:
    """Markdown of a docstring's line: what looks like markup is text, but for `code`."""
    pieces = text.split("`")
    pieces[::2] = [re.sub(r"([*_<>|\[\]$])", r"\\\1", piece) for piece in pieces[::2]]
    return "`".join(pieces)


FILLED = {"<!-- commands -->": commands, "<!-- options -->": training_options}
"""A mark in a page → the text that takes its place."""


def fill(app: Sphinx, name: str, source: list[str]) -> None:
    """Put generated text into the pages that ask for it."""
    for mark, make in FILLED.items():
        if mark in source[0]:
            source[0] = source[0].replace(mark, make())


def as_rst(app: Sphinx, what: str, name: str, of: object, given: object, lines: list[str]) -> None:
    """Our docstrings are plain text with `code`, lines `parameter: meaning`, and examples."""
    out: list[str] = []
    first = listed = -1  # indentation of the paragraph, and of its last parameter
    example = False
    for line in lines:
        indent, found = len(line) - len(line.lstrip()), PARAMETER.fullmatch(line)
        if not line.strip():
            first = listed = -1
            example = False
        elif example or line.lstrip().startswith(">>>"):
            example = True
            out.append(line)
            continue
        elif found and (first < 0 or indent <= first or listed >= 0):
            out += [""] * (first >= 0 and listed < 0)
            first, listed = (indent if first < 0 else first), indent
            line = f"{' ' * indent}* `{found[2]}`: {found[3]}"
        elif listed >= 0 and indent > listed:
            line = " " * (listed + 2) + line.strip()
        else:
            out += [""] * (listed >= 0)
            first, listed = (indent if first < 0 else min(first, indent)), -1
            line = " " * first + line.strip()
        pieces = line.split("`")
        start = 1 if pieces[0].strip() == "*" else 0  # the bullet
        pieces[2 * start :: 2] = [re.sub(r"([*|]|_\b)", r"\\\1", p) for p in pieces[2 * start :: 2]]
        out.append("``".join(pieces))
    lines[:] = out


def check_offline(app: Sphinx, failed: Exception | None) -> None:
    """Refuse a page that loads anything from elsewhere."""
    for page in () if failed else Path(app.outdir).rglob("*.html"):
        for tag in re.findall(
            r"<(?:script|link|img|iframe|source)\b[^>]*>", page.read_text("utf-8")
        ):
            if re.search(r"""(?:src|href)=["'](?:https?:)?//""", tag):
                raise ExtensionError(f"{page}: loads from elsewhere: {tag}")


def inline_math(self: Any, node: nodes.math) -> None:
    """A formula in a line."""
    self.body.append(tex2mathml(node.astext()))
    raise nodes.SkipNode


def block_math(self: Any, node: nodes.math_block) -> None:
    """A formula between paragraphs."""
    self.body.append(tex2mathml(node.astext(), as_block=True))
    raise nodes.SkipNode


def setup(app: Sphinx) -> dict[str, bool]:
    """Sphinx calls this."""
    os.environ["COLUMNS"] = "88"  # of the help
    app.add_html_math_renderer("mathml", (inline_math, None), (block_math, None))
    app.connect("source-read", fill)
    app.connect("build-finished", check_offline)
    app.connect("autodoc-process-docstring", as_rst)
    return {"parallel_read_safe": False}
