"""The messages of docs/errors.md are those of the source."""

import ast
import re
from collections.abc import Iterator

import pytest

from tests.docs.fences import ROOT

PAGE = (ROOT / "docs" / "errors.md").read_text("utf-8")
ROWS = re.findall(r"^\| (?!it says|exit status)(\D.*?) \| .* \|$", PAGE, re.MULTILINE)
VARIES = re.compile(r"…|'[^']*'|\bN\b|[A-Z]+=\w+")
"""What stands for a value in a message of the page."""


def literals() -> Iterator[str]:
    """Every text of the source, with … for what is put into it."""
    for folder in ("video_gc", "tools"):
        for file in (ROOT / folder).rglob("*.py"):
            nodes = list(ast.walk(ast.parse(file.read_text("utf-8"))))
            explains = {id(node.value) for node in nodes if isinstance(node, ast.Expr)}
            for node in nodes:
                if id(node) in explains:
                    continue
                if isinstance(node, ast.JoinedStr):
                    parts = [
                        part.value if isinstance(part, ast.Constant) else "…"
                        for part in node.values
                    ]
                    yield "".join(map(str, parts))
                elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                    yield node.value


def test_there_are_rows() -> None:
    assert len(ROWS) > 15


@pytest.fixture(scope="module")
def source() -> str:
    return "\n".join(literals())


@pytest.mark.parametrize("row", ROWS)
def test_a_message_of_the_page_is_one_of_ours(row: str, source: str) -> None:
    messages = re.findall(r"`([^`]+)`", row)
    assert messages
    for message in messages:
        fragments = [part.strip(" ;:,()?") for part in VARIES.split(message)]
        assert max(map(len, fragments)) > 3, message
        for fragment in filter(None, fragments):
            assert fragment in source, fragment
