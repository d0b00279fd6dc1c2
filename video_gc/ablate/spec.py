"""An ablation's question: its rows, their common options, and their seeds."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from fnmatch import fnmatchcase
from itertools import product

SEPARATOR = " · "
"""Separates the values of several axes in a row's name."""
NOT_IN_ROWS = ("experiment", "seed", "fold", "name", "runs", "resume")
"""Options that identify a cell and its place, not its training."""


@dataclass(kw_only=True)
class Reported:
    """A paper's values for a row, shown beside ours and marked as reported."""

    top1: float | None = None
    """percent, video level"""
    top5: float | None = None
    """percent, video level"""
    parameters: float | None = None
    """of the network with its classifier"""
    gflops: float | None = None
    """multiply-adds of one view, in units of 1e9"""
    source: str | None = None
    """source, and remarks"""


@dataclass(kw_only=True)
class Predicted:
    """The accuracy expected of a row before it was trained; one bound or both."""

    at_least: float | None = None
    """top-1 in percent, video level"""
    at_most: float | None = None
    """top-1 in percent, video level"""
    because: str = ""
    """the reason, one sentence"""

    @property
    def text(self) -> str:
        """`≥ 95`, `≤ 60`, or `≥ 60, ≤ 95`."""
        bounds = (("≥", self.at_least), ("≤", self.at_most))
        return ", ".join(f"{sign} {bound:g}" for sign, bound in bounds if bound is not None)


