"""Parameter names of other libraries for the same networks.

Each naming is a list of substitutions, applied in order, that turn its names into common ones: a
pathway (`slow.` or `fast.`, if there are two), a part of the network (`stem`, `res3.1`, `fuse2`
for the lateral connection after res2, `head`), and the name inside that part. They are written
from the published naming of the weights; the tests generate whole state dicts under it.
"""

import re

from torch import nn

from video_gc.backbones.slowfast import CHANNEL_RATIO
from video_gc.backbones.stages import named_parts
from video_gc.models.weights.states import State

Rules = tuple[tuple[str, str], ...]

LAYERS: Rules = tuple((rf"\blayer{n}\b", f"res{n + 1}") for n in (1, 2, 3, 4))
CONVOLUTIONS = (("1", "a"), ("2", "b"), ("3", "c"))

PYSLOWFAST: Rules = (
    (r"^head\.projection\.", "head."),
    (r"^s(\d)_fuse\.conv_f2s\.", r"fuse\1.conv_fast_to_slow."),
    (r"^s(\d)_fuse\.bn\.", r"fuse\1.norm."),
    (r"^s\d\.pathway0_stem\.", "slow.stem."),
    (r"^s\d\.pathway1_stem\.", "fast.stem."),
    (r"\bstem\.bn\.", "stem.norm."),
    (r"^s(\d)\.pathway0_res(\d+)\.", r"slow.res\1.\2."),
    (r"^s(\d)\.pathway1_res(\d+)\.", r"fast.res\1.\2."),
    (r"^s(\d)\.pathway0_nonlocal(\d+)\.", r"slow.res\1.\2.context."),
    (r"^s(\d)\.pathway1_nonlocal(\d+)\.", r"fast.res\1.\2.context."),
    (r"\.branch1\.", ".branch1_conv."),
    (r"\.branch1_bn\.", ".branch1_norm."),
    (r"\.branch2\.([abc])\.", r".branch2.conv_\1."),
    (r"\.branch2\.([abc])_bn\.", r".branch2.norm_\1."),
    (r"\.context\.conv_theta\.", ".context.query."),
    (r"\.context\.conv_phi\.", ".context.key."),
    (r"\.context\.conv_g\.", ".context.value."),
    (r"\.context\.conv_out\.", ".context.out."),
    (r"\.context\.bn\.", ".context.norm."),
)
CAFFE2: Rules = (
    (r"_bn_s$", "_bn.weight"),
    (r"_bn_b$", "_bn.bias"),
    (r"_bn_rm$", "_bn.running_mean"),
    (r"_bn_riv$", "_bn.running_var"),
    (r"_w$", ".weight"),
    (r"_b$", ".bias"),
    (r"^pred\.", "head.projection."),
    (r"^t_pool1_subsample(_bn)?\.", r"s1_fuse\1."),
    (r"^t_res(\d)_\d+_branch2c_bn_subsample(_bn)?\.", r"s\1_fuse\2."),
    (r"_fuse_bn\.", "_fuse.bn."),
    (r"_fuse\.(weight|bias)$", r"_fuse.conv_f2s.\1"),
    (r"^conv1\.", "s1.pathway0_stem.conv."),
    (r"^t_conv1\.", "s1.pathway1_stem.conv."),
    (r"^res_conv1_bn\.", "s1.pathway0_stem.bn."),
    (r"^t_res_conv1_bn\.", "s1.pathway1_stem.bn."),
    (r"^res(\d)_(\d+)_branch", r"s\1.pathway0_res\2.branch"),
    (r"^t_res(\d)_(\d+)_branch", r"s\1.pathway1_res\2.branch"),
    (r"\.branch2([abc])", r".branch2.\1"),
    (r"^nonlocal_conv(\d)_(\d+)_(theta|phi|g|out)\.", r"s\1.pathway0_nonlocal\2.conv_\3."),
    (r"^nonlocal_conv(\d)_(\d+)_bn\.", r"s\1.pathway0_nonlocal\2.bn."),
    *PYSLOWFAST,
)
MMACTION2: Rules = (
    (r"^cls_head\.fc_cls\.", "head."),
    (r"^backbone\.", ""),
    (r"^(slow|fast)_path\.", r"\1."),
    (r"^slow\.conv1_lateral\.", "fuse1."),
    *((rf"^slow\.layer{n}_lateral\.", f"fuse{n + 1}.") for n in (1, 2, 3)),
    (r"^(fuse\d)\.conv\.", r"\1.conv_fast_to_slow."),
    (r"^(fuse\d)\.bn\.", r"\1.norm."),
    (r"^((?:slow|fast)\.)?conv1\.conv\.", r"\1stem.conv."),
    (r"^((?:slow|fast)\.)?conv1\.bn\.", r"\1stem.norm."),
    *LAYERS,
    *((rf"\.conv{n}\.conv\.", f".branch2.conv_{letter}.") for n, letter in CONVOLUTIONS),
    *((rf"\.conv{n}\.bn\.", f".branch2.norm_{letter}.") for n, letter in CONVOLUTIONS),
    (r"\.downsample\.conv\.", ".branch1_conv."),
    (r"\.downsample\.bn\.", ".branch1_norm."),
    (r"\.non_local_block\.theta\.(0\.)?conv\.", ".context.query."),
    (r"\.non_local_block\.phi\.(0\.)?conv\.", ".context.key."),
    (r"\.non_local_block\.g\.(0\.)?conv\.", ".context.value."),
    (r"\.non_local_block\.concat_project\.conv\.", ".context.pair."),
    (r"\.non_local_block\.conv_out\.conv\.", ".context.out."),
    (r"\.non_local_block\.conv_out\.bn\.", ".context.norm."),
)
TORCHVISION: Rules = (
    (r"^fc\.", "head."),
    (r"^conv1\.", "stem.conv."),
    (r"^bn1\.", "stem.norm."),
    *LAYERS,
    *((rf"\.conv{n}\.", f".branch2.conv_{letter}.") for n, letter in CONVOLUTIONS),
    *((rf"\.bn{n}\.", f".branch2.norm_{letter}.") for n, letter in CONVOLUTIONS),
    (r"\.downsample\.0\.", ".branch1_conv."),
    (r"\.downsample\.1\.", ".branch1_norm."),
)
FORMATS: dict[str, tuple[str, Rules]] = {
    "pytorchvideo": (r"blocks\.\d+\.", ()),
    "PySlowFast": (r"s1\.pathway0_stem\.", PYSLOWFAST),
    "Caffe2": (r"res2_0_branch2a_w$", CAFFE2),
    "MMAction2": (r"backbone\.(slow_path\.)?conv1\.conv\.", MMACTION2),
    "torchvision": (r"layer1\.0\.conv1\.weight$", TORCHVISION),
}
"""Naming → a pattern that only its names match, and its rules."""


