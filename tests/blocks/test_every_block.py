"""What holds for every context block of ours, whatever its formula; test_contract.py has the rest."""

import copy
from collections.abc import Iterable, Iterator, Sequence
from itertools import product
from math import prod

import pytest
import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.profiler import ProfilerActivity, profile
from torch.utils.checkpoint import checkpoint
from torch.utils.flop_counter import FlopCounterMode

from tests.blocks.variants import CLIP_VARIANTS, REPRESENTATIVES, VARIANTS
from tests.conftest import randomise
from video_gc.blocks import build_block

ALL = VARIANTS | CLIP_VARIANTS
LAYOUTS = ("contiguous", "channels-last")
FLOATS = (torch.float32, torch.bfloat16)
STORE_NOTHING = (
    "nl", "nl gaussian", "nl dot product", "nl embedded_gaussian time before",
    "nl concatenation space after", "dnl",
)  # fmt: skip
"""Every pairwise function and every span."""


def pairwise(names: Iterable[str], *choices: Sequence[object]) -> list[tuple]:
    """Rows (name, choice, …) in which every two values of different columns meet once or more."""
    rows: list[tuple] = []
    met: set[tuple] = set()
    columns = [list(names), *choices]
    wanted = {
        (i, a, j, b)
        for i, left in enumerate(columns)
        for j, right in enumerate(columns[:i])
        for a, b in product(left, right)
    }
    while wanted - met:
        first = columns[0][len(rows) % len(columns[0])]
        row = max(
            ((first, *rest) for rest in product(*columns[1:])),
            key=lambda row: len(_pairs(row) - met),
        )
        rows.append(row)
        met |= _pairs(row)
    return sorted(rows, key=lambda row: columns[0].index(row[0]))


def _pairs(row: tuple) -> set[tuple]:
    return {(i, a, j, b) for i, a in enumerate(row) for j, b in enumerate(row[:i])}


def one_a_name(rows: list[tuple]) -> list:
    """The rows, all but one of each name marked slow: of one name the first, of the next the last."""
    names = list(dict.fromkeys(row[0] for row in rows))
    kept = []
    for number, name in enumerate(names):
        kept.append([row for row in rows if row[0] == name][-(number % 2)])
    return [pytest.param(*row, marks=[] if row in kept else pytest.mark.slow) for row in rows]


def quick(*names: str) -> list:
    """REPRESENTATIVES, all but these marked slow."""
    return [
        pytest.param(name, marks=[] if name in names else pytest.mark.slow)
        for name in REPRESENTATIVES
    ]


def build(name: str, channels: int = 8, seed: int = 0) -> nn.Module:
    kind, options = ALL[name]
    return randomise(build_block(kind, channels, **options), seed).eval()


def laid_out(x: Tensor, layout: str) -> Tensor:
    """The same tensor, its channels first or last in memory, for any number of position axes."""
    if layout == "contiguous":
        return x.contiguous()
    return x.movedim(1, -1).contiguous().movedim(-1, 1)


@pytest.mark.parametrize(
    ("name", "layout", "samples", "sizes"),
    one_a_name(
        pairwise(VARIANTS, LAYOUTS, (1, 2), [(1, 3, 2), (3,)])
        + pairwise(CLIP_VARIANTS, LAYOUTS, (1, 2), [(3, 2, 2), (1, 3, 2)])
    ),
)
def test_gradients(name: str, layout: str, samples: int, sizes: tuple[int, ...]) -> None:
    """Of x and of every parameter, against finite differences."""
    block = build(name).double()
    x = torch.randn(samples, 8, *sizes, dtype=torch.float64)
    x = laid_out(x, layout).requires_grad_()
    parameters = dict(block.named_parameters())

    def call(x: Tensor, *values: Tensor) -> Tensor:
        return torch.func.functional_call(block, dict(zip(parameters, values, strict=True)), (x,))

    assert torch.autograd.gradcheck(call, (x, *parameters.values()), fast_mode=True)


