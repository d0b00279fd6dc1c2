"""Whole state dicts under the names that other libraries publish, made from a network of ours."""

from collections.abc import Iterator

import torch
from torch import Tensor, nn

from video_gc.backbones.stages import named_parts, residual_blocks

CAFFE2 = {"weight": "s", "bias": "b", "running_mean": "rm", "running_var": "riv"}
THEIR_NL = {"query": "theta", "key": "phi", "value": "g", "out": "out"}
State = dict[str, Tensor]


def tensors(module: nn.Module) -> Iterator[tuple[str, Tensor]]:
    for key, tensor in module.state_dict().items():
        if not key.startswith("context.") and ".context." not in key:
            yield key, tensor


def as_kernel(tensor: Tensor, key: str) -> Tensor:
    """A matrix as the 1×1×1 convolution that it is elsewhere."""
    return tensor[..., None, None, None] if key == "weight" else tensor


def pyslowfast(model: nn.Module) -> State:
    """`s3.pathway0_res1.branch2.a.weight`, `s3.pathway0_nonlocal1.conv_theta.weight`, …"""
    parts, out = named_parts(model), {}
    pathways = {"slow.": 0, "fast.": 1} if "fast.stem" in parts else {"": 0}
    for pathway, number in pathways.items():
        stem = parts[f"{pathway}stem"]
        for mine, theirs in (("conv", "conv"), ("norm", "bn")):
            for key, tensor in tensors(getattr(stem, mine)):
                out[f"s1.pathway{number}_stem.{theirs}.{key}"] = tensor
    for stage in range(1, 5):
        if f"fuse{stage}" in parts:
            fuse = parts[f"fuse{stage}"]
            for key, tensor in tensors(fuse.conv_fast_to_slow):
                out[f"s{stage}_fuse.conv_f2s.{key}"] = tensor
            for key, tensor in tensors(fuse.norm) if fuse.norm is not None else ():
                out[f"s{stage}_fuse.bn.{key}"] = tensor
    for name, block in residual_blocks(model).items():
        pathway = 1 if name.startswith("fast") else 0
        stage, index = name.split("res")[1].split(".")
        prefix = f"s{stage}.pathway{pathway}_res{index}"
        if block.branch1_conv is not None:
            for key, tensor in tensors(block.branch1_conv):
                out[f"{prefix}.branch1.{key}"] = tensor
            for key, tensor in tensors(block.branch1_norm):
                out[f"{prefix}.branch1_bn.{key}"] = tensor
        for letter in "abc":
            for key, tensor in tensors(getattr(block.branch2, f"conv_{letter}")):
                out[f"{prefix}.branch2.{letter}.{key}"] = tensor
            for key, tensor in tensors(getattr(block.branch2, f"norm_{letter}")):
                out[f"{prefix}.branch2.{letter}_bn.{key}"] = tensor
        if hasattr(block, "context"):
            prefix = f"s{stage}.pathway{pathway}_nonlocal{index}"
            for mine, theirs in THEIR_NL.items():
                for key, tensor in getattr(block.context, mine).state_dict().items():
                    out[f"{prefix}.conv_{theirs}.{key}"] = as_kernel(tensor, key)
            for key, tensor in block.context.norm.state_dict().items():
                out[f"{prefix}.bn.{key}"] = tensor
    for key, tensor in parts["head"].state_dict().items():
        out[f"head.projection.{key}"] = tensor
    return out


