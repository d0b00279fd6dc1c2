"""The options as the source tells them: all of them, with a meaning, and without torch."""

import json
import re
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any

import pytest

from video_gc.config import compose_train, training_help
from video_gc.config.values import check_root, check_values, data_kind
from video_gc.manual import option_names, options, wrong_argument
from video_gc.train.options import TrainConfig

ROOT = Path(__file__).parents[1]


PROGRAM = """
import io, json, runpy, sys
from contextlib import redirect_stderr, redirect_stdout
done = []
for tool, *arguments in json.loads(sys.argv[1]):
    sys.argv[:] = [tool, *arguments]
    out, err = io.StringIO(), io.StringIO()
    try:
        with redirect_stdout(out), redirect_stderr(err):
            runpy.run_path(tool, run_name="__main__")
    except SystemExit as stopped:
        status = stopped.code
    done.append([status, out.getvalue(), err.getvalue(), "torch" in sys.modules])
print(json.dumps(done))
"""


def run_without_torch(commands: Sequence[Sequence[str]]) -> list[tuple[int, str, str]]:
    """Status, stdout and stderr of tools that run in one process, none of which imports torch."""
    given = [[str(ROOT / "tools" / f"{tool}.py"), *arguments] for tool, *arguments in commands]
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, json.dumps(given)],
        cwd=ROOT, capture_output=True, text=True, check=True,
    )  # fmt: skip
    found = json.loads(done.stdout)
    assert [command for command, one in zip(commands, found, strict=True) if one[3]] == []
    return [(status, out, err) for status, out, err, _ in found]


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


SAID = [
    ("train", ["optim.lrr=3"], "unknown option 'optim.lrr'; did you mean 'optim.lr'?"),
    ("train", ["learning_rate=3"], "unknown option 'learning_rate'; did you mean 'optim.lr'?"),
    ("train", ["data=folder", "data.root=nowhere"], "error: nowhere: no such folder (data.root)"),
    ("train", ["experiment=folder", "data.root=~/nowhere"], "/nowhere: no such folder (data.root)"),
    ("train", ["epochs=-1"], "error: epochs (-1) must be at least 1"),
    ("train", ["epochs=x"], "epochs (x) must be a whole number, such as epochs=15"),
    ("train", ["optim.lr=fast"], "optim.lr (fast) must be a number, such as optim.lr=0.002"),
    ("train", ["resume=tru"], "resume (tru) must be true or false, such as resume=true"),
    ("ablate", ["ablation=kinds", "batch_size=0"], "batch_size (0) must be at least 1"),
    ("test", ["runs/none"], "runs/none: no such checkpoint or run directory"),
    ("predict", ["slow_r50", "gone.mp4"], "error: gone.mp4: no such file or folder"),
    ("predict", ["slow_r50", "gone.mp4", "--segments"], "gone.mp4: no such file or folder"),
    ("features", ["slow_r50", "gone.mp4"], "error: gone.mp4: no such file or folder"),
    ("score", ["runs/none", "list.txt"], "runs/none: no such checkpoint or run directory"),
    ("stream", ["runs/none", "0"], "runs/none: no such checkpoint or run directory"),
    ("ablate", [], "kinds"),
    ("ablate", ["ablation=kidns"], "did you mean 'kinds'?"),
    ("ablate", ["ablation=kinds", "only=[XX]"], "only: 'XX' is not a row"),
    ("ablate", ["ablation=kinds", "seeds=[a]"], "must be a list of whole numbers"),
    ("ablate", ["ablation=kinds", "context=gc"], "the rows set context"),
    ("ablate", ["ablation=kinds", "hydra/launcher=jolib"], "no such launcher"),
    ("ablate", ["ablation=kinds", "hydra.launcher.n_jobs=2"], "Key 'n_jobs' not in"),
    ("test", ["runs/demo", "--clip", "2"], "did you mean --clips?"),
    ("test", ["runs/demo", "--precision", "half"], "choose from 'auto', 'fp32', 'bf16'"),
    ("predict", ["runs/demo"], "arguments are required: VIDEO;"),
    ("predict", ["runs/demo", "x", "--smooth", "3"], "--smooth needs --segments"),
    ("features", ["runs/demo"], "arguments are required: VIDEO;"),
    ("probe", [], "arguments are required: features;"),
    ("stream", ["runs/demo"], "arguments are required: SOURCE;"),
    ("stream", ["runs/demo", "0", "--threshold", "2"], "must be in [0, 1], not 2"),
    ("attention", [], "arguments are required: checkpoint;"),
    ("attention", ["runs/demo", "--queries", "9x9"], "a picture shows 1 to"),
    ("augment", ["--row", "2"], "did you mean --rows?"),
    ("augment", ["--out", "x.txt"], "x.txt: an animated picture is written as .webp"),
    ("benchmark", ["predcit"], "invalid choice: 'predcit'"),
    (
        "prepare",
        ["check", "x", "--worker", "2"],
        "did you mean --workers?); see video-gc prepare check",
    ),
    ("score", ["slow_r50", "list", "--shard", "2/2"], "--shard (2/2) must be 0/N"),
    ("prepare", ["shards", "x", "y", "--size", "big"], "'big' is no size; write it as 256MB or 1"),
    ("serve", ["x", "--queue", "0"], "--queue: must be at least 1, not 0"),
    ("serve", ["x", "--allow-url", "http://a.org/"], "must be a host such as videos.example.org"),
    ("app", ["x", "--port", "0"], "--port: must be in [1, 65535], not 0"),
    ("export", ["runs/demo", "--format", "tflite"], "choose from 'onnx', 'openvino', 'exported_"),
    ("report", ["x", "--base", "none"], "did you mean --baseline?"),
    ("score", ["slow_r50", "gone.csv"], "gone.csv: no such file or folder"),
    ("probe", ["gone"], "gone: no such file or folder"),
    ("export", ["gone.ckpt"], "gone.ckpt: no such checkpoint or run directory"),
    ("export", ["slow_r50", "--videos", "gone"], "gone: no such file or folder"),
    ("attention", ["gone/best.ckpt"], "gone/best.ckpt: no such checkpoint or run directory"),
    ("attention", ["slow_r50", "gone.mp4"], "gone.mp4: no such file or folder"),
    ("complexity", ["gone/best.ckpt"], "gone/best.ckpt: no such checkpoint or run directory"),
]
"""Tool, arguments, what it says to them."""
TOOLS = (
    "test", "predict", "stream", "export", "features", "probe", "attention", "benchmark",
    "augment", "report", "complexity", "prepare", "score", "serve", "app",
)  # fmt: skip


