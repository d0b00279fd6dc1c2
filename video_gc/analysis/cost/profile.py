"""Time and memory of each part of a network, by hooks on the forward pass and the backward graph.

Each part has its own median time, and hooks take time themselves, so the parts do not add up
exactly.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from statistics import median
from typing import Any

import torch
from torch import Tensor, nn

from video_gc.analysis.cost.latency import Clock
from video_gc.analysis.measure import wait
from video_gc.models.counts import running_module

ALL = ""
"""Name of the whole call among the parts."""


def time_parts(
    call: Callable[[], object],
    parts: Mapping[str, nn.Module],
    device: torch.device,
    rounds: Iterable[object],
) -> dict[str, float]:
    """Median seconds of each part in `call`, forward plus backward; "" is the whole call.

    call: runs the network of the parts, forward or forward and backward. parts: may contain one
    another; backward time outside all of them counts for the part before it, so include the network
    itself. rounds: one call each; the first one warms up and does not count if there are more.
    """
    clock = Clock(device)
    times: dict[str, list[float]] = {name: [] for name in (*parts, ALL)}
    spans = _Spans(clock)
    handles = []
    for name, module in parts.items():
        before, after = spans.hooks(name)
        handles += [
            module.register_forward_pre_hook(before),
            module.register_forward_hook(after),
        ]
    try:
        for _ in rounds:
            spans.clear()
            started = clock.mark()
            call()
            ended = clock.mark()
            wait(device)
            for name, seconds in spans.seconds(parts).items():
                times[name].append(seconds)
            times[ALL].append(clock.between(started, ended))
    finally:
        for handle in handles:
            handle.remove()
        spans.clear()  # its hooks on the last graph and the graph refer to each other
    return {name: median(own[1:] or own) for name, own in times.items()}


def kept_for_backward(network: nn.Module, clips: Tensor) -> Counter[str]:
    """Module → bytes that autograd keeps from its own forward operations in training.

    Each storage counts once, for the module that kept it first; weights, which exist anyway, and
    the clips do not count.
    """
    mine = [*network.parameters(), *network.buffers(), clips]
    seen = {tensor.untyped_storage().data_ptr() for tensor in mine}
    kept: Counter[str] = Counter()
    with running_module(network) as running:

        def keep(tensor: Tensor) -> Tensor:
            storage = tensor.untyped_storage()
            if storage.data_ptr() not in seen:
                seen.add(storage.data_ptr())
                kept[running()] += storage.nbytes()
            return tensor

        with torch.enable_grad(), torch.autograd.graph.saved_tensors_hooks(keep, lambda kept: kept):
            output = network(clips)
    del output  # kept until here, so no storage's address is reused
    return kept


class _Spans:
    """The time spans of each part in one call.

    Backward, a node's time runs until the next node begins, because autograd sums gradients in
    between. A node belongs to every part whose forward pass made it.
    """

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.clear()

    def clear(self) -> None:
        """Discard the last call."""
        self.forward: list[tuple[str, Any, Any]] = []
        self.owners: dict[Any, list[str]] = {}
        self.begun: list[tuple[list[str], Any]] = []
        self.last: Any = None
        self._open: dict[str, tuple[Any, set[Any]]] = {}

    def hooks(self, name: str) -> tuple[Any, Any]:
        """Hooks for before and after the forward pass of the part `name`."""

        def before(_module: nn.Module, inputs: Any) -> None:
            self._open[name] = self.clock.mark(), {t.grad_fn for t in _tensors(inputs)}

        def after(_module: nn.Module, _inputs: Any, output: Any) -> None:
            started, given = self._open.pop(name)
            self.forward.append((name, started, self.clock.mark()))
            self._own(name, [t.grad_fn for t in _tensors(output)], given | {None})

        return before, after

    def seconds(self, parts: Iterable[str]) -> dict[str, float]:
        """Seconds of each part, forward and backward."""
        spent = dict.fromkeys(parts, 0.0)
        for name, started, ended in self.forward:
            spent[name] += self.clock.between(started, ended)
        ends = [*(start for _, start in self.begun[1:]), self.last]
        for (names, start), end in zip(self.begun, ends, strict=False):
            for name in names:
                spent[name] += self.clock.between(start, end)
        return spent

    def _own(self, name: str, nodes: list[Any], given: set[Any]) -> None:
        """Assign to `name` all nodes from the outputs back to the inputs, without the latter."""
        seen = set(given)
        while nodes:
            node = nodes.pop()
            if node in seen:
                continue
            seen.add(node)
            if node not in self.owners:
                self.owners[node] = []
                self._watch(node, self.owners[node])
            self.owners[node].append(name)
            nodes += [before for before, _ in node.next_functions]

    def _watch(self, node: Any, names: list[str]) -> None:
        def begin(_gradients: Any) -> None:
            self.begun.append((names, self.clock.mark()))

        def end(_gradients: Any, _outputs: Any) -> None:
            self.last = self.clock.mark()

        node.register_prehook(begin)
        node.register_hook(end)


def _tensors(given: Any) -> list[Tensor]:
    """The graph nodes of a tensor, or of nested lists of tensors."""
    if isinstance(given, Tensor):
        return [given]
    return [t for item in given for t in _tensors(item)] if isinstance(given, (list, tuple)) else []
