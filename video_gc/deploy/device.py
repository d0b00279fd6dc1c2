"""The device of a network."""

import torch


def pick_device(name: str | torch.device | None = None) -> torch.device:
    """The device called `name`; by default the GPU if there is one, else the CPU.

    Raises ValueError for a name that torch does not know, or a missing GPU.
    """
    if name is None:
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise ValueError(f"unknown device {name!r}; use cpu, cuda or cuda:N") from error
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise ValueError(f"device {name!r}: this machine has {torch.cuda.device_count()} GPUs")
    return device