def test_what_needs_no_network_is_said_without_torch() -> None:
    commands = [[tool, *arguments] for tool, arguments, _ in SAID]
    found = run_without_torch(commands)
    for command, (_, _, said), (status, out, err) in zip(commands, SAID, found, strict=True):
        assert said in err
        assert (status, out) == (0 if command == ["ablate"] else 2, ""), command


def test_the_help_of_a_training_needs_no_torch_and_has_the_values_of_hydra() -> None:
    ((status, out, _),) = run_without_torch([["train", "--help"]])
    assert not status
    assert out == training_help()


def test_help_is_printed_without_torch() -> None:
    found = run_without_torch([[tool, "--help"] for tool in TOOLS])
    for tool, (status, out, _) in zip(TOOLS, found, strict=True):
        assert status == 0
        assert out.startswith(f"usage: video-gc {tool}")


@pytest.mark.parametrize(
    "argument",
    [
        *("~experiment=null", "context=gc,nl", "model.context={kind: nl}"),
        *("hydra.run.dir=x", "hydra/launcher=basic", "+epochs=3"),
        "model.context.options.reduction=8",
    ],
)
def test_what_hydra_takes_is_not_refused(argument: str) -> None:
    assert wrong_argument([argument]) is None


@pytest.mark.parametrize(
    "argument",
    [
        *("steps=null", "seed=0", "optim.lr=1e-3", "optim.lr=.1", "data.flip=1.", "resume=off"),
        *("data.root=nowhere", "epochs=${batch_size}", "'epochs=3,4'", "optim.betas=[0.9,0.99]"),
    ],
)
def test_values_that_hydra_takes_are_not_refused_early(argument: str) -> None:
    check_values([argument])
    check_root([argument])  # motions are made in data.root


def test_the_kind_of_data_is_known_before_hydra() -> None:
    for given in ([], ["data=folder"], ["experiment=folder"], ["data=ucf101"], ["data.kind=list"],
                  ["experiment=kinetics400/slow_r50_8x8"], ["experiment=motions"]):  # fmt: skip
        found = data_kind(dict(argument.split("=") for argument in given))
        more = ["data.root=.", "data.train=x", "name=x"]
        assert found == compose_train([*given, *more]).data.kind, given


def test_a_command_without_arguments_is_right() -> None:
    assert wrong_argument([]) is None


@pytest.mark.parametrize("argument", ["experiment=null", "recipe= Null", "+data=null"])
def test_no_file_of_a_group_is_no_choice(argument: str) -> None:
    assert f"{argument}: no " in str(wrong_argument([argument]))


@pytest.mark.parametrize(
    ("argument", "said"),
    [
        ("epochs=two", "epochs (two) must be a whole number, such as epochs=15"),
        ("clip.short_side=32", "clip.short_side (32) must be a list, such as clip.short_side=["),
        ("clip.short_side=[a,b]", "clip.short_side[0] (a) must be a whole number, such as clip."),
        ("optim.milestones=3", "must be a list, such as optim.milestones=[3]"),
        ("steps=x", "steps (x) must be a whole number"),
        ("resume=tru", "resume (tru) must be true or false, such as resume=true"),
    ],
)
def test_a_value_of_another_kind_is_answered_with_an_example(argument: str, said: str) -> None:
    with pytest.raises(ValueError, match=re.escape(said)):
        compose_train([argument])


def test_a_typo_in_help_is_explained() -> None:
    with pytest.raises(ValueError, match="did you mean 'epochs'"):
        compose_train(["epoch=3"])
