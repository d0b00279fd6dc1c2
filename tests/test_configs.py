"""Every YAML composes and builds; every Kinetics experiment takes a training step at 64²."""

import re
from collections.abc import Sequence
from dataclasses import replace
from functools import cache
from itertools import cycle
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from omegaconf import OmegaConf

from tests.conftest import SMALL
from video_gc.ablate.cell_name import PATHS
from video_gc.config import compose_train, hydra_arguments, train_config
from video_gc.config_folders import SHIPPED
from video_gc.data.transforms import prepare_clips
from video_gc.models.build import build_model, sketch
from video_gc.models.context import context_blocks, expand_placement
from video_gc.train.options import TrainConfig
from video_gc.train.recipe.optim import build_optimizer


def files(group: str) -> list[str]:
    return sorted(f"{group}={file.stem}" for file in (SHIPPED / group).glob("*.yaml"))


QUICK_MODELS = ("model=slowfast_r101", "model=x3d_m", "model=image_efficientnet_b0")
QUICK_CONTEXTS = ("context=cc", "context=none")
QUICK_DATA = ("data=charades", "data=list")
QUICK_RECIPES = ("finetune",)
KINETICS = sorted(file.stem for file in (SHIPPED / "experiment" / "kinetics400").glob("*.yaml"))
RECIPES = sorted(file.stem for file in (SHIPPED / "recipe").glob("*.yaml"))
NEEDS = {
    "data=folder": ["data.root=x"],
    "data=list": ["data.train=x"],
    "data=shards": ["data.root=x"],
    "model=bag_small": ["placement=all"],
    "model=image_resnet18": ["placement=all"],
    "model=image_efficientnet_b0": ["model.context.after=[features]"],
    "model=x3d_m": ["placement=all", "model.context.options.reduction=2"],
    "recipe=gcnet_kinetics": ["model.weights=null"],  # nothing is downloaded
    "recipe=kinetics_imagenet": ["model.weights=null"],
    "recipe=nonlocal": ["model.weights=null"],
}


def quick(is_quick: bool, given: object) -> Any:
    """A parameter that is slow but for a few."""
    return pytest.param(given, marks=() if is_quick else pytest.mark.slow)


def test_all_yaml_is_listed() -> None:
    experiments = {
        *("demo", "probe", "motions", "folder", "nonlocal/c2d_r50_32x2", "nonlocal/i3d_r50_32x2"),
        *(f"kinetics400/{name}" for name in KINETICS),
    }
    found = {
        str(f.relative_to(SHIPPED / "experiment").with_suffix(""))
        for f in (SHIPPED / "experiment").rglob("*.yaml")
    }
    assert found == experiments
    assert len(KINETICS) == 15
    assert {f.name for f in SHIPPED.glob("*.yaml")} == {"train.yaml", "sweep.yaml"}


def test_every_file_has_only_options_that_there_are() -> None:
    """The quick test of all files; the others compose a few of them, and all with -m slow."""
    every = []
    groups = [SHIPPED / name for name in ("model", "context", "data", "augment", "recipe")]
    for file in (*SHIPPED.glob("experiment/**/*.yaml"), *(f for g in groups for f in g.iterdir())):
        text = file.read_text()
        given = yaml.safe_load(text) or {}
        given.pop("defaults", None)
        package = re.match(r"# @package (\S+)", text)
        for name in reversed((package[1] if package else file.parent.name).split(".")):
            given = given if name == "_global_" else {name: given}
        every.append(given)
    OmegaConf.merge(OmegaConf.structured(TrainConfig), *every)  # raises for an unknown one


@cache
def composed(*arguments: str) -> TrainConfig:
    """Hydra takes 0.1 s for each."""
    return compose_train(arguments)


@pytest.mark.parametrize(
    "choices",
    [
        *(quick(model in QUICK_MODELS, (model, *NEEDS.get(model, []))) for model in files("model")),
        *(
            quick(context in QUICK_CONTEXTS, (context, placement))
            for context, placement in zip(files("context"), cycle(files("placement")))
        ),
    ],
    ids=" ".join,
)
def test_every_network_composes_and_builds(choices: Sequence[str]) -> None:
    config = compose_train(choices)
    model = sketch(replace(config.model, num_classes=4))
    expected = expand_placement(config.model.context.after, config.model.depth)
    assert bool(context_blocks(model)) == (config.model.context.kind != "none" and bool(expected))
    assert config.model.depth == (
        101 if "r101" in choices[0] else 14 if "bag" in choices[0] else 50
    )


