"""Names of rows: the few options in which their configs differ."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from video_gc.ablate.cell_name import MACHINE
from video_gc.train.options import TrainConfig

BARE = {
    "backbone": "{}", "image_network": "{}", "depth": "R{}", "kind": "{}", "place": "{}",
    "optimizer": "{}",
}  # fmt: skip
"""Options whose value alone says which option it is."""


def row_names(configs: Sequence[TrainConfig]) -> list[tuple[str, list[str]]]:
    """A name for each config, such as `gc five` or `lr=0.01`, and all options that differ.

    A name contains just enough options to tell the rows apart; if none do, it gets a number.
    """
    described = [_described(config) for config in configs]
    keys = list(dict.fromkeys(key for one in described for key in one))
    differing = [key for key in keys if _differs(key, described)]
    by_block = any(key.startswith("context") for key in differing) or not differing
    shown = ["context"] if by_block else []
    left = [key for key in differing if key not in shown]
    names = _names(described, shown)
    while left and len(set(names)) < len(names):
        best = max(left, key=lambda key: len(set(_names(described, [*shown, key]))))
        left.remove(best)
        shown.append(best)
        names = _names(described, shown)
    times, numbers = Counter(names), Counter[str]()
    found = []
    for name, one in zip(names, described, strict=True):
        numbers[name] += 1
        unique = f"{name} ({numbers[name]})" if times[name] > 1 else name
        found.append((unique, [_word(key, one[key]) for key in differing if key in one]))
    return found


def _names(described: Sequence[dict[str, Any]], shown: Sequence[str]) -> list[str]:
    return [" ".join(_word(key, one[key]) for key in shown if key in one) for one in described]


def _described(config: TrainConfig) -> dict[str, Any]:
    """Option → value: all options that define a cell; the block and its placement are one."""
    options = asdict(config)
    for group, names in MACHINE.items():
        for name in names:
            del (options[group] if group else options)[name]
    model = options["model"]
    contexts = [model.pop("context"), *model.pop("more_context")]
    found: dict[str, Any] = {}
    for number, context in enumerate(contexts):
        key = f"context{number or ''}"
        if context["kind"] == "none":
            found[key] = "none"
            continue
        found[key] = f"{context['kind']} {'+'.join(context['after'])}"
        found[f"{key}.place"] = context["place"]
        found |= {f"{key}.{name}": value for name, value in context["options"].items()}
    return found | _flat(options)


def _differs(key: str, described: Sequence[dict[str, Any]]) -> bool:
    """Whether rows differ in an option that both have: other kinds of block have other options."""
    context, dot, name = key.partition(".")
    if not (dot and context.startswith("context")):
        return any(one.get(key) != described[0].get(key) for one in described)
    values: dict[str, list[Any]] = {}
    for one in described:
        if key in one:
            kind = "" if name == "place" else str(one[context]).split()[0]
            values.setdefault(kind, []).append(one[key])
    return any(value != each[0] for each in values.values() for value in each)


def _flat(options: dict[str, Any], above: str = "") -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, value in options.items():
        if isinstance(value, dict):
            found |= _flat(value, f"{above}{name}.")
        else:
            found[f"{above}{name}"] = value
    return found


def _word(key: str, value: Any) -> str:
    last = key.rsplit(".", 1)[-1]
    if key.startswith("context") and "." not in key:
        return str(value)
    if isinstance(value, list):
        value = "-".join(map(str, value))
    return BARE[last].format(value) if last in BARE else f"{last}={value}"