@pytest.mark.parametrize("name", [n for n, (kind, _) in VARIANTS.items() if kind != "se"])
def test_a_fresh_block_that_adds_is_the_identity_bit_for_bit(name: str) -> None:
    kind, options = VARIANTS[name]
    if options.get("fusion", "add") != "add":
        pytest.skip("a gate starts at one half")
    x = torch.randn(2, 8, 3, 4, 5)
    assert torch.equal(build_block(kind, 8, **options)(x), x)


@pytest.mark.parametrize(
    ("name", "samples", "positions"),
    pairwise(VARIANTS, (1, 2), [(5,), (3, 5), (2, 3, 5), (1, 1, 1), (1,)]),
)
def test_both_memory_layouts_agree_and_are_kept(
    name: str, samples: int, positions: tuple[int, ...]
) -> None:
    block = build(name)
    x = torch.randn(samples, 8, *positions)
    last = laid_out(x, "channels-last")
    expected, out = block(x), block(last)
    torch.testing.assert_close(out, expected, rtol=1e-5, atol=1e-5)
    assert expected.is_contiguous()
    assert laid_out(out, "channels-last").stride() == out.stride() or out.numel() == 8


@pytest.mark.parametrize("name", CLIP_VARIANTS)
def test_both_memory_layouts_of_clips_agree(name: str) -> None:
    block = build(name)
    x = torch.randn(2, 8, 2, 4, 3)
    torch.testing.assert_close(block(laid_out(x, "channels-last")), block(x), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_autocast_keeps_the_dtype_of_x(name: str, dtype: torch.dtype) -> None:
    block = build(name)
    x = torch.randn(2, 8, 2, 3, 4)
    with torch.autocast("cpu", dtype):
        mixed, low = block(x), block(x.to(dtype))
    assert mixed.dtype == torch.float32
    assert low.dtype == dtype
    torch.testing.assert_close(mixed, block(x), rtol=0.1, atol=0.1)


@pytest.mark.parametrize("name", ["gc", "snl", "nl", "nl gaussian", "dnl", "cc"])
def test_the_softmax_is_in_fp32_under_autocast(name: str) -> None:
    """Weights that a bf16 softmax would round to 8 bits."""
    block, x = build(name), torch.randn(1, 8, 7)
    with torch.autocast("cpu", torch.bfloat16):
        weights = block.attention_map(x) if name in ("gc", "snl") else block.attention(x)
    assert weights.dtype == torch.float32
    assert (weights.bfloat16().float() != weights).float().mean() > 0.8
    total = 2 if name == "dnl" else 1  # it has two
    wanted = torch.full(weights.shape[:-1], float(total))
    torch.testing.assert_close(weights.sum(-1), wanted, rtol=0, atol=1e-6)


@pytest.mark.parametrize(
    ("name", "layout", "samples"),
    one_a_name(pairwise(ALL, LAYOUTS, (1, 2))),
)
def test_no_feature_map_is_copied(name: str, layout: str, samples: int) -> None:
    """Forward in both modes, and backward but for torch's own max-pooling."""
    kind, options = ALL[name]
    allowed = int(options.get("pairwise") == "gaussian" and layout == "contiguous")
    backward = options.get("pool") is None and kind != "cc"
    block = build(name)
    x = laid_out(torch.randn(samples, 8, 4, 6, 6), layout)

    def every_pass() -> None:
        with torch.no_grad():
            block.eval()(x)
        out = block.train()(x.requires_grad_())
        if backward:
            out.backward(torch.ones_like(x))

    assert copies(every_pass, x) <= allowed * (2 + backward)


def copies(call: object, x: Tensor) -> int:
    """How many copies of the size of x the call makes, by the profiler."""
    with profile(activities=[ProfilerActivity.CPU], record_shapes=True) as record:
        call()  # type: ignore[operator]
    return sum(
        event.name == "aten::copy_" and prod(event.input_shapes[0]) >= x.numel()
        for event in record.events()
    )


def test_the_profiler_sees_a_copy() -> None:
    x = torch.randn(2, 8, 4, 6, 6)
    assert copies(lambda: x.movedim(1, -1).contiguous(), x) == 1
    assert copies(x.clone, x) == 1


@pytest.mark.parametrize(
    ("name", "dtype", "layout", "samples"),
    pairwise([n for n, (k, o) in ALL.items() if k in ("nl", "dnl")], FLOATS, LAYOUTS, (1, 2)),
)
def test_no_form_of_attention_falls_back_to_storing_all_weights(
    name: str, dtype: torch.dtype, layout: str, samples: int
) -> None:
    """Inside this context a softmax that cannot be fused is an error, forward and backward."""
    block = build(name).to(dtype)
    x = laid_out(torch.randn(samples, 8, 2, 4, 3, dtype=dtype), layout).requires_grad_()
    with sdpa_kernel([SDPBackend.FLASH_ATTENTION, SDPBackend.EFFICIENT_ATTENTION]):
        block(x).sum().backward()
    assert x.grad is not None


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=[] if name in STORE_NOTHING else pytest.mark.slow)
        for name, (kind, _) in ALL.items()
        if kind in ("nl", "dnl")
    ],
)
def test_nothing_of_all_pairs_is_stored(name: str) -> None:
    """No tensor of L×M entries, forward or backward, but a sum of products d×d."""
    kind, options = ALL[name]
    block = randomise(build_block(kind, 8, **options))
    sizes = {"time": (40, 2, 2), "space": (2, 20, 20)}.get(options.get("span", ""), (8, 8, 8))
    x = torch.randn(1, 8, *sizes, requires_grad=True)
    pairs = block.attention(x).numel()
    seen = max(largest(lambda: block(x).sum().backward()), default=0)
    assert seen < pairs / 2
    plain = copy.deepcopy(block)
    plain.plain = True
    assert max(largest(lambda: plain(x).sum().backward())) >= pairs


