"""Each `video-gc …` line of README and docs names a command and options that there are."""

import io
import re
import runpy
import sys
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any

import pytest

from tests.docs.fences import PAGES, ROOT, commands
from video_gc.__main__ import COMMANDS
from video_gc.cli import Parser
from video_gc.manual import SWEEP, wrong_argument

SHOWN = {"NAME", "…", "--help", "--version", "|"}
OPEN = ("OPTIONS", "--help", "--multirun")
WRITTEN = ("ablation=mine", "context=frame_mix")
"""Choices of files that the reader of a page writes."""
README = [ROOT / "README.md", ROOT / "CONTRIBUTING.md"]


class Parsed(BaseException):
    """The command was understood."""


@pytest.fixture
def _parse_only(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("parse_args", "parse_intermixed_args"):
        parse = getattr(Parser, name)

        def stop(self: Parser, *given: Any, parse: Any = parse) -> None:
            parse(self, *given)
            raise Parsed

        monkeypatch.setattr(Parser, name, stop)
    monkeypatch.setattr(sys, "path", [str(ROOT / "tools"), *sys.path])


def wrong(words: list[str]) -> str | None:
    """What the command says to its options; None if it takes them."""
    command, *given = words
    if command in ("train", "ablate"):
        given = [word for word in given if word not in (*OPEN, *WRITTEN)]
        return wrong_argument(given, more=SWEEP if command == "ablate" else ())
    sys.argv[:] = [f"{command}.py", *given]
    said = io.StringIO()
    try:
        with redirect_stdout(said), redirect_stderr(said):
            runpy.run_path(str(ROOT / "tools" / f"{command}.py"), run_name="__main__")
    except Parsed:
        return None
    except SystemExit as done:
        return said.getvalue() if done.code else None
    return "did not parse its arguments"


@pytest.mark.usefixtures("_parse_only")
@pytest.mark.parametrize("page", [*PAGES, *README], ids=lambda page: page.stem)
def test_commands_are_understood(page: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", [])
    found = [words for words in commands(page) if words and words[0] not in SHOWN]
    assert {words[0] for words in found} <= COMMANDS.keys()
    quick = [words for words in found if words[0] != "benchmark"]
    assert {" ".join(words): said for words in quick if (said := wrong(words))} == {}


@pytest.mark.slow  # imports what it measures
@pytest.mark.usefixtures("_parse_only")
def test_benchmarks_are_understood(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", [])
    found = [words for page in PAGES for words in commands(page) if words[:1] == ["benchmark"]]
    assert len(found) > 4
    known = [words for words in found if words[1] != "NAME"]
    assert {" ".join(words): said for words in known if (said := wrong(words))} == {}


@pytest.mark.usefixtures("_parse_only")
def test_a_wrong_command_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", [])
    page = tmp_path / "page.md"
    page.write_text("```sh\nvideo-gc test RUN \\\n    --clip 3   # no such option\n```\n")
    assert list(commands(page)) == [["test", "RUN", "--clip", "3"]]
    assert "did you mean --clips?" in str(wrong(["test", "RUN", "--clip", "3"]))
    assert "did you mean 'optim.lr'" in str(wrong(["train", "optim.lrr=1"]))


def test_commands_in_sentences_exist() -> None:
    for page in (*PAGES, *README):
        named = re.findall(r"`video-gc ([a-z]+)", page.read_text("utf-8"))
        assert set(named) <= COMMANDS.keys(), page
