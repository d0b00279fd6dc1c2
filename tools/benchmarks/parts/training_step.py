"""The steps of a training, without anything around them."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from video_gc.train.recipe.bf16_on_cpu import sound_bf16
from video_gc.train.recipe.optim import OptimConfig, build_optimizer


class Trainer:
    """A network and AdamW on a device, channels-last."""

    def __init__(self, network: nn.Module, device: torch.device, precision: str) -> None:
        """network: it is trained, and moved to the device. precision: fp32, tf32 or bf16."""
        self.device, self.low = device, precision == "bf16"
        self.network = network.train().to(device).to(memory_format=torch.channels_last_3d)
        self.optimizer = build_optimizer(self.network, OptimConfig(optimizer="adamw", lr=1e-4))

    def step(self, clips: Tensor, labels: Tensor) -> None:
        """Forward, backward and the optimiser: (N, 3, T, H, W), (N,)."""
        self.optimizer.zero_grad()
        lower = torch.autocast(self.device.type, torch.bfloat16, enabled=self.low)
        with lower, sound_bf16(self.device, low=self.low):
            logits = self.network(clips)
        F.cross_entropy(logits.float(), labels).backward()
        self.optimizer.step()
