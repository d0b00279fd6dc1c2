"""Batch norm over two processes equals batch norm over the whole batch in one."""

import copy
from pathlib import Path

import pytest
import torch
import torch.distributed as dist
from torch import Tensor, nn

from video_gc.backbones.sync_norms import SyncBatchNorm2d, SyncBatchNorm3d, synchronise_on_cpu


def network() -> nn.Module:
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Conv3d(3, 5, 2), nn.BatchNorm3d(5, momentum=0.3), nn.ReLU(), nn.Flatten(2, 3),
        nn.Conv2d(5, 4, 1), nn.BatchNorm2d(4, momentum=None), nn.Flatten(), nn.LazyLinear(3),
    )  # fmt: skip
    model.eval()(clips()[:1])
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d | nn.BatchNorm3d):
            nn.init.uniform_(module.weight, 0.5, 2)
            nn.init.uniform_(module.bias, -1, 1)
    return model.train()


def clips() -> Tensor:
    """A mean far from zero: where E[x²] − E[x]² has few digits left."""
    return 20 + torch.randn(6, 3, 3, 5, 5, generator=torch.Generator().manual_seed(1))


def steps(model: nn.Module, x: Tensor) -> dict[str, Tensor]:
    x = x.clone().requires_grad_()
    for _ in range(2):
        outputs = model(x)
    outputs.square().sum().backward()
    found = {"outputs": outputs.detach(), "x": x.grad}
    found |= {f"grad {name}": p.grad for name, p in model.named_parameters()}
    return found | {name: b.clone() for name, b in model.named_buffers()}


def in_one_process(rank: int, sizes: list[int], folder: str) -> None:
    torch.set_num_threads(1)
    dist.init_process_group("gloo", f"file://{folder}/meet", rank=rank, world_size=len(sizes))
    model = network()
    synchronise_on_cpu(model)
    assert isinstance(model[1], SyncBatchNorm3d)
    assert isinstance(model[5], SyncBatchNorm2d)
    torch.save(steps(model, clips().split(sizes)[rank]), f"{folder}/{rank}.pt")
    dist.destroy_process_group()


@pytest.mark.slow
@pytest.mark.parametrize("sizes", [[3, 3], [2, 4]])
def test_two_processes_normalise_as_one(sizes: list[int], tmp_path: Path) -> None:
    context = torch.multiprocessing.get_context("spawn")
    jobs = [
        context.Process(target=in_one_process, args=(r, sizes, str(tmp_path))) for r in range(2)
    ]
    for job in jobs:
        job.start()
    expected = steps(network(), clips())
    for job in jobs:
        job.join(120)
        assert job.exitcode == 0
    parts = [torch.load(tmp_path / f"{rank}.pt") for rank in range(2)]
    for name, value in expected.items():
        if name in ("outputs", "x"):
            found = torch.cat([part[name] for part in parts])
        elif name.startswith("grad"):
            found = parts[0][name] + parts[1][name]  # DDP averages; the loss here is a sum
        else:
            found = parts[0][name]
            assert torch.equal(found, parts[1][name])
        scale = value.abs().max().clamp(min=1).item()
        torch.testing.assert_close(found, value, rtol=1e-5, atol=1e-5 * scale, msg=name)


def test_copies_and_half_precision(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("video_gc.backbones.sync_norms.get_world_size", lambda: 2)
    monkeypatch.setattr("video_gc.backbones.sync_norms.differentiable_all_reduce", lambda x: 2 * x)
    norm, plain = SyncBatchNorm3d(3).train(), nn.BatchNorm3d(3).train()
    x = clips()
    found = copy.deepcopy(norm)(x.bfloat16())
    assert found.dtype == torch.bfloat16
    torch.testing.assert_close(found.float(), plain(x.bfloat16().float()), rtol=1e-2, atol=1e-2)
    norm(x)
    unbiased = torch.cat([x, x]).transpose(0, 1).flatten(1).var(1)
    torch.testing.assert_close(norm.running_var, 0.9 + 0.1 * unbiased)
    assert norm.num_batches_tracked == 1