@dataclass(kw_only=True)
class AblationConfig:
    """An ablation: networks that differ in one thing, each trained with every seed."""

    title: str = ""
    """the comparison in one line; the chosen rows replace the text after a colon"""
    source: str | None = None
    """paper and section"""
    experiment: str = "motions"
    """common options of the rows: a file of configs/experiment"""
    settings: list[str] = field(default_factory=list)
    """further arguments of tools/train.py, for every row"""
    pretraining: list[str] = field(default_factory=list)
    """arguments of a training with seed 0 that comes first; every cell starts from its weights"""
    rows: dict[str, list[str]] = field(default_factory=dict)
    """row → its arguments of tools/train.py"""
    axes: dict[str, dict[str, list[str]]] = field(default_factory=dict)
    """axis → value → its arguments; each combination of values is a row, such as `average · add`"""
    quick: list[str] = field(default_factory=list)
    """rows of quick=true, which trains them with the first seed only; all rows if empty"""
    baseline: str | None = None
    """row with which the others are compared; or a value of an axis: then each row is compared with
    the row that differs from it only in having that value"""
    seeds: list[int] = field(default_factory=lambda: [0])
    """seeds of each row"""
    folds: int | None = None
    """divide the videos into so many folds, and train each row with each seed on each fold"""
    reported: dict[str, Reported] = field(default_factory=dict)
    """row → a paper's values for it"""
    predicted: dict[str, Predicted] = field(default_factory=dict)
    """row, or pattern of rows such as `alike · *` → its accuracy, predicted; a row's own name comes
    before patterns"""

    def __post_init__(self) -> None:
        if not self.title:
            raise ValueError("title is missing: say in one line what is compared")
        if not self.rows and not self.axes:
            raise ValueError("rows and axes are empty: give at least one row")
        if empty := [axis for axis, values in self.axes.items() if not values]:
            raise ValueError(f"axes.{empty[0]} has no values")
        if not self.seeds or min(self.seeds) < 0:
            raise ValueError(f"seeds ({self.seeds}) must be whole numbers from 0, at least one")
        if repeated := [seed for seed, count in Counter(self.seeds).items() if count > 1]:
            raise ValueError(f"seeds ({self.seeds}) has {repeated[0]} more than once")
        if self.folds is not None and self.folds < 2:
            raise ValueError(f"folds ({self.folds}) must be at least 2, or null for none")
        if doubled := self.rows.keys() & self._combinations().keys():
            raise ValueError(f"row {min(doubled)!r} is in rows and also comes from axes")
        names = self.all_rows
        for where, rows in {"reported": self.reported, "quick": self.quick}.items():
            if wrong := [row for row in rows if row not in names]:
                raise ValueError(
                    f"{where}: {wrong[0]!r} is not a row; the rows are {', '.join(names)}"
                )
        if self.folds and self.pretraining:
            raise ValueError(
                "folds and pretraining exclude each other: the one pretraining has seen the test "
                "videos of every fold; give the weights of another data set, model.weights=FILE"
            )
        self._check_baseline()
        self._check_predicted()
        common = {"settings": self.settings, "pretraining": self.pretraining}
        for name, arguments in {**common, **names}.items():
            for argument in arguments:
                if option_of(argument) in NOT_IN_ROWS:
                    raise ValueError(
                        f"{name}: {argument!r} has no place in a row; `experiment`, `seeds` "
                        "and `folds` are own fields, and a cell's name and folder come from its "
                        "options"
                    )

    @property
    def trainings(self) -> list[tuple[int, str | None]]:
        """Seed and fold of each training of a row, such as (0, "0/5"); seed by seed."""
        count = self.folds
        folds = [None] if count is None else [f"{number}/{count}" for number in range(count)]
        return list(product(self.seeds, folds))

    @property
    def all_rows(self) -> dict[str, list[str]]:
        """Row → its own arguments, from `rows` and then `axes`."""
        return self.rows | self._combinations()

    @property
    def values(self) -> dict[str, dict[str, str]]:
        """Row → axis → its value, of the rows that come from `axes`."""
        found = product(*self.axes.values()) if self.axes else ()
        return {
            SEPARATOR.join(values): dict(zip(self.axes, values, strict=True)) for values in found
        }

    @property
    def predictions(self) -> dict[str, Predicted]:
        """Row → what is predicted for it, with the patterns applied."""
        found = {}
        for row in self.all_rows:
            if keys := self._keys_of(row):
                found[row] = self.predicted[keys[0]]
        return found

    def _combinations(self) -> dict[str, list[str]]:
        return {
            row: [argument for axis, value in own.items() for argument in self.axes[axis][value]]
            for row, own in self.values.items()
        }

    def _keys_of(self, row: str) -> list[str]:
        """The keys of `predicted` for a row: its name, or else the patterns that match it."""
        if row in self.predicted:
            return [row]
        names = self.all_rows
        return [key for key in self.predicted if key not in names and fnmatchcase(row, key)]

    def _check_baseline(self) -> None:
        if self.baseline is None or self.baseline in self.all_rows:
            return
        times = sum(self.baseline in values for values in self.axes.values())
        if times > 1:
            raise ValueError(
                f"baseline: {self.baseline!r} is a value of {times} axes; rename one of them"
            )
        if not times:
            raise ValueError(
                f"baseline: {self.baseline!r} is not a row; the rows are "
                f"{', '.join(self.all_rows)}{'; or give a value of an axis' * bool(self.axes)}"
            )

    def _check_predicted(self) -> None:
        names = self.all_rows
        for row in names:
            if len(keys := self._keys_of(row)) > 1:
                raise ValueError(
                    f"predicted: {' and '.join(map(repr, keys))} both match row {row!r}; give this "
                    "row a prediction of its own, or narrow a pattern"
                )
        for key, said in self.predicted.items():
            if key not in names and not any(fnmatchcase(row, key) for row in names):
                raise ValueError(
                    f"predicted: {key!r} is no row, nor a pattern of rows; the rows are "
                    f"{', '.join(names)}"
                )
            if said.at_least is None and said.at_most is None:
                raise ValueError(f"predicted: {key!r} has no bound; give at_least or at_most")
            for bound in ("at_least", "at_most"):
                value = getattr(said, bound)
                if value is not None and not 0 <= value <= 100:
                    raise ValueError(
                        f"predicted: {bound} ({value}) of {key!r} must be from 0 to 100, percent"
                    )
            low, high = said.at_least, said.at_most
            if low is not None and high is not None and low > high:
                raise ValueError(
                    f"predicted: at_least ({low}) of {key!r} must not be above at_most ({high})"
                )
            if not said.because.strip():
                raise ValueError(f"predicted: {key!r} has no reason; give because, one sentence")

    def quickly(self) -> "AblationConfig":
        """The ablation of quick=true."""
        return replace(self.only(self.quick), seeds=self.seeds[:1])

    def only(self, rows: Sequence[str]) -> "AblationConfig":
        """The ablation with these rows only; unchanged if none are named.

        Raises ValueError for a name that is not a row.
        """
        known = self.all_rows
        for row in rows:
            if row not in known:
                raise ValueError(f"only: {row!r} is not a row; the rows are {', '.join(known)}")
        if not rows or set(rows) == set(known):
            return self
        chosen = {name: arguments for name, arguments in known.items() if name in rows}
        return replace(
            self,
            rows=chosen,
            axes={},
            quick=[row for row in self.quick if row in chosen],
            title=f"{self.title.partition(':')[0]}: {', '.join(chosen)}",
            baseline=self.baseline if self.baseline in chosen else None,
            reported={row: said for row, said in self.reported.items() if row in chosen},
            predicted={row: said for row, said in self.predictions.items() if row in chosen},
        )


def option_of(argument: str) -> str:
    """The option set by `NAME=VALUE`, without Hydra's prefixes."""
    return argument.lstrip("+~").partition("=")[0]
