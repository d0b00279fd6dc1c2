"""A known network inside another one: weights whose names begin with the name of a part."""

import re

from video_gc.models.weights.names import FORMATS, detect_format
from video_gc.models.weights.states import State


def inner_network(state: State) -> State:
    """The same tensors without the path that leads to a network of a known naming.

    `student.layer1.0.conv1.weight` becomes `layer1.0.conv1.weight`; what lies beside that network
    keeps its name. Nothing changes where the names are known already, or nowhere.

    Raises ValueError where several parts are such networks.
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
