"""An image network fine-tuned on a small folder: what is frozen does not move, and the run loads."""

from pathlib import Path

import pytest
import torch
from torch import nn
from torchvision import models

from tests.conftest import SMALL
from video_gc.config import compose_train
from video_gc.models.build import ModelConfig, build_model
from video_gc.models.context import ContextConfig
from video_gc.predict.recognizer import Recognizer
from video_gc.train.checkpoint import load_network
from video_gc.train.loop import train
from video_gc.train.recipe.groups import freeze_stages, parameter_groups, stage_names, train_mode

CASES = {
    "resnet18": ("placement=all", ["stem", "res2"]),
    "mobilenet_v3_small": ("model.context.after=[features]", ["features"]),
}
"""Network → its context blocks and what is frozen; the first as the recipe says."""


@pytest.mark.slow
@pytest.mark.parametrize("name", CASES)
def test_finetuning_moves_the_head_and_the_blocks_alone_where_the_rest_is_frozen(
    name: str, clips_folder: Path, tmp_path: Path
) -> None:
    placed, frozen = CASES[name]
    torch.save(models.get_model(name).state_dict(), tmp_path / "image.pth")
    config = compose_train([
        *SMALL, f"data.root={clips_folder}", f"runs={tmp_path}", "name=tuned", "model=image_resnet18",
        f"model.image_network={name}", "recipe=finetune", placed, "context=gc", "epochs=2",
        f"model.weights={tmp_path / 'image.pth'}", f"optim.freeze={frozen}".replace(" ", ""),
    ])  # fmt: skip
    assert config.normalisation.mean == [0.485, 0.456, 0.406]
    initial = torch.load(tmp_path / "image.pth", weights_only=True)
    best = train(config) / "checkpoints" / "last.ckpt"
    model, contents = load_network(best)
    assert contents.normalisation == config.normalisation
    assert contents.model.image_network == name
    stages = stage_names(model)
    owner = {key.rpartition(".")[0]: stage for key, stage in stages.items()}
    moved = {True: 0, False: 0}
    for key, value in model.state_dict().items():
        if key not in initial or value.shape[:1] != initial[key].shape[:1]:
            continue  # the head, the blocks
        still = owner[key.rpartition(".")[0]] in frozen
        same = torch.equal(value.reshape(initial[key].shape), initial[key])
        assert same or not still, key
        moved[still] += not same
    assert moved[True] == 0
    assert moved[False] > 0  # of MobileNet, the hidden layer of its head
    video = next(clips_folder.rglob("*.mp4"))
    scores = dict(Recognizer(best).predict(video).top(2))
    assert sum(scores.values()) == pytest.approx(1)
    assert {*scores} == {"bright", "dark"}


@pytest.mark.parametrize("name", CASES)
def test_only_the_head_and_the_blocks_have_gradients(name: str) -> None:
    torch.manual_seed(0)
    context = ContextConfig(kind="nl", after=["features"])
    config = ModelConfig(backbone="image", image_network=name, num_classes=3, context=context)
    model = build_model(config)
    every = ["stem", "res2", "res3", "res4", "res5"] if name == "resnet18" else ["features"]
    freeze_stages(model, every)
    train_mode(model)
    model(torch.randn(2, 3, 2, 64, 64)).square().sum().backward()
    trained = {key for key, value in model.named_parameters() if value.grad is not None}
    stages = stage_names(model)
    assert {stages[key] for key in trained} == {"context features", "head"}
    assert trained == {key for key, stage in stages.items() if stage not in every}
    norms = {
        n: m for n, m in model.named_modules() if isinstance(m, nn.BatchNorm2d | nn.BatchNorm3d)
    }
    assert {n for n, m in norms.items() if m.training} == {n for n in norms if ".context" in n}
    rates = parameter_groups(
        model, lr=1, weight_decay=0, by_stage=True, layer_decay=0.5, fresh=False
    )
    found = {group["name"]: group["lr"] for group in rates}
    assert found["context features weights"] == 0.5  # as res5
    with pytest.raises(ValueError, match="no stage is called 'res9'"):
        freeze_stages(model, ["res9"])
