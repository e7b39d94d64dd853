"""Who goes on from a part of the bars to more of them: the best third, of equals the first of the space (MES-OPT-04).

All points of a plan are tried on its first ninth; the best third of them on its first third; the best third of those on
all of it, for a third of what a whole plan costs (successive halving, Jamieson and Talwalkar 2016, with factor three).
Each step waits for all of its trials, so who goes on depends on scores alone, never on workers or on who was first.
Pure.  Called by `trading.run.search.study`.
"""

import math
from collections.abc import Sequence

from trading.research.luck.plateau import Point
from trading.research.search.methods import Seen

KEPT = 3  # one in so many goes on,
PARTS = (9, 3)  # from one ninth, then one third of the bars
POINTS_MIN = KEPT * KEPT  # fewer points are all tried on everything


def going_on(seen: Sequence[Seen]) -> list[Point]:
    """The best third, rounded up, in the order in which they were given; infeasible points do not go on.  All do where
    none is feasible."""
    feasible = [item for item in seen if item.score is not None]
    if not feasible:
        return [item.point for item in seen]  # a part on which nothing can be told proves nothing
    best = sorted(feasible, key=lambda item: (-(item.score or 0.0), item.point))[: math.ceil(len(seen) / KEPT)]
    chosen = {item.point for item in best}
    return [item.point for item in seen if item.point in chosen]


def least_of(trades_min: int, rows: int, all_rows: int) -> int:
    """Trades that a part must have: as many for its bars as the whole for all of them, one at least where it asks."""
    return math.ceil(trades_min * rows / all_rows)
