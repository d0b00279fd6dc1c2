"""What a tool says when it is called wrongly."""

import pytest

from video_gc.cli import Parser


@pytest.mark.parametrize("typed", ["precision=bf16", "test.precision=bf16"])
def test_an_option_of_train_is_translated(typed: str) -> None:
    parser = Parser(prog="test.py")
    parser.add_argument("--precision")
    with pytest.raises(ValueError, match=r"\(here it is written --precision bf16\); see test.py"):
        parser.parse_args([typed])


def test_an_option_that_no_tool_has_is_not() -> None:
    parser = Parser(prog="test.py")
    parser.add_argument("--precision")
    with pytest.raises(
        ValueError, match=r"unrecognized arguments: precise=bf16; see test.py --help"
    ):
        parser.parse_args(["precise=bf16"])
