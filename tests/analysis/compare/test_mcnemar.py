from fractions import Fraction
from math import comb

import pytest

from video_gc.analysis.compare.mcnemar import mcnemar


@pytest.mark.parametrize(
    ("wins", "losses", "exact", "mid_p"),
    [
        (7, 1, 0.0703, 0.0391),  # airway hyper-responsiveness in 21 children: Fagerland et al.,
        (1, 7, 0.0703, 0.0391),  # BMC Med. Res. Methodol. 13:91, 2013, table 1
        (6, 16, 0.0525, 0.0347),
        (0, 0, 1, 1),
        (1, 0, 1, 0.5),
        (1, 1, 1, 0.75),
    ],
)
def test_published_and_closed_form(wins: int, losses: int, exact: float, mid_p: float) -> None:
    found = mcnemar(wins, losses)
    assert found.exact == pytest.approx(exact, abs=5e-5)
    assert found.mid_p == pytest.approx(mid_p, abs=5e-5)


def test_every_small_table_by_enumeration() -> None:
    """A result counts as extreme as seen when it is at most as probable; mid-p halves equals."""
    for trials in range(1, 13):
        share = [Fraction(comb(trials, heads), 2**trials) for heads in range(trials + 1)]
        for wins in range(trials + 1):
            seen = share[wins]
            exact = sum(each for each in share if each <= seen)
            mid_p = exact - sum(each for each in share if each == seen) / 2
            found = mcnemar(wins, trials - wins)
            assert found.exact == pytest.approx(float(exact))
            assert found.mid_p == pytest.approx(float(mid_p))


def test_thousands_of_videos_do_not_overflow() -> None:
    """The normal limit: z² = (b - c)² / (b + c) = 4.273, p = 0.0387."""
    assert mcnemar(3000, 2842).mid_p == pytest.approx(0.03872, abs=2e-5)
