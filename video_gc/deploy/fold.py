"""Batch norms folded into the convolutions before them: y = γ (Wx − μ) / σ + β is one convolution.

Jacob et al., CVPR 2018, section 3.2. Pairs are found by observing one forward pass.
"""

import weakref
from copy import deepcopy
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

CLOSE = 1e-3
"""Allowed relative difference of a folded network's logits; rounding alone makes about 1e-5."""
CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.Conv3d)
NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d, nn.SyncBatchNorm)


def fold_norms(model: nn.Module, clip: Tensor) -> tuple[nn.Module, int]:
    """A copy of `model` in eval mode without the norms that follow a convolution, and their number.

    clip: (1, 3, T, H, W), the input for finding pairs and comparing outputs. A norm stays if it or
    its convolution has hooks or is called more than once, or if the outputs would differ.
    """
    model = deepcopy(model).eval()
    pairs, wanted = _watch(model, clip)
    folded = deepcopy(model)
    for conv, norm in pairs:
        one, two = folded.get_submodule(conv), folded.get_submodule(norm)
        folded.set_submodule(conv, fuse_conv_bn_eval(one, two))  # type: ignore[arg-type, type-var]
        folded.set_submodule(norm, nn.Identity())
    with torch.inference_mode():
        error = (folded(clip) - wanted).norm() / wanted.norm()
    if not error <= CLOSE:
        return model, 0
    return folded, len(pairs)


def _watch(model: nn.Module, clip: Tensor) -> tuple[list[tuple[str, str]], Tensor]:
    """Names (convolution, norm), the output of one being the input of the other; and the logits."""
    made: dict[int, tuple[weakref.ref[Tensor], str]] = {}
    pairs: list[tuple[str, str]] = []
    calls: dict[str, int] = {}
    hooks = []

    def see(name: str, module: nn.Module, inputs: tuple[Any, ...], output: Tensor) -> None:
        calls[name] = calls.get(name, 0) + 1
        if isinstance(module, CONVOLUTIONS):
            made[id(output)] = weakref.ref(output), name
            return
        reference, conv = made.get(id(inputs[0]), (None, ""))
        if reference is not None and reference() is inputs[0]:
            pairs.append((conv, name))

    for name, module in model.named_modules():
        folds = isinstance(module, NORMS) and module.track_running_stats
        hooked = module._forward_hooks or module._forward_pre_hooks
        if (folds or isinstance(module, CONVOLUTIONS)) and not hooked:

            def hook(module: nn.Module, inputs: Any, output: Tensor, name: str = name) -> None:
                see(name, module, inputs, output)

            hooks.append(module.register_forward_hook(hook))
    try:
        with torch.inference_mode():
            logits = model(clip)
    finally:
        for registered in hooks:
            registered.remove()
    once = [(conv, norm) for conv, norm in pairs if calls[conv] == calls[norm] == 1]
    return once, logits
