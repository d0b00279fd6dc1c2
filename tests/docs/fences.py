"""The fences of the pages, and the commands in them."""

import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[2]
PAGES = sorted((ROOT / "docs").glob("*.md"))
FENCE = re.compile(r"^( *)```(\w*)( runs)?\n(.*?)^\1```$", re.M | re.S)
ENDS = {"|", "||", "&", "&&", ";", ">", ">>", "2>", "<", ")", ":::"}


class Fence(NamedTuple):
    language: str
    runs: bool
    """marked: the test runs it; others are only shown"""
    text: str


def fences(page: Path) -> list[Fence]:
    found = FENCE.findall(page.read_text("utf-8"))
    return [Fence(language, bool(runs), text) for _, language, runs, text in found]


def commands(page: Path) -> Iterator[list[str]]:
    """The words after `video-gc` of each command in the shell fences of a page."""
    for fence in fences(page):
        if fence.language != "sh":
            continue
        for line in fence.text.replace("\\\n", " ").splitlines():
            words = re.split(
                r"(?<!\S)(?:video-gc|-m video_gc)(?=\s|$)", without_variables(line), maxsplit=1
            )
            if len(words) == 2 and not line.lstrip().startswith("#"):
                yield first_command(words[1])


def without_variables(line: str) -> str:
    return re.sub(r"\$\(.*?\)|\$\{.*?\}|\$\w+|\{\}", "0", line)


def first_command(text: str) -> list[str]:
    lexer = shlex.shlex(text, posix=True, punctuation_chars="|&;<>")
    lexer.whitespace_split = True
    found = []
    for word in lexer:
        if word in ENDS:
            break
        found.append(word)
    return found