@pytest.mark.parametrize(
    "choices",
    [
        quick(choices[0] in QUICK_DATA, choices)
        for choices in zip(
            files("data"), cycle(files("augment")), cycle(files("recipe")), strict=False
        )
    ],
    ids=" ".join,
)
def test_every_choice_beside_the_network_composes(choices: Sequence[str]) -> None:
    config = compose_train([*choices, *(need for each in choices for need in NEEDS.get(each, []))])
    plain = ["context=none"] if choices[0] in OWN_CLIPS else []
    assert config.model == composed(choices[2], *NEEDS.get(choices[2], []), *plain).model


OWN_CLIPS = ("data=folder", "data=list")


@pytest.mark.parametrize("data", OWN_CLIPS)
def test_own_clips_have_a_recipe_of_their_own(data: str) -> None:
    given = [data, *NEEDS[data]]
    config = compose_train(given)
    small = composed("recipe=small", "context=none")
    assert (config.optim, config.epochs, config.augment) == (
        small.optim,
        small.epochs,
        small.augment,
    )
    assert config.model == small.model
    chosen = compose_train([*given, "recipe=demo", "context=gc", "augment=none"])
    assert (chosen.epochs, chosen.model.context.kind, chosen.augment.erase) == (15, "gc", 0)
    assert compose_train([*given, "recipe=modern"]).augment.mixup == 0.8  # a recipe's own
    experiment = compose_train(["experiment=kinetics400/slow_r50_8x8_gc5", *given])
    assert (experiment.epochs, experiment.model.context.kind) == (196, "gc")
    if data == "data=folder":
        assert compose_train(["experiment=folder", "data.root=x"]) == config


def test_every_group_is_composed() -> None:
    groups = {group.name for group in SHIPPED.iterdir() if group.is_dir()}
    tried = {"model", "context", "placement", "data", "augment", "recipe"}
    assert groups == tried | {"experiment", "ablation"}
    assert len(files("data")) >= max(len(files("recipe")), len(files("augment")))
    assert len(files("context")) >= len(files("placement"))
    for group in tried:
        assert len(files(group)) == len(list((SHIPPED / group).rglob("*.yaml")))


@pytest.mark.slow  # networks at their full width
@pytest.mark.parametrize("name", KINETICS)
def test_kinetics_experiments_take_a_step(name: str) -> None:
    config = composed(f"experiment=kinetics400/{name}")
    assert config.name == f"kinetics400_{name}"
    kind = {"nl5": "nl", "snl5": "snl", "gc5": "gc", "all": "gc"}.get(
        name.rsplit("_", 1)[-1], "none"
    )
    assert config.model.context.kind == kind
    model = build_model(replace(config.model, num_classes=400, weights=None))
    placement = "all" if name.endswith("all") else "five"
    number = {"none": 0, "five": 5, "all": 13}["none" if kind == "none" else placement]
    assert len(context_blocks(model)) == number
    clips = torch.randint(0, 256, (2, config.clip.frames, 64, 64, 3), dtype=torch.uint8)
    optimizer = build_optimizer(model, config.optim)
    before = model.blocks[-1].proj.weight.clone()
    logits = model(prepare_clips(clips, config.normalisation))
    loss = torch.nn.functional.cross_entropy(logits, torch.tensor([3, 7]))
    loss.backward()
    optimizer.step()
    assert logits.shape == (2, 400)
    assert torch.isfinite(loss)
    assert not torch.equal(before, model.blocks[-1].proj.weight)


@pytest.mark.slow
@pytest.mark.parametrize("name", KINETICS)
def test_kinetics_experiments_at_full_size(name: str) -> None:
    config = composed(f"experiment=kinetics400/{name}")
    model = build_model(replace(config.model, num_classes=400, weights=None))
    side = config.clip.crop
    clips = torch.randint(0, 256, (1, config.clip.frames, side, side, 3), dtype=torch.uint8)
    model.train()(prepare_clips(clips.repeat(2, 1, 1, 1, 1), config.normalisation)).sum().backward()
    assert all(torch.isfinite(p.grad).all() for p in model.parameters() if p.grad is not None)


BACKBONES = cycle(["slow", "i3d", "slowfast"])
AUGMENTS = cycle(["strong", "none", "light", "none"])


