"""One point from the points that several folds chose, to be tried again as one configuration (MES-OPT-05).

Numbers take the median of the folds that have the parameter, choices what was chosen most often; the result is a point
of the space.  Pure.  Called by the walk-forward.
"""

from collections import Counter
from collections.abc import Sequence

from trading.research.luck.plateau import ABSENT, Point
from trading.research.search.space import Parameter, Space

SAFER_HIGH = "confidence"  # of two middle values the higher is the less risky one; of all else the lower


def combined(space: Space, points: Sequence[Point]) -> Point:
    """The point; `points` are at least one.  A parameter that exists here and in no fold stands at its middle."""
    assert points
    found: list[int] = []
    for i, item in enumerate(space.parameters):
        places = sorted(point[i] for point in points if point[i] != ABSENT)
        if not space.exists(i, found):
            found.append(ABSENT)
        elif not places:
            found.append(len(item.values) // 2)
        else:
            found.append(_median(item, places) if item.ordered else _mode(places))
    return tuple(found)


def _median(item: Parameter, places: list[int]) -> int:
    """Values lie at equal steps, so the median of places is that of values; between two values the less risky one."""
    n = len(places)
    low, high = places[(n - 1) // 2], places[n // 2]
    if (low + high) % 2 == 0:
        return (low + high) // 2
    return (low + high) // 2 + (1 if SAFER_HIGH in item.path else 0)


def _mode(places: list[int]) -> int:
    counts = Counter(places)
    return min(counts, key=lambda place: (-counts[place], place))