def caffe2(model: nn.Module) -> State:
    """`res3_1_branch2a_w`, `t_res3_1_branch2a_bn_s`, `nonlocal_conv3_1_theta_w`, …"""
    parts, out = named_parts(model), {}

    def conv(name: str, layer: nn.Module) -> None:
        out[f"{name}_w"] = layer.weight

    def norm(name: str, layer: nn.Module) -> None:
        for key, letter in CAFFE2.items():
            out[f"{name}_{letter}"] = layer.state_dict()[key]

    for pathway, t in ("", ""), ("slow.", ""), ("fast.", "t_"):
        if f"{pathway}stem" in parts:
            conv(f"{t}conv1", parts[f"{pathway}stem"].conv)
            norm(f"{t}res_conv1_bn", parts[f"{pathway}stem"].norm)
    last = {}
    for name, block in residual_blocks(model).items():
        t = "t_" if name.startswith("fast") else ""
        stage, index = name.split("res")[1].split(".")
        last[stage] = index
        prefix = f"{t}res{stage}_{index}_branch"
        if block.branch1_conv is not None:
            conv(f"{prefix}1", block.branch1_conv)
            norm(f"{prefix}1_bn", block.branch1_norm)
        for letter in "abc":
            conv(f"{prefix}2{letter}", getattr(block.branch2, f"conv_{letter}"))
            norm(f"{prefix}2{letter}_bn", getattr(block.branch2, f"norm_{letter}"))
        if hasattr(block, "context"):
            for mine, theirs in THEIR_NL.items():
                layer = getattr(block.context, mine)
                out[f"nonlocal_conv{stage}_{index}_{theirs}_w"] = as_kernel(layer.weight, "weight")
                out[f"nonlocal_conv{stage}_{index}_{theirs}_b"] = layer.bias
            norm(f"nonlocal_conv{stage}_{index}_bn", block.context.norm)
    for stage in range(1, 5):
        if f"fuse{stage}" in parts:
            name = f"t_res{stage}_{last[str(stage)]}_branch2c_bn" if stage > 1 else "t_pool1"
            conv(f"{name}_subsample", parts[f"fuse{stage}"].conv_fast_to_slow)
            norm(f"{name}_subsample_bn", parts[f"fuse{stage}"].norm)
    out["pred_w"], out["pred_b"] = parts["head"].weight, parts["head"].bias
    return out | {f"{name}_momentum": tensor for name, tensor in out.items() if name[-2:] == "_w"}


def mmaction2(model: nn.Module, sub_sample: bool = False) -> State:
    """`backbone.layer2.1.conv1.conv.weight`, `backbone.layer2.1.non_local_block.g.conv.weight`, …"""
    parts, out = named_parts(model), {}

    def conv_module(name: str, conv: nn.Module, norm: nn.Module | None) -> None:
        for key, tensor in tensors(conv):
            out[f"{name}.conv.{key}"] = tensor
        for key, tensor in tensors(norm) if norm is not None else ():
            out[f"{name}.bn.{key}"] = tensor

    for pathway, path in ("", ""), ("slow.", "slow_path."), ("fast.", "fast_path."):
        if f"{pathway}stem" in parts:
            stem = parts[f"{pathway}stem"]
            conv_module(f"backbone.{path}conv1", stem.conv, stem.norm)
    for name, block in residual_blocks(model).items():
        path = {"slow": "slow_path.", "fast": "fast_path."}.get(name.split(".")[0], "")
        stage, index = name.split("res")[1].split(".")
        prefix = f"backbone.{path}layer{int(stage) - 1}.{index}"
        for number, letter in enumerate("abc", start=1):
            branch = block.branch2
            conv, norm = getattr(branch, f"conv_{letter}"), getattr(branch, f"norm_{letter}")
            conv_module(f"{prefix}.conv{number}", conv, norm)
        if block.branch1_conv is not None:
            conv_module(f"{prefix}.downsample", block.branch1_conv, block.branch1_norm)
        if hasattr(block, "context"):
            for mine, theirs in (("query", "theta"), ("key", "phi"), ("value", "g")):
                if not hasattr(block.context, mine):
                    continue  # gaussian
                if mine == "query" and hasattr(block.context, "pair"):
                    at = f"{prefix}.non_local_block.concat_project.conv.weight"
                    out[at] = block.context.pair.weight[..., None, None]
                inside = ".0" if sub_sample and mine != "query" else ""
                for key, tensor in getattr(block.context, mine).state_dict().items():
                    at = f"{prefix}.non_local_block.{theirs}{inside}.conv.{key}"
                    out[at] = as_kernel(tensor, key)
            out[f"{prefix}.non_local_block.conv_out.conv.weight"] = as_kernel(
                block.context.out.weight, "weight"
            )
            for key, tensor in block.context.norm.state_dict().items():
                out[f"{prefix}.non_local_block.conv_out.bn.{key}"] = tensor
    for stage in range(1, 5):
        if f"fuse{stage}" in parts:
            name = "conv1" if stage == 1 else f"layer{stage - 1}"
            fuse = parts[f"fuse{stage}"]
            conv_module(f"backbone.slow_path.{name}_lateral", fuse.conv_fast_to_slow, fuse.norm)
    head = parts["head"]
    weight = head.weight.detach()
    if "fast.stem" in parts:  # it concatenates the fast pathway first
        slow = weight.shape[1] * 8 // 9
        weight = torch.cat([weight[:, slow:], weight[:, :slow]], dim=1)
    out["cls_head.fc_cls.weight"], out["cls_head.fc_cls.bias"] = weight, head.bias
    return out