@pytest.mark.parametrize(
    "choices",
    [
        quick(each[0] in QUICK_RECIPES, each)
        for each in zip(RECIPES, BACKBONES, AUGMENTS, strict=False)
    ],
    ids="-".join,
)
def test_recipes_compose_with_experiments_and_augmentation(choices: tuple[str, str, str]) -> None:
    recipe, backbone, augment = choices
    plain = composed(f"recipe={recipe}")
    experiment = f"experiment=kinetics400/{backbone}_r50_8x8_gc5"
    config = compose_train([experiment, f"recipe={recipe}", f"augment={augment}"])
    assert (config.optim, config.epochs) == (plain.optim, plain.epochs)
    assert config.model.weights == plain.model.weights
    assert config.clip.stride == (2 if backbone == "slowfast" else 8)
    assert config.augment == composed(f"augment={augment}").augment


def test_recipes_that_choose_an_augmentation() -> None:
    augment = {name: composed(f"recipe={name}").augment for name in RECIPES}
    assert augment["finetune"] == composed("augment=light").augment
    assert augment["modern"] == composed("augment=strong").augment
    assert augment["small"] == augment["finetune"]
    others = [
        found for name, found in augment.items() if name not in ("finetune", "modern", "small")
    ]
    assert all(found == composed("augment=none").augment for found in others)


def test_numbers_of_the_recipes() -> None:
    found = {name: composed(f"recipe={name}") for name in RECIPES}
    kinetics = [found[name] for name in ("kinetics_scratch", "gcnet_kinetics")]
    inflated = [found[name] for name in ("kinetics_imagenet", "nonlocal")]
    for config in (*kinetics, *inflated):
        optim = config.optim
        assert (config.batch_size, optim.lr_batch, config.model.dropout) == (64, 64, 0.5)
        assert (optim.optimizer, optim.momentum, optim.weight_decay) == ("sgd", 0.9, 1e-4)
        assert config.norm.precise == 200
    assert [(c.epochs, c.optim.lr, c.optim.schedule) for c in kinetics] == [
        (196, 0.1, "cosine"),
        (196, 0.01, "cosine"),
    ]
    assert [c.optim.warmup_epochs for c in (*kinetics, *inflated)] == [34, 34, 0, 0]
    assert [c.optim.lr for c in inflated] == [0.01, 0.01]
    assert (inflated[0].epochs, inflated[0].optim.milestones) == (118, [44, 88])
    assert (inflated[0].optim.milestones_in, inflated[1].optim.milestones_in) == ("epochs", "steps")
    assert (inflated[1].steps, inflated[1].optim.milestones) == (400_000, [150_000, 300_000])
    assert found["kinetics_scratch"].norm.zero_init
    assert found["finetune"].optim.freeze == ["stem", "res2"]
    assert found["finetune"].optim.head_epochs == 1
    modern = found["modern"]
    assert (modern.optim.optimizer, modern.ema, modern.label_smoothing) == ("adamw", 0.9999, 0.1)
    assert modern.model.stochastic_depth == 0.1
    assert modern.augment.randaugment
    assert modern.augment.mixup
    assert modern.augment.cutmix


def test_every_recipe_says_where_it_is_from() -> None:
    for name in RECIPES:
        lines = (SHIPPED / "recipe" / f"{name}.yaml").read_text().splitlines()
        assert lines[0] == "# @package _global_"
        assert lines[1].startswith("# ")
        page = (SHIPPED.parent / "docs" / "recipes.md").read_text()
        assert f"`{name}`" in page


QUICK_EXPERIMENTS = ("slowfast_r50_8x8_snl5", "slow_r50_8x8_gc5", "i3d_r50_8x8_gc5")


@pytest.mark.parametrize("name", [quick(name in QUICK_EXPERIMENTS, name) for name in KINETICS])
def test_experiments_have_the_recipe_of_their_source(name: str) -> None:
    config = composed(f"experiment=kinetics400/{name}")
    backbone = name.split("_")[0]
    expected = {"slow": (196, 0.01, "imagenet"), "i3d": (118, 0.01, "imagenet")}.get(
        backbone, (196, 0.1, None)
    )
    assert (config.epochs, config.optim.lr, config.model.weights) == expected


def test_experiments_need_imagenet_weights_by_default() -> None:
    config = composed("experiment=kinetics400/slow_r50_8x8_gc5")
    assert config.model.weights == "imagenet"
    assert config.data.names == "datasets/kinetics400/labels.txt"
    labels = Path(SHIPPED.parent, config.data.names).read_text().splitlines()
    assert len(labels) == 400
    assert labels == sorted(labels)