def largest(call: object) -> Iterator[int]:
    """The sizes of the inputs of every operation, by the profiler."""
    with profile(activities=[ProfilerActivity.CPU], record_shapes=True) as record:
        call()  # type: ignore[operator]
    for event in record.events():
        yield from (prod(shape) for shape in event.input_shapes if shape)


def test_sdpa_alone_equals_the_attention_of_nl() -> None:
    block = build("nl without norm")
    block.out.weight.data = torch.randn(8, 4)
    x = torch.randn(2, 8, 3, 4)
    q, k, v = (layer(x.flatten(2).mT) for layer in (block.query, block.key, block.value))
    mean = nn.functional.scaled_dot_product_attention(q, k, v)
    torch.testing.assert_close(block(x), x + block.out(mean).mT.reshape(x.shape))


@pytest.mark.parametrize("name", ALL)
def test_multiply_adds_in_closed_form_equal_torchs_counter(name: str) -> None:
    block = build(name, channels=16)
    sizes = (4, 6, 8)
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        block(torch.randn(1, 16, *sizes))
    assert block.multiply_adds(sizes) == counter.get_total_flops() // 2


@pytest.mark.parametrize(
    ("name", "growth"),
    [
        ("gc", 8), ("snl", 8), ("nl dot product", 8), ("nl concatenation", 8),
        ("cc", 16), ("nl", 64), ("nl gaussian", 64), ("nl embedded_gaussian space before", 32),
        ("nl embedded_gaussian time before", 16),
    ],
)  # fmt: skip
def test_the_attention_grows_as_its_formula_says(name: str, growth: int) -> None:
    """With every axis doubled, P grows by 8: P, P·(T+H+W), P², P·H·W and P·T."""
    block = build(name)
    small, large = (block.attention_multiply_adds(s) for s in ((8, 28, 28), (16, 56, 56)))
    assert large == growth * small


