"""torchvision's published weights in image networks on clips, by name; no file is downloaded."""

from pathlib import Path

import pytest
import torch
from torch import nn
from torchvision import models

from video_gc.models import weights
from video_gc.models.build import ModelConfig, build_with_report
from video_gc.models.context import ContextConfig
from video_gc.models.weights import load_weights

NAME = "MobileNet_V3_Small_Weights.IMAGENET1K_V1"


def config(name: str = "mobilenet_v3_small", **options: object) -> ModelConfig:
    return ModelConfig(backbone="image", image_network=name, num_classes=6, **options)


@pytest.fixture
def published(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> nn.Module:
    """The network whose file stands in for the published one, at a URL that is a file."""
    network = models.mobilenet_v3_small()
    torch.save(network.state_dict(), tmp_path / "image.pth")
    entry = models.get_weight(NAME)
    monkeypatch.setattr(torch.hub, "_hub_dir", str(tmp_path / "hub"))
    value = type(entry.value)((tmp_path / "image.pth").as_uri(), entry.transforms, entry.meta)
    monkeypatch.setattr(entry, "_value_", value)
    return network


@pytest.mark.parametrize("name", [NAME, "imagenet"])
def test_they_load_through_the_cache_with_a_new_classifier(
    name: str, published: nn.Module, tmp_path: Path
) -> None:
    context = ContextConfig(kind="gc", after=["features"])
    model, report = build_with_report(config(weights=name, context=context))
    assert report is not None
    assert (tmp_path / "hub" / "checkpoints" / "image.pth").is_file()
    theirs, ours = published.state_dict(), model.state_dict()
    for key, value in theirs.items():
        if not key.startswith("classifier.3."):
            assert torch.equal(ours[key].reshape(value.shape), value), key
    blocks = {key for key in ours if ".context." in key}
    assert set(report.new) == {"classifier.3.weight", "classifier.3.bias"} | blocks
    assert "a new head for 6 classes instead of 1000" in str(report)
    assert "mean=[0.485,0.456,0.406] normalisation.std=[0.229,0.224,0.225]" in str(report)


def test_every_name_in_torchvision_is_known() -> None:
    with torch.device("meta"):
        model, _ = build_with_report(config("resnet18"))
    for name in ("resnet50", "efficientnet_v2_s", "regnet_y_128gf", "convnext_tiny"):
        for entry in models.get_model_weights(name):
            assert weights._torchvision_entry(str(entry), model) is entry


@pytest.mark.parametrize(
    ("name", "given", "message"),
    [
        (
            "resnet18",
            "ResNet18_Weights.IMAGENET1K_V3",
            "did you mean ResNet18_Weights.IMAGENET1K_V1",
        ),
        ("resnet18", "Nothing_Weights.X", "torchvision has none of this name$"),
        ("resnet18", "resnet19", "such as ResNet50_Weights.IMAGENET1K_V2"),
    ],
)
def test_a_wrong_name_is_an_error(name: str, given: str, message: str) -> None:
    with torch.device("meta"):
        model, _ = build_with_report(config(name))
    with pytest.raises((ValueError, FileNotFoundError), match=message):
        load_weights(model, given)


def test_a_network_without_those_of_imagenet_alone() -> None:
    with torch.device("meta"):
        model, _ = build_with_report(config("resnet18"))
    model.avgpool.network = "regnet_y_128gf"  # itself too large for a test
    with pytest.raises(ValueError, match="it has RegNet_Y_128GF_Weights.IMAGENET1K_SWAG_E2E_V1, "):
        load_weights(model, "imagenet")


@pytest.mark.parametrize(
    ("theirs", "ours", "backbone", "message"),
    [
        ("resnet18", "resnet34", "image", "80 of 182 .*; choose their model.image_network"),
        ("efficientnet_b0", "resnet18", "image", "unknown .*; choose their model.image_network"),
        ("resnet18", None, "c2d", "or model.backbone=image with their model.image_network"),
    ],
)
def test_weights_of_another_network_are_refused(
    theirs: str, ours: str | None, backbone: str, message: str, tmp_path: Path
) -> None:
    torch.save(models.get_model(theirs).state_dict(), tmp_path / "w.pth")
    given = ModelConfig(
        backbone=backbone, image_network=ours, num_classes=6, weights=str(tmp_path / "w.pth")
    )
    with pytest.raises(ValueError, match=message):
        build_with_report(given)