def test_small_options_compose() -> None:
    assert compose_train([*SMALL, "data.root=x"]).clip.frames == 4


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["optim.lrr=3"], "unknown option 'optim.lrr'; did you mean 'optim.lr'?"),
        (["epohcs=3"], "did you mean 'epochs'"),
        (["context=gcc"], "context=gcc: no such context; did you mean 'gc'?"),
        (["experiment=kinetics400/slow_r50_8x8_gc4"], "did you mean 'kinetics400/slow_r50_8x8_gc"),
        (["epochs=many"], r"epochs \(many\) must be a whole number, such as epochs=15"),
        (["epochs"], "'epochs' is not an option; write NAME=VALUE"),
        (["epochs=0"], r"epochs \(0\) must be at least 1"),
        (
            ["model.context.options.redction=8"],
            "takes no option 'redction'; did you mean 'reduction'",
        ),
        (["data=folder"], "data.root is missing"),
    ],
)
def test_a_wrong_option_is_one_clear_line(arguments: list[str], message: str) -> None:
    with pytest.raises(ValueError, match=message) as caught:
        compose_train(arguments)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("argument", "message"),
    [
        ("model.context.kind=gx", "unknown block 'gx'.*Valid: gc, snl, se, nl, dnl, cc"),
        ("model.context.place=after_ad", "unknown place.*did you mean 'after_add'"),
        ("model.backbone=i4d", "must be one of c2d, c2d_nopool"),
        ("model.depth=34", r"model.depth \(34\) must be one of"),
        ("model.width=0.3", r"width \(0.3\) must leave a whole number"),
        ("test.crops=2", r"test.crops \(2\) must be 1 or 3"),
        ("test.clips=0", r"test.clips \(0\) must be at least 1"),
        ("label_smoothing=2", r"label_smoothing \(2.0\) must be in \[0, 1\)"),
        ("accelerator=tpuu", "must be one of auto, cpu, gpu"),
        ("steps_per_epoch=0", r"steps_per_epoch \(0\) must be at least 1"),
        ("seed=-1", r"seed \(-1\) must be at least 0"),
        ("normalisation.std=[0,0,0]", "3 means and 3 deviations above 0"),
        ("name=..", "must be the name of one folder"),
        ("optim.clip_grad=-1", r"optim.clip_grad \(-1.0\) must be above 0"),
        ("optim.warmup_start=3", r"optim.warmup_start \(3.0\)"),
    ],
)
def test_a_wrong_value_is_one_clear_line(argument: str, message: str) -> None:
    given = OmegaConf.merge(OmegaConf.structured(TrainConfig), OmegaConf.from_dotlist([argument]))
    with pytest.raises(ValueError, match=message) as caught:
        train_config(given)
    assert "\n" not in str(caught.value)


TYPED = [
    "/a b/(é)/x", "it's", "a,b=c", "~/x", "видео", "übung", "日本", "a${b}", "${oc.env:HOME}", "\\${a}",
    "C:\\x\\", "[a]", "{a:1}", "007", "1e5", "true", "#x", "a: b", "$x", "caf\udce9",
]  # fmt: skip


def test_texts_are_taken_as_they_stand() -> None:
    for first in range(0, len(TYPED), len(PATHS)):  # several at once: Hydra takes most of the time
        given = dict(zip(PATHS, TYPED[first:], strict=False))
        runs = next(iter(given.values()))
        texts = [f"data.{name}={text}" for name, text in given.items()]
        found = compose_train(
            ["data=folder", "data.root=x", *texts, f"runs={runs}", "model.weights=null"]
        )
        assert {name: getattr(found.data, name) for name in given} == given
        assert (found.runs, found.model.weights) == (runs, None)
    for text in ("it's", "a,b=c", "${oc.env:HOME}", "007", "caf\udce9"):
        assert compose_train([f"name={text}"]).name == text


def test_in_a_sweep_a_comma_parts_two_names() -> None:
    assert hydra_arguments(["-m", "name=a,b"]) == ["-m", "name='a','b'"]
    assert hydra_arguments(["name=a,b"]) == ["name='a,b'"]
    assert hydra_arguments(["-m", "name='a,b'"]) == ["-m", "name='a,b'"]


def test_block_options_reach_the_block() -> None:
    config = compose_train(["model.context.options.reduction=8", "model.num_classes=4"])
    block = context_blocks(build_model(config.model))["res3.1"]
    assert block.transform[0].out_features == 64 // 8