@pytest.mark.parametrize("name", ALL)
def test_activation_checkpointing_changes_nothing(name: str) -> None:
    block = build(name)
    results = []
    for call in (block, lambda x: checkpoint(block, x, use_reentrant=False)):
        torch.manual_seed(0)
        block.zero_grad()
        x = torch.randn(2, 8, 2, 3, 4, requires_grad=True)
        out = call(x)
        out.square().sum().backward()
        results.append([out, x.grad, *(p.grad for p in block.parameters())])
    for plain, again in zip(*results, strict=True):
        torch.testing.assert_close(plain, again, rtol=0, atol=0)


@pytest.mark.parametrize("name", quick("se"))
def test_export(name: str) -> None:
    block = build(name)
    x = torch.randn(2, 8, 2, 3, 4)
    exported = torch.export.export(block, (x,)).module()
    torch.testing.assert_close(exported(x), block(x))


@pytest.mark.parametrize("name", quick("gc both", "cc"))
def test_export_with_any_batch_size(name: str) -> None:
    block = build(name)
    batch = torch.export.Dim("batch", min=2)
    exported = torch.export.export(
        block, (torch.randn(2, 8, 2, 3, 4),), dynamic_shapes=({0: batch},)
    ).module()
    x = torch.randn(5, 8, 2, 3, 4)
    torch.testing.assert_close(exported(x), block(x))


@pytest.mark.slow
@pytest.mark.parametrize("name", quick("nl"))
def test_compile_sees_one_graph(name: str) -> None:
    torch._dynamo.reset()
    layout = LAYOUTS[REPRESENTATIVES.index(name) % 2]
    block = build(name).train()
    compiled = torch.compile(copy.deepcopy(block), fullgraph=True, backend="aot_eager")
    x = laid_out(torch.randn(2, 8, 2, 3, 4), layout)
    results = []
    for call in (block, compiled):
        leaf = x.clone().requires_grad_()
        out = call(leaf)
        out.square().sum().backward()
        results.append((out, leaf.grad))
    torch.testing.assert_close(results[1], results[0], rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("name", quick("snl eq. 2"))
def test_compile_and_export_under_autocast(name: str) -> None:
    torch._dynamo.reset()
    block, x = build(name), torch.randn(2, 8, 2, 3, 4)
    compiled = torch.compile(copy.deepcopy(block), fullgraph=True, backend="aot_eager")
    with torch.autocast("cpu", torch.bfloat16), torch.no_grad():
        expected = block(x)
        torch.testing.assert_close(compiled(x), expected, rtol=0.05, atol=0.05)
        exported = torch.export.export(block, (x,)).module()
        torch.testing.assert_close(exported(x), expected, rtol=0.05, atol=0.05)


@pytest.mark.slow
@pytest.mark.parametrize("name", ALL)
def test_compile_for_this_machine(name: str) -> None:
    torch._dynamo.reset()
    block = build(name).train()
    compiled = torch.compile(copy.deepcopy(block), fullgraph=True)
    results = []
    for call in (block, compiled):
        x = torch.randn(2, 8, 2, 3, 4, generator=torch.Generator().manual_seed(0))
        x.requires_grad_()
        out = call(x)
        out.square().sum().backward()
        results.append((out, x.grad))
    torch.testing.assert_close(results[1], results[0], rtol=1e-4, atol=1e-4)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_gpu_computes_the_same_without_storing_all_weights(
    dtype: torch.dtype, layout: str
) -> None:
    fused = [SDPBackend.FLASH_ATTENTION, SDPBackend.EFFICIENT_ATTENTION]
    tolerance = 1e-3 if dtype == torch.float32 else 0.1
    x = torch.randn(2, 64, 4, 6, 6)
    for name in ALL:
        block = build(name, channels=64)
        expected = block(x)
        there = laid_out(x, layout).cuda().requires_grad_()
        with sdpa_kernel(fused), torch.autocast("cuda", dtype, enabled=dtype != torch.float32):
            out = block.cuda()(there)
            out.sum().backward()
        error = (out.cpu() - expected).norm() / expected.norm()
        assert error < tolerance, name
