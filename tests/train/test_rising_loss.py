"""The note that the validation loss climbs."""

from pathlib import Path

import pytest

from video_gc.train import validation
from video_gc.train.validation import RISING, rising_loss, say_rising_loss

DOWN, UP = [1.4, 1.2, 1.0], [1.2] * RISING


def metrics(losses: list[float], name: str = "val/loss") -> dict[str, list[tuple[int, float]]]:
    return {name: list(enumerate(losses, 1))}


def test_a_loss_that_stays_above_its_lowest_is_noted() -> None:
    note = rising_loss(metrics([*DOWN, *UP]))
    assert note is not None
    assert note.startswith(
        "The validation loss was lowest in epoch 3 (1.000) and has been more than a tenth higher "
        "for 5 epochs or more (now 1.200)"
    )
    assert rising_loss(metrics([*DOWN, *UP], "val_ema/loss"))


@pytest.mark.parametrize(
    "losses",
    [
        [],
        [*DOWN, *UP[1:]],
        [*DOWN, *UP[1:], 1.05],  # not a tenth above
        [*DOWN, *UP, 1.05],  # it came down again
        [*DOWN, *[1.05] * 20],  # a plateau
    ],
)
def test_a_loss_that_does_not_climb_is_not(losses: list[float]) -> None:
    assert rising_loss(metrics(losses) if losses else {}) is None


def test_it_is_said_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[int] = []
    file = tmp_path / "csv" / "version_0" / "metrics.csv"
    file.parent.mkdir(parents=True)
    file.write_text("epoch,val/loss\n")
    for epoch, loss in enumerate([*DOWN, *UP, *UP]):
        with file.open("a") as stream:
            stream.write(f"{epoch},{loss}\n")
        monkeypatch.setattr(validation, "say", lambda *a, epoch=epoch, **k: said.append(epoch))
        say_rising_loss(tmp_path)
    assert said == [len(DOWN) + RISING - 1]
