"""Class activation against Grad-CAM by hand."""

import pytest
import torch
from torch import nn

from tests.conftest import randomise
from video_gc.analysis.attention.maps import class_activation
from video_gc.backbones.stages import named_parts, residual_blocks
from video_gc.models.build import ModelConfig, build_model
from video_gc.models.context import ContextConfig, context_blocks

pytest.importorskip("captum", reason='pip install "video_gc[cam]"')


def test_by_hand_on_a_linear_head() -> None:
    """With mean pooling and a linear head the gradient of a logit is its weight over P."""
    torch.manual_seed(0)
    context = ContextConfig(kind="gc", after=["res5.2"])
    config = ModelConfig(backbone="slow", width=0.0625, num_classes=3, context=context)
    model = build_model(config).eval()
    randomise(context_blocks(model)["res5.2"])
    seen: list[torch.Tensor] = []
    block = residual_blocks(model)["res5.2"]
    head = named_parts(model)["head"]
    assert isinstance(head, nn.Linear)
    torch.nn.init.normal_(head.weight)
    hook = block.register_forward_hook(lambda _m, _i, out: seen.append(out.detach()))
    clips = torch.randn(2, 3, 4, 64, 64)
    with torch.no_grad():
        logits = model(clips)
    hook.remove()
    features = seen[0]  # after the context block: its hook came first
    classes = logits.argmax(1)
    size = features[0, 0].numel()
    assert torch.allclose(features.mean((2, 3, 4)) @ head.weight.T + head.bias, logits, atol=1e-4)
    weights = head.weight.detach()[classes] / size
    expected = (weights[:, :, None, None, None] * features).sum(1).relu()
    found = class_activation(model, clips, classes)
    assert found.shape == features.shape[:1] + features.shape[2:]
    assert expected.max() > 0
    torch.testing.assert_close(found.double(), expected.double(), rtol=1e-3, atol=1e-7)


def test_a_network_without_residual_blocks() -> None:
    """The part before the mean; by hand, with its linear head as above."""
    torch.manual_seed(0)
    config = ModelConfig(backbone="image", image_network="efficientnet_b0", num_classes=3)
    model = build_model(config).eval()
    clips, classes = torch.randn(1, 3, 2, 64, 64), torch.tensor([2])
    with torch.no_grad():
        features = model.features(clips)
    head = named_parts(model)["head"].weight.detach()[2] / features[0, 0].numel()
    expected = (head[:, None, None, None] * features).sum(1).relu()
    found = class_activation(model, clips, classes)
    assert expected.max() > 0
    torch.testing.assert_close(found / expected.max(), expected / expected.max())


def test_without_captum_the_install_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("video_gc.extras.find_spec", lambda _name: None)
    with pytest.raises(ImportError, match=r'pip install "video_gc\[cam\]"'):
        class_activation(nn.Identity(), torch.zeros(1, 3, 2, 4, 4), torch.tensor([0]))
