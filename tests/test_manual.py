"""The options as the source tells them: all of them, with a meaning, and without torch."""

import subprocess
import sys
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any

import pytest

from video_gc.config import compose_train, training_help
from video_gc.engine.options import TrainConfig
from video_gc.manual import option_names, options, wrong_argument

ROOT = Path(__file__).parents[1]


def names(owner: Any, prefix: str = "") -> list[str]:
    """Every option, from the dataclasses as Python has them."""
    found = []
    for field in fields(owner):
        found.append(prefix + field.name)
        if is_dataclass(field.type):
            found += names(field.type, f"{prefix}{field.name}.")
    return found


def test_the_source_tells_every_option() -> None:
    assert option_names() == names(TrainConfig)


def test_every_option_has_a_meaning() -> None:
    silent = [option.name for option in options() if not option.meaning]
    assert silent == ["normalisation.mean", "normalisation.std"]  # their group says it


def test_help_has_each_value_and_meaning() -> None:
    text = training_help(
        ["recipe=small", "optim.schedule=steps", "optim.milestones=[3,4.5]", "seed=0"]
    )
    lines = {line.strip().split("=")[0]: line for line in text.splitlines()}
    for option in options():
        assert option.name in text
    assert lines["optim.lr"].split() == ["optim.lr=0.002", "peak", "learning", "rate"]
    assert "optim.milestones=[3,4.5] " in text
    assert "seed=0 " in text  # not false
    assert "resume=true " in text
    assert "steps=null " in text
    assert "recipe: demo, finetune, gcnet_kinetics" in text
    assert max(map(len, text.splitlines())) <= 100


def test_a_wrong_name_is_refused_without_torch() -> None:
    program = (
        "import sys; from video_gc.manual import wrong_argument; from video_gc.cli import run_tool;"
        "print(wrong_argument(['optim.lrr=3'])); print('torch' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout.split("\n")[:2] == [
        "unknown option 'optim.lrr'; did you mean 'optim.lr'?",
        "False",
    ]


@pytest.mark.parametrize(
    "argument",
    [
        *("experiment=null", "~experiment=null", "context=gc,nl", "model.context={kind: nl}"),
        *("hydra.run.dir=x", "hydra/launcher=basic", "+epochs=3"),
        "model.context.options.reduction=8",
    ],
)
def test_what_hydra_takes_is_not_refused(argument: str) -> None:
    assert wrong_argument([argument]) is None


def test_a_typo_in_help_is_explained() -> None:
    with pytest.raises(ValueError, match="did you mean 'epochs'"):
        compose_train(["epoch=3"])
