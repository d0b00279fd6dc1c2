"""Which rows nothing beats in both accuracy and cost."""

from collections.abc import Sequence


def pareto_front(points: Sequence[tuple[float, float]]) -> list[int]:
    """Places of the (cost, accuracy) pairs that no other is at least as good as in both and better
    than in one, the cheapest first.
    """
    front: list[int] = []
    for place in sorted(range(len(points)), key=lambda i: (points[i][0], -points[i][1])):
        if (
            not front
            or points[place][1] > points[front[-1]][1]
            or points[place] == points[front[-1]]
        ):
            front.append(place)
    return front