def detect_format(state: State) -> str | None:
    """The library whose names these weights have; None for unknown names."""
    for name, (mark, _) in FORMATS.items():
        if any(re.match(mark, key) for key in state):
            return name
    return None


def rename(state: State, naming: str, model: nn.Module) -> State:
    """The same tensors under the names in `model`; others keep their names."""
    if naming == "pytorchvideo":
        return state
    rules = [(re.compile(pattern), new) for pattern, new in FORMATS[naming][1]]
    path_of = {module: path for path, module in model.named_modules()}
    parts = {name: path_of[module] for name, module in named_parts(model).items()}
    renamed = {}
    for key, tensor in state.items():
        if key.endswith("_momentum"):
            continue  # belongs to Caffe2's optimiser
        name = key
        for pattern, new in rules:
            name = pattern.sub(new, name)
        match = re.fullmatch(r"((?:slow|fast)\.)?(stem|head|fuse\d|res\d\.\d+)\.(.+)", name)
        part = match and _path(match[1] or "", match[2], parts)
        renamed[f"{part}.{match[3]}" if match and part else key] = tensor
    if naming == "MMAction2":
        _as_ours(renamed, parts)
    return renamed


def _path(pathway: str, part: str, paths: dict[str, str]) -> str | None:
    """The module's path; the slow pathway if the network has only one."""
    alternatives = [pathway + part]
    if pathway != "fast.":
        alternatives += [part, f"slow.{part}"]
    return next((paths[name] for name in alternatives if name in paths), None)


def _as_ours(state: State, parts: dict[str, str]) -> None:
    """Reorder and add what MMAction2 has in another order or lacks, in place."""
    head = f"{parts['head']}.weight"
    if "fast.stem" in parts and head in state:  # MMAction2 has the fast channels first
        fast = state[head].shape[1] // (CHANNEL_RATIO + 1)
        state[head] = state[head].roll(-fast, dims=1)
    for name in [name for name in state if name.endswith(".context.out.weight")]:
        bias = name.replace(".weight", ".bias")  # before a batch norm its W_z has none
        if bias not in state:
            state[bias] = state[name].new_zeros(len(state[name]))


def inner_network(state: State) -> State:
    """The same tensors without the path to a network with known names.

    `student.layer1.0.conv1.weight` becomes `layer1.0.conv1.weight`; tensors beside that network
    keep their names. Nothing changes if the names are known already, or unknown everywhere.

    Raises ValueError if several parts are such networks.
    """
    if detect_format(state) is not None:
        return state
    marks = [re.compile(rf"((?:[^.]+\.)+?){mark}") for mark, _ in FORMATS.values()]
    found = {match[1] for name in state for mark in marks if (match := mark.match(name))}
    parts = {one for one in found if not any(one != o and one.startswith(o) for o in found)}
    if len(parts) > 1:
        raise ValueError(
            f"it holds several networks ({', '.join(sorted(parts))}); save the state_dict of one"
        )
    return {name.removeprefix(next(iter(parts), "")): value for name, value in state.items()}
