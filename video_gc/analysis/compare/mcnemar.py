"""McNemar's test: do two networks that were tested on the same videos differ?

Only videos that one of them gets right and the other wrong say anything; if neither is better, each
of these is a coin toss. The mid-p value is used: the exact one is too careful (its error rate lies
far below what it promises), the mid-p one kept its promise in all 9595 cases of Fagerland, Lydersen
and Laake, BMC Medical Research Methodology 13:91, 2013.
"""

import math
from dataclasses import dataclass


@dataclass(frozen=True)
class McNemar:
    """Both p-values, two-sided."""

    mid_p: float
    exact: float


def mcnemar(wins: int, losses: int) -> McNemar:
    """wins: videos that only B gets right; losses: videos that only A gets right."""
    trials, fewer = wins + losses, min(wins, losses)
    at_fewer = _coin_tosses(trials, fewer)
    one_sided = math.fsum(_coin_tosses(trials, heads) for heads in range(fewer + 1))
    exact = min(1.0, 2 * one_sided)
    # with equal counts both tails hold the middle, of which each may have half
    mid_p = 1 - at_fewer / 2 if wins == losses else 2 * one_sided - at_fewer
    return McNemar(mid_p if trials else 1.0, exact)


def _coin_tosses(trials: int, heads: int) -> float:
    """The probability of this many heads; by logarithms, as 2^trials overflows."""
    choices = math.lgamma(trials + 1) - math.lgamma(heads + 1) - math.lgamma(trials - heads + 1)
    return math.exp(choices - trials * math.log(2))
