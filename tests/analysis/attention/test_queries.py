import pytest

from video_gc.analysis.attention.queries import grid, parse_queries


def test_a_grid_stands_at_the_centres_of_its_cells() -> None:
    assert grid(1, 2, [0.1, 0.9]) == [
        (0.1, 0.5, 0.25), (0.1, 0.5, 0.75), (0.9, 0.5, 0.25), (0.9, 0.5, 0.75),
    ]  # fmt: skip


def test_queries_as_they_are_typed() -> None:
    assert parse_queries(["1x1@0.25", "0.5,0.125,0.75"]) == [(0.25, 0.5, 0.5), (0.5, 0.125, 0.75)]
    assert len(parse_queries(["2x3"])) == 6


@pytest.mark.parametrize("text", ["2y3", "0.5,0.5", "1,0.5,0.5", "a,b,c", "0x2", "5x5", "2x2@1.5"])
def test_what_is_no_query_is_said(text: str) -> None:
    with pytest.raises(ValueError, match="--queries"):
        parse_queries([text])
