"""docs/probes.md: what no network with a context block can tell, shown on its logits."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from video_gc.config import compose_train
from video_gc.data.generated.painting import NUM_FRAMES, SIZE, Track, background, paint
from video_gc.data.generated.tasks import BLINKS, TASKS
from video_gc.models.build import build_model

KINDS = {
    "none": ["context=none"],
    "SE": ["context=se"],
    "SNL": ["context=snl"],
    "GC": ["context=gc"],
    "NL": ["context=nl"],
    "NL over space": ["context=nl", "+model.context.options.span=space"],
    "NL over time": ["context=nl", "+model.context.options.span=time"],
    "CC": ["context=cc"],
    "DNL": ["context=dnl"],
}


def network(settings: list[str]) -> nn.Module:
    """A network of the probes whose block is at work, in double precision."""
    torch.manual_seed(0)
    config = compose_train(["experiment=probe", *settings]).model
    model = build_model(replace(config, num_classes=2))
    for name, values in model.named_parameters():
        if name.endswith("weight") and values.ndim == 1:
            nn.init.uniform_(values, 0.5, 1.5)  # scales of norms that begin at zero
        elif "context" in name and values.ndim > 1:
            nn.init.normal_(values, std=0.5)
    return model.eval().double()


def clip(tracks: list[Track]) -> Tensor:
    """The clip of these objects, always on the same ground and in the same colours: (3, T, H, W)."""
    canvas = background(np.random.default_rng(0))
    for number, track in enumerate(tracks):
        canvas = paint(canvas, track, np.random.default_rng(number))
    assert canvas.shape == (NUM_FRAMES, SIZE, SIZE, 3)
    return torch.from_numpy(canvas).double().permute(3, 0, 1, 2) - 0.5


def exchanged(track: Track) -> Track:
    """The object with its blink in the other frame."""
    assert track.frame is not None
    return replace(track, frame=sum(BLINKS) - track.frame)


def differences(settings: list[str], task: str) -> Tensor:
    """How far the logits of clips of one class are from those of their twins in the other."""
    one = next(iter(TASKS[task]))
    pairs = []
    for seed in range(6):
        first, second = TASKS[task][one](np.random.default_rng(seed))
        twin = [exchanged(first) if task == "order" else first, exchanged(second)]
        assert (first.frame == second.frame) == (task == "same_frame")
        assert twin[0].frame != twin[1].frame
        pairs.append((clip([first, second]), clip(twin)))
    model = network(settings)
    with torch.no_grad():
        left, right = (model(torch.stack(clips)) for clips in zip(*pairs, strict=True))
    spread = left.std()
    assert spread > 0
    return (left - right).abs().amax(1) / spread


@pytest.mark.parametrize("kind", KINDS)
def test_no_block_sees_the_order_of_far_events(kind: str) -> None:
    assert differences(KINDS[kind], "order").max() < 1e-9


@pytest.mark.parametrize("kind", KINDS)
def test_only_a_block_that_knows_its_frame_sees_what_happens_together(kind: str) -> None:
    found = differences(KINDS[kind], "same_frame")
    if kind in ("NL over space", "CC"):
        assert found.min() > 1e-6
    else:
        assert found.max() < 1e-9


def test_kernels_that_reach_see_the_order() -> None:
    assert differences(["model.kernels_until=res2"], "order").min() > 1e-6
