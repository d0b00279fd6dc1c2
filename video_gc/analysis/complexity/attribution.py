"""Which module runs: what an operation costs is put down to the innermost one."""

from collections.abc import Mapping
from contextlib import AbstractContextManager
from typing import Any

from torch import nn
from torch.utils.hooks import RemovableHandle


class RunningModule(AbstractContextManager["RunningModule"]):
    """Inside `with`, `name` is that of the innermost module that runs; "" is the network itself.

    A context block that a hook applies runs inside the module that it is registered at, for it is
    named so: the hooks of this class stand around those of others.
    """

    def __init__(self, model: nn.Module) -> None:
        self._model = model
        self._names = [""]
        self._handles: list[RemovableHandle] = []

    @property
    def name(self) -> str:
        """Of the innermost module."""
        return self._names[-1]

    def __enter__(self) -> "RunningModule":
        def enter(name: str) -> Any:
            return lambda _module, _inputs: self._names.append(name)

        def leave(_module: nn.Module, _inputs: Any, _output: Any) -> None:
            self._names.pop()

        for name, module in self._model.named_modules():
            self._handles += [
                module.register_forward_pre_hook(enter(name), prepend=True),
                module.register_forward_hook(leave),
            ]
        return self

    def __exit__(self, *_error: object) -> None:
        while self._handles:
            self._handles.pop().remove()
        self._names = [""]


def inside(own: Mapping[str, int], module: str) -> int:
    """The sum over `module` and all modules in it. own: module → what it costs without them."""
    if not module:
        return sum(own.values())
    return sum(cost for name, cost in own.items() if f"{name}.".startswith(f"{module}."))
