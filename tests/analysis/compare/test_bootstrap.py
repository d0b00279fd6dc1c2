import numpy as np
import pytest
import torch

from tests.conftest import slow
from video_gc.analysis.compare.bootstrap import (
    accuracy_figures,
    differences,
    precision_figures,
    t_quantile,
)
from video_gc.evaluate.metrics import accuracy, precision


def draw(videos: int, runs: int, classes: int = 4) -> tuple[np.ndarray, ...]:
    """Class numbers, and what is right first and among the first five in each run."""
    random = np.random.default_rng(3)
    first = random.random((runs, videos)) < 0.6
    return random.integers(0, classes, videos), first, first | (random.random(first.shape) < 0.5)


def test_figures_of_a_resample_are_those_of_the_videos_that_were_drawn() -> None:
    """Beside the metrics of `evaluate`, over the rows repeated as often as they were drawn."""
    random = np.random.default_rng(0)
    classes, first, _ = draw(30, 2, classes=12)  # so many that some are not drawn
    scores = torch.zeros(30, 12)
    for row, label in enumerate(classes):
        scores[row, label if first[0, row] else (label + 1) % 12] = 1
    figures, sizes = accuracy_figures(classes, first, first)
    assert sizes.sum() == 30
    assert len(sizes) < 30  # alike videos are drawn as one kind
    kinds = np.unique(np.column_stack([classes, first.T, first.T]), axis=0)
    rows_of = [
        np.flatnonzero((np.column_stack([classes, first.T, first.T]) == kind).all(1))
        for kind in kinds
    ]
    for _ in range(20):
        counts = random.multinomial(30, sizes / 30)
        rows = np.concatenate([np.resize(rows, n) for rows, n in zip(rows_of, counts, strict=True)])
        expected = accuracy(scores[rows], torch.from_numpy(classes[rows]))
        found = figures(counts[None])[:, 0, 0]
        assert found == pytest.approx([expected.top1, expected.top1, expected.mean_class])


def test_map_of_a_resample_is_that_of_the_videos_that_were_drawn() -> None:
    random = np.random.default_rng(1)
    hot = (random.random((25, 6)) < 0.3).astype(np.int8)
    hot[:, 5] = 0  # a class that nothing has
    scores = random.random((25, 6)).round(1).astype(np.float32)  # with ties
    figures, sizes = precision_figures(hot, [scores])
    for _ in range(20):
        counts = random.multinomial(25, sizes / 25)
        rows = np.repeat(np.arange(25), counts)
        expected = precision(torch.from_numpy(scores[rows]), torch.from_numpy(hot[rows]))
        assert figures(counts[None])[0, 0, 0] == pytest.approx(expected.mAP, abs=1e-6)


def test_the_standard_error_has_a_closed_form() -> None:
    classes, first, five = draw(400, 2)
    figures, sizes = accuracy_figures(classes, first, five)
    (top1, *_), drawn = differences(figures, sizes, (1, 1))
    gain = 100 * (first[1].astype(float) - first[0])
    assert top1.difference == pytest.approx(gain.mean())
    assert top1.error == pytest.approx(gain.std() / 20, rel=0.03)
    assert drawn[0].mean() == pytest.approx(gain.mean(), abs=4 * top1.error / 100)
    half = 1.966 * gain.std() / 20  # Student's t with 399 degrees of freedom
    assert top1.high == pytest.approx(gain.mean() + half, rel=0.04)
    assert top1.low == pytest.approx(gain.mean() - half, rel=0.04)
    assert top1.detectable == pytest.approx((1.966 + 0.842) * top1.error, rel=0.01)


def test_beside_a_naive_double_loop() -> None:
    """The spread of mean class accuracy, which has no closed form, of two runs against one."""
    classes, first, five = draw(60, 3, classes=3)
    figures, sizes = accuracy_figures(classes, first, five)
    _, drawn = differences(figures, sizes, (2, 1))
    random = np.random.default_rng(9)
    naive = []
    for _ in range(2000):
        rows = random.integers(0, 60, 60)
        chosen = random.integers(0, 2)  # of two runs of A, one fewer is drawn
        each = []
        for run in (chosen, 2):
            right = [first[run, rows[classes[rows] == c]] for c in np.unique(classes[rows])]
            each.append(np.mean([some.mean() for some in right]))
        naive.append(100 * (each[1] - each[0]))
    assert drawn[2].std() == pytest.approx(np.std(naive), rel=0.06)


def test_the_same_seed_draws_the_same() -> None:
    classes, first, five = draw(50, 2)
    figures, sizes = accuracy_figures(classes, first, five)
    one, other, another = (
        differences(figures, sizes, (1, 1), resamples=200, seed=seed)[1] for seed in (0, 0, 1)
    )
    assert (one == other).all()
    assert (one != another).any()


@pytest.mark.parametrize(
    ("runs", "spread", "least", "most"),
    [
        (1, 0.0, 0.925, 0.975),
        slow(3, 0.3, 0.93, 0.985),
    ],
)
def test_the_interval_covers_what_it_says(
    runs: int, spread: float, least: float, most: float
) -> None:
    """Of simulated tests the interval holds the true difference in 95 of 100 (400 simulated).

    Videos differ in difficulty; with three trainings a side, trainings differ in skill, too.
    """
    random = np.random.default_rng(0)

    def simulate(videos: int, sides: np.ndarray) -> np.ndarray:
        hard = random.normal(0, 1.5, videos)
        skill = sides + random.normal(0, spread, len(sides))
        return random.random((len(sides), videos)) < 1 / (1 + np.exp(hard - skill[:, None]))

    sides = np.repeat([0.5, 0.9], runs)
    many = np.concatenate([simulate(2000, np.array([0.5, 0.9])) for _ in range(200)], axis=1)
    truth = 100 * (many[1].mean() - many[0].mean())
    covered, variances, seen = [], [], []
    for number in range(400):
        right = simulate(120, sides)
        figures, sizes = accuracy_figures(np.zeros(120), right, right)
        found = differences(figures, sizes, (runs, runs), resamples=400, seed=number)[0][0]
        covered.append(found.low <= truth <= found.high)
        variances.append(found.error**2)
        seen.append(found.difference)
    assert np.mean(variances) == pytest.approx(np.var(seen), rel=0.2)
    assert least <= np.mean(covered) <= most


def test_no_spread_is_no_certainty() -> None:
    """Two networks that are right on the same 300 videos: up to 1 % of others may differ."""
    right = np.ones((2, 300), bool)
    figures, sizes = accuracy_figures(np.zeros(300), right, right)
    found = differences(figures, sizes, (1, 1), resamples=50)[0][0]
    assert (found.low, found.high) == pytest.approx((-1, 1))
    assert not found.sure


def test_one_video_shows_nothing() -> None:
    right = np.array([[False], [True]])
    figures, sizes = accuracy_figures(np.zeros(1), right, right)
    found = differences(figures, sizes, (1, 1), resamples=50)[0][0]
    assert found.difference == 100
    assert not found.sure
    assert found.detectable == 100


@pytest.mark.parametrize(
    ("freedom", "expected"), [(1, 12.706), (4, 2.776), (25, 2.060), (1e9, 1.96)]
)
def test_students_t(freedom: float, expected: float) -> None:
    assert t_quantile(freedom) == pytest.approx(expected, rel=2e-3)
